"""The version of a TFLite operator that its tensors require.

A converter writes the version of each operator into the file. A quantizer that changes the tensors later may not raise it;
an old runtime then accepts the file and computes something else. The rules are those of
tensorflow/compiler/mlir/lite/tools/versioning/op_version.cc, https://github.com/tensorflow/tensorflow, for signed integers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

FLOAT32, FLOAT16, INT16, INT8 = 0, 1, 7, 9  # TensorType of schema.fbs.
DENSE_BY_CHANNEL = "FULLY_CONNECTED per channel"
"""A dense layer on integers whose weights have several scales; it has no separate version."""

# Version of each operator for 8-bit and for 16-bit activations; 0 where neither the rules nor its kernel define one.
_INTEGER_TABLE = """
ABS                     2 3
ADD                     2 3
AVERAGE_POOL_2D         2 3
BATCH_MATMUL            2 3
BATCH_TO_SPACE_ND       2 4
CONCATENATION           2 3
CONV_2D                 3 4
DEPTHWISE_CONV_2D       3 5
DEQUANTIZE              2 3
FULLY_CONNECTED         4 7
GATHER                  2 4
GELU                    2 0
HARD_SWISH              1 0
L2_NORMALIZATION        2 0
LEAKY_RELU              0 2
LOGISTIC                2 3
LOG_SOFTMAX             2 0
MAXIMUM                 2 4
MAX_POOL_2D             2 3
MEAN                    2 3
MINIMUM                 2 4
MIRROR_PAD              2 3
MUL                     3 4
PACK                    2 3
PAD                     2 3
PADV2                   2 3
QUANTIZE                1 2
REDUCE_MAX              2 3
REDUCE_MIN              2 3
RELU                    2 3
RELU6                   2 3
RESIZE_BILINEAR         2 4
RESIZE_NEAREST_NEIGHBOR 2 4
RSQRT                   2 3
SLICE                   2 4
SOFTMAX                 2 3
SPACE_TO_BATCH_ND       2 4
SPACE_TO_DEPTH          2 0
SPLIT                   2 4
SQUARED_DIFFERENCE      2 0
STRIDED_SLICE           2 0
SUB                     2 5
SUM                     2 0
TANH                    2 3
TILE                    3 0
TRANSPOSE               2 5
TRANSPOSE_CONV          3 3
UNPACK                  2 4
"""
_INTEGER = {name: (int(eight), int(sixteen)) for name, eight, sixteen in map(str.split, _INTEGER_TABLE.strip().splitlines())}
# These only move numbers or look at shapes, whatever the type, since their first version.
_ANY_TYPE = ("RESHAPE", "EXPAND_DIMS", "SQUEEZE", "SHAPE")
# Version of each operator for 8-bit weights under float activations, with one scale and with several. A
# FULLY_CONNECTED with one scale is 3 or 9, as its options say, which the converter keeps up to date.
_HYBRID = {"CONV_2D": (2, 5), "DEPTHWISE_CONV_2D": (4, 6), "FULLY_CONNECTED": (3, 12)}
# Position of the weights, and of the activations if they are not first.
_WEIGHTS = 1
_DATA = {"SPLIT": 1, "TRANSPOSE_CONV": 2}


@dataclass(frozen=True)
class Tensor:
    """A tensor's TensorType, and its number of quantization scales."""

    kind: int
    scales: int


def needed(name: str, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None]) -> dict[str, int] | None:
    """Return the lowest version of an operator for its tensors, and of `DENSE_BY_CHANNEL` if it is one.

    Args:
        name: Name of the operator.
        inputs: The input tensors; None for an omitted one.
        outputs: The output tensors; None for an omitted one.

    Returns:
        Empty if the tensors require no more than the first version; None if the rules don't cover the operator on integers.
    """
    place = _DATA.get(name, 0)
    data = _kind(inputs, place)
    if data in (FLOAT32, FLOAT16) and _kind(outputs, 0) in (INT8, INT16):
        data = _kind(outputs, 0)  # QUANTIZE has no integer input.
    weights = inputs[_WEIGHTS] if len(inputs) > _WEIGHTS else None
    if data in (INT8, INT16) and name not in _ANY_TYPE:
        version = _INTEGER.get(name, (0, 0))[data == INT16]
        if not version:
            return None
        by_channel = name == "FULLY_CONNECTED" and weights is not None and weights.scales > 1
        return {name: version} | ({DENSE_BY_CHANNEL: 1} if by_channel else {})
    if name == "DEQUANTIZE" and data == FLOAT16:
        return {name: 3}
    if name in _HYBRID and data == FLOAT32 and weights is not None and weights.kind == INT8:
        return {name: _HYBRID[name][weights.scales > 1]}
    return {}


def _kind(tensors: Sequence[Tensor | None], place: int) -> int | None:
    tensor = tensors[place] if place < len(tensors) else None
    return tensor.kind if tensor else None
