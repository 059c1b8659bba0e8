"""Numbers of several bytes, which a Cortex-M0+ reads at words and half words only."""

import struct

import pytest

from edgecnn.convert.integrations.micro_records import registrations, require_aligned
from edgecnn.edge.errors import ArtifactError, ConversionError
from tests.conftest import KEPT

DATA = (KEPT / "bars" / "int8.tflite").read_bytes()


def shifted(data: bytes, count: int) -> bytes:
    """Return the same file with bytes between its start and its tables, whose offsets are relative."""
    (place,) = struct.unpack_from("<I", data)
    return struct.pack("<I", place + count) + data[4:8] + bytes(count) + data[8:]


@pytest.mark.parametrize("name", ["int8", "float32"])
def test_an_exported_file_is_aligned(name: str) -> None:
    require_aligned((KEPT / "bars" / f"{name}.tflite").read_bytes(), name)
    require_aligned(shifted(DATA, 4), name)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_file_whose_biases_lie_between_words_is_refused(count: int) -> None:
    assert registrations(shifted(DATA, count), "mine") == registrations(DATA, "mine")
    with pytest.raises(ConversionError, match=r"mine: [0-9]+ .*constants.* not aligned"):
        require_aligned(shifted(DATA, count), "mine")


def test_bytes_that_are_no_tflite_file_are_refused() -> None:
    with pytest.raises(ArtifactError, match="mine can't be read"):
        require_aligned(b"TFL3" * 8, "mine")
