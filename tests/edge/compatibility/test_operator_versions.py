"""The versions that an operator's tensors require, against observations on runtimes that lack them."""

import pytest

from edgecnn.edge.compatibility.tflite import (
    _INTEGER,
    DENSE_BY_CHANNEL,
    FLOAT16,
    FLOAT32,
    INT8,
    INT16,
    Tensor,
    needed,
)
from edgecnn.edge.compatibility.tflite_graph import OPERATORS

FLOAT, HALF, EIGHT, SIXTEEN = Tensor(FLOAT32, 0), Tensor(FLOAT16, 0), Tensor(INT8, 1), Tensor(INT16, 1)
CHANNELS, BIAS = Tensor(INT8, 10), Tensor(2, 10)


@pytest.mark.parametrize("name", ["ELU", "PRELU", "DIV", "custom Mine", "operator 203"])
@pytest.mark.parametrize("data", [EIGHT, SIXTEEN])
def test_an_integer_operator_without_a_rule_is_not_known(name: str, data: Tensor) -> None:
    assert needed(name, [data], [data]) is None
    assert needed(name, [FLOAT], [FLOAT]) == {}


def test_a_rule_for_8_bits_says_nothing_of_16() -> None:
    assert needed("HARD_SWISH", [EIGHT], [EIGHT]) == {"HARD_SWISH": 1}
    assert needed("HARD_SWISH", [SIXTEEN], [SIXTEEN]) is None


@pytest.mark.parametrize(
    ("name", "inputs", "output", "asked"),
    [
        ("FULLY_CONNECTED", [FLOAT, CHANNELS, FLOAT], FLOAT, {"FULLY_CONNECTED": 12}),
        ("FULLY_CONNECTED", [FLOAT, EIGHT, FLOAT], FLOAT, {"FULLY_CONNECTED": 3}),
        ("FULLY_CONNECTED", [FLOAT, FLOAT, FLOAT], FLOAT, {}),
        ("FULLY_CONNECTED", [EIGHT, CHANNELS, BIAS], EIGHT, {"FULLY_CONNECTED": 4, DENSE_BY_CHANNEL: 1}),
        ("FULLY_CONNECTED", [SIXTEEN, CHANNELS, None], SIXTEEN, {"FULLY_CONNECTED": 7, DENSE_BY_CHANNEL: 1}),
        ("FULLY_CONNECTED", [EIGHT, EIGHT, BIAS], EIGHT, {"FULLY_CONNECTED": 4}),
        ("CONV_2D", [EIGHT, CHANNELS, BIAS], EIGHT, {"CONV_2D": 3}),
        ("CONV_2D", [FLOAT, CHANNELS, FLOAT], FLOAT, {"CONV_2D": 5}),
        ("CONV_2D", [FLOAT, EIGHT, FLOAT], FLOAT, {"CONV_2D": 2}),
        ("DEPTHWISE_CONV_2D", [FLOAT, CHANNELS, FLOAT], FLOAT, {"DEPTHWISE_CONV_2D": 6}),
        ("QUANTIZE", [FLOAT], SIXTEEN, {"QUANTIZE": 2}),
        ("QUANTIZE", [FLOAT], EIGHT, {"QUANTIZE": 1}),
        ("DEQUANTIZE", [HALF], FLOAT, {"DEQUANTIZE": 3}),
        ("SPLIT", [Tensor(2, 0), EIGHT], EIGHT, {"SPLIT": 2}),
        ("TRANSPOSE_CONV", [Tensor(2, 0), CHANNELS, EIGHT, BIAS], EIGHT, {"TRANSPOSE_CONV": 3}),
        ("RESHAPE", [SIXTEEN, Tensor(2, 0)], SIXTEEN, {}),
        ("SOFTMAX", [], None, {}),
    ],
)
def test_the_rule_is_that_of_the_types_and_scales(
    name: str, inputs: list[Tensor | None], output: Tensor | None, asked: dict[str, int]
) -> None:
    assert needed(name, inputs, [output]) == asked


def test_rules_are_of_operators_that_there_are() -> None:
    assert set(_INTEGER) <= set(OPERATORS)
