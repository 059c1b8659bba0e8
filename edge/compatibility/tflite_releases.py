"""The versions of operators in each release of a TFLite runtime.

These tables serve `oldest runtime`, `export` for a runtime and the doctor. They were checked on the packages themselves, by
loading files of one operator with every version: where a source promises more than a release has, the table follows the
release. This was seen in TensorFlow 1.15.0, 2.1.0, 2.3.0, 2.4.4 and 2.5.3, tflite-runtime 2.7.0 to 2.14.0 and
ai-edge-litert 1.0.1 to 2.3.0.
"""

from collections.abc import Mapping

from edgecnn.edge.compatibility.operator_versions import DENSE_BY_CHANNEL
from edgecnn.edge.compatibility.requirements import release_key

# The first TensorFlow Lite release with version 1, 2, 3, ... of each operator that image classifiers use. Sources:
# tensorflow/compiler/mlir/lite/tools/versioning/runtime_version.cc of https://github.com/tensorflow/tensorflow, and the
# packages. tflite-runtime has TensorFlow's numbers.
_TFLITE_TABLE = """
ABS                     1.13.0 2.4.0 2.5.0 2.6.0 2.12.0
ADD                     1.5.0 1.14.0 2.4.0 2.6.0 2.13.0 2.23.0
ADD_N                   1.14.0
ARG_MAX                 1.9.0 1.14.0 2.9.0
AVERAGE_POOL_2D         1.5.0 1.14.0 2.3.0
BATCH_MATMUL            2.3.0 2.3.0 2.4.0 2.5.0
BATCH_TO_SPACE_ND       1.6.0 1.14.0 2.3.0 2.13.0
BROADCAST_TO            2.5.0 2.5.0 2.5.0
CAST                    1.5.0 2.7.0 2.8.0 2.9.0 2.13.0 2.15.0 2.17.0 2.21.0
CONCATENATION           1.5.0 1.14.0 2.3.0 2.14.0 2.21.0 2.23.0
CONV_2D                 1.5.0 1.14.0 1.14.0 2.3.0 2.4.0 2.9.0 2.12.0 2.15.0
DEPTHWISE_CONV_2D       1.5.0 1.12.0 1.14.0 2.2.0 2.3.0 2.4.0 2.13.0
DEPTH_TO_SPACE          2.1.0 2.5.0
DEQUANTIZE              1.13.1 1.14.0 1.15.0 2.2.0 2.7.0 2.18.0 2.21.0 2.22.0
DIV                     1.6.0 2.3.0
DYNAMIC_UPDATE_SLICE    2.9.0 2.17.0 2.19.0 2.20.0 2.21.0 2.22.0
ELU                     1.14.0
EMBEDDING_LOOKUP        1.13.0 1.14.0 1.14.0 2.18.0 2.21.0
EQUAL                   1.14.0 1.14.0 2.3.0 2.13.0 2.21.0
EXP                     1.7.0 2.13.0
EXPAND_DIMS             1.10.0
FULLY_CONNECTED         1.5.0 1.10.0 1.14.0 1.14.0 2.0.0 2.1.0 2.3.0 2.3.0 2.4.0 2.13.0 2.15.0 2.17.0 2.18.0 2.21.0
GATHER                  1.6.0 1.14.0 1.15.0 2.4.0 2.5.0 2.13.0 2.15.0
GATHER_ND               1.14.0 2.3.0 2.5.0 2.13.0 2.16.0
GELU                    2.9.0 2.9.0
HARD_SWISH              1.15.0
L2_NORMALIZATION        1.5.0 1.14.0
LEAKY_RELU              1.13.1 2.3.0
LOG                     1.14.0 2.15.0
LOGISTIC                1.14.0 1.14.0 2.3.0
LOG_SOFTMAX             1.14.0 1.14.0
MAXIMUM                 1.14.0 1.14.0 2.3.0 2.3.0
MAX_POOL_2D             1.5.0 1.14.0 2.3.0
MEAN                    1.6.0 1.14.0 2.4.0
MINIMUM                 1.14.0 1.14.0 2.3.0 2.3.0
MIRROR_PAD              1.13.1 2.3.0 2.13.0
MUL                     1.5.0 1.14.0 1.15.0 2.3.0 2.6.0 2.11.0 2.13.0 2.23.0
NEG                     1.9.0
NOT_EQUAL               1.14.0 1.14.0 2.3.0 2.21.0
PACK                    1.11.0 1.14.0 2.3.0 2.14.0
PAD                     1.5.0 1.14.0 2.4.0 2.6.0 2.20.0
PADV2                   1.9.0 1.14.0 2.4.0 2.6.0 2.20.0
POW                     1.10.0
PRELU                   1.8.0
QUANTIZE                1.14.0 1.15.0 2.7.0 2.21.0 2.21.0 2.21.0
REDUCE_MAX              1.11.0 1.14.0 2.5.0
REDUCE_MIN              1.11.0 1.14.0 2.5.0
RELU                    1.5.0 2.1.0 2.5.0
RELU6                   1.5.0 1.14.0 2.5.0
RELU_0_TO_1             2.10.0
RELU_N1_TO_1            1.5.0
RESHAPE                 1.5.0
RESIZE_BILINEAR         1.7.0 1.14.0 2.2.0 2.5.0
RESIZE_NEAREST_NEIGHBOR 1.13.1 1.14.0 2.3.0 2.4.0
RSQRT                   1.10.0 2.5.0 2.15.0
SHAPE                   1.10.0
SLICE                   1.14.0 1.14.0 1.14.0 2.4.0 2.5.0 2.14.0 2.21.0
SOFTMAX                 1.5.0 1.14.0 2.3.0
SPACE_TO_BATCH_ND       1.6.0 1.14.0 2.3.0 2.13.0
SPACE_TO_DEPTH          1.5.0 1.14.0
SPLIT                   1.5.0 1.14.0 1.14.0 2.3.0
SPLIT_V                 1.13.1 2.3.0
SQRT                    1.10.0 2.21.0
SQUARE                  1.12.0
SQUARED_DIFFERENCE      1.13.1 2.5.0
SQUEEZE                 1.6.0 2.5.0
STRIDED_SLICE           1.6.0 1.14.0 2.1.0 2.2.0 2.5.0 2.6.0 2.14.0 2.14.0
SUB                     1.6.0 1.14.0 2.3.0 2.4.0 2.4.0
SUM                     1.10.0 1.15.0
TANH                    1.14.0 1.14.0 2.3.0
TILE                    1.10.1 2.2.0 2.8.0
TRANSPOSE               1.6.0 1.14.0 1.15.0 2.3.0 2.4.0 2.12.0 2.14.4 2.22.0
TRANSPOSE_CONV          1.9.0 2.2.0 2.3.0 2.13.0 2.15.0
UNPACK                  1.11.0 1.14.0 2.2.0 2.3.0 2.22.0
"""
TFLITE_SINCE = {name: tuple(releases) for name, *releases in map(str.split, _TFLITE_TABLE.strip().splitlines())}
# Up to 2.9.1 these load, and give another class for every image; no operator version shows it. Seen on the packages.
TFLITE_SINCE[DENSE_BY_CHANNEL] = ("2.10.0",)

# Before this, some quantized files give other numbers: sigmoid and tanh in 16 bits in 2.4.4, most 8-bit convolutions in
# 1.15.0. All before 2.4 read the quantizer's QUANTIZE as ADD: it writes operators by new code alone. Seen on the packages.
INTEGERS_SINCE = "2.5.0"

# ai-edge-litert has its own numbers. This is the highest version of each operator that differs from TensorFlow Lite
# 2.14, in the releases of LITERT_RELEASES: from the packages, since no list exists.
LITERT_RELEASES = ("1.0.1", "1.2.0", "2.0.2", "2.1.0", "2.3.0")
LITERT_BASE = "2.14.0"
_LITERT_TABLE = """
ADD                   5  5  5  5  6
BROADCAST_TO          3  3  3  3  4
CAST                  6  7  7  8  9
CONCATENATION         4  4  4  4  7
CONV_2D               8  8  8  8  8
DEQUANTIZE            6  6  6  7  9
DYNAMIC_UPDATE_SLICE  2  3  4  4  6
EMBEDDING_LOOKUP      4  4  4  4  5
EQUAL                 4  4  4  5  5
FULLY_CONNECTED      13 13 13 14 14
GATHER                7  7  7  7  8
GATHER_ND             5  5  5  5  6
GELU                  2  2  2  2  3
LOG                   2  2  2  2  2
MUL                   7  7  7  7  8
NOT_EQUAL             3  3  3  4  4
PACK                  4  4  4  4  5
PAD                   4  4  5  5  6
PADV2                 4  4  5  5  6
QUANTIZE              3  3  3  4  6
RSQRT                 3  3  3  3  3
SLICE                 6  6  6  7  8
SOFTMAX               3  3  3  3  4
SPLIT                 4  4  4  4  5
SPLIT_V               2  2  2  2  3
SQRT                  1  1  2  2  2
TRANSPOSE             6  7  7  7  9
TRANSPOSE_CONV        5  5  5  5  5
UNPACK                4  4  4  4  6
"""
LITERT_VERSIONS = {name: tuple(map(int, versions)) for name, *versions in map(str.split, _LITERT_TABLE.strip().splitlines())}

RELEASES = {"ai-edge-litert": (LITERT_RELEASES[0], LITERT_RELEASES[-1]), "tflite-runtime": ("2.7.0", "2.14.0")}
"""The oldest and the newest release in the tables, by package."""


def oldest_tflite(operators: Mapping[str, int]) -> str | None:
    """Return the oldest TensorFlow Lite release with these versions of operators; None if one is not in the table."""
    found = []
    for name, version in operators.items():
        since = TFLITE_SINCE.get(name, ())
        if not 0 < version <= len(since):
            return None
        found.append(since[version - 1])
    return max(found, key=release_key, default=None)


def highest(package: str, release: str, operator: str) -> int:
    """Return the highest version of an operator that a release has; 0 if it lacks the operator, or no table lists it."""
    if package == "ai-edge-litert":
        if operator in LITERT_VERSIONS:
            column = sum(release_key(measured) <= release_key(release) for measured in LITERT_RELEASES) - 1
            return LITERT_VERSIONS[operator][column]
        release = LITERT_BASE
    return sum(release_key(since) <= release_key(release) for since in TFLITE_SINCE.get(operator, ()))
