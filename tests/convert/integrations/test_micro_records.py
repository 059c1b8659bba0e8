"""Whether tflite-micro can run a file: its operators, and where its numbers lie: a Cortex-M0+ reads at words and half words."""

import struct

import pytest

from edgecnn.convert.integrations.micro_records import registrations, require_aligned
from edgecnn.edge.compatibility.tflite_graph import OPERATORS, used_operators
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


def test_a_files_operators_are_registered_once_in_their_order_and_one_that_tflite_micro_lacks_is_named() -> None:
    assert used_operators(DATA) == ("CONV_2D", "MAX_POOL_2D", "RESHAPE", "FULLY_CONNECTED", "SOFTMAX")
    assert registrations(DATA, "int8.tflite") == ("AddConv2D", "AddMaxPool2D", "AddReshape", "AddFullyConnected", "AddSoftmax")
    softmax, gelu = (struct.pack("<i", OPERATORS.index(name)) for name in ("SOFTMAX", "GELU"))
    # The two fields of its code: a byte, which stands for the larger codes as 127, and 32 bits.
    changed = [DATA[:at] + gelu + DATA[at + 4 :] for at in range(0, len(DATA), 4) if DATA[at : at + 4] == softmax]
    with_gelu = [bytes_ for bytes_ in changed if "GELU" in used_operators(bytes_)]
    assert len(with_gelu) == 1
    with pytest.raises(ConversionError, match=r"mine: tflite-micro lacks 1 .*\(GELU\)"):
        registrations(with_gelu[0], "mine")


def test_bytes_that_are_no_tflite_file_are_refused() -> None:
    for read in (registrations, require_aligned):
        with pytest.raises(ArtifactError, match="mine can't be read"):
            read(b"TFL3" * 8, "mine")
