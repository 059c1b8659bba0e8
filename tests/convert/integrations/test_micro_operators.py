"""tflite-micro's names for operators."""

import struct

import pytest

from edgecnn.convert.integrations.micro_records import registrations
from edgecnn.edge.compatibility.tflite_graph import OPERATORS, used_operators
from edgecnn.edge.errors import ArtifactError, ConversionError
from tests.conftest import KEPT


def test_a_files_operators_are_registered_once_in_their_order() -> None:
    data = (KEPT / "bars" / "int8.tflite").read_bytes()
    assert used_operators(data) == ("CONV_2D", "MAX_POOL_2D", "RESHAPE", "FULLY_CONNECTED", "SOFTMAX")
    assert registrations(data, "int8.tflite") == ("AddConv2D", "AddMaxPool2D", "AddReshape", "AddFullyConnected", "AddSoftmax")


def test_an_operator_that_tflite_micro_lacks_is_named() -> None:
    data = (KEPT / "bars" / "int8.tflite").read_bytes()
    softmax, gelu = (struct.pack("<i", OPERATORS.index(name)) for name in ("SOFTMAX", "GELU"))
    # The two fields of its code: a byte, which stands for the larger codes as 127, and 32 bits.
    changed = [data[:at] + gelu + data[at + 4 :] for at in range(0, len(data), 4) if data[at : at + 4] == softmax]
    with_gelu = [bytes_ for bytes_ in changed if "GELU" in used_operators(bytes_)]
    assert len(with_gelu) == 1
    with pytest.raises(ConversionError, match=r"mine: tflite-micro lacks 1 .*\(GELU\)"):
        registrations(with_gelu[0], "mine")


def test_bytes_that_are_no_tflite_file_are_refused() -> None:
    with pytest.raises(ArtifactError, match="mine can't be read"):
        registrations(b"TFL3" * 8, "mine")
