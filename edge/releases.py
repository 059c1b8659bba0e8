"""Which release of a runtime knows what: the tables behind `oldest runtime`, `export --for` and the doctor.

Numbers were checked on the packages themselves, by loading files of one operator with every version (TFLite) or opset and IR
version (ONNX): where a source promises more than a release has, the table follows the release. It was so in TensorFlow 1.15.0,
2.1.0, 2.3.0, 2.4.4 and 2.5.3, tflite-runtime 2.7.0 to 2.14.0, ai-edge-litert 1.0.1 to 2.3.0 and onnxruntime 1.6.0 to 1.32.0.
"""

from collections.abc import Mapping

from edge.needs import DENSE_BY_CHANNEL, ONNX_DOMAIN, Needs

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
ELU                     1.14.0
EXP                     1.7.0 2.13.0
EXPAND_DIMS             1.10.0
FULLY_CONNECTED         1.5.0 1.10.0 1.14.0 1.14.0 2.0.0 2.1.0 2.3.0 2.3.0 2.4.0 2.13.0 2.15.0 2.17.0 2.18.0 2.21.0
GATHER                  1.6.0 1.14.0 1.15.0 2.4.0 2.5.0 2.13.0 2.15.0
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
# Up to 2.9.1 these load, and give another class for every image; no operator version tells. Seen on the packages.
TFLITE_SINCE[DENSE_BY_CHANNEL] = ("2.10.0",)

# Before, some files of the quantiser give other numbers: sigmoid and tanh of 16 bits in 2.4.4, most convolutions of 8 bits in
# 1.15.0. All before 2.4 take its QUANTIZE for an ADD, since it writes operators by their new code alone. Seen on the packages.
INTEGERS_SINCE = "2.5.0"

# ai-edge-litert has numbers of its own. The highest version of the operators of which it has others than TensorFlow Lite
# 2.14, in the releases of LITERT_RELEASES: from the packages, there is no list.
LITERT_RELEASES = ("1.0.1", "1.2.0", "2.0.2", "2.1.0", "2.3.0")
LITERT_BASE = "2.14.0"
_LITERT_TABLE = """
ADD              5  5  5  5  6
BROADCAST_TO     3  3  3  3  4
CAST             6  7  7  8  9
CONCATENATION    4  4  4  4  7
CONV_2D          8  8  8  8  8
DEQUANTIZE       6  6  6  7  9
FULLY_CONNECTED 13 13 13 14 14
GATHER           7  7  7  7  8
GELU             2  2  2  2  3
LOG              2  2  2  2  2
MUL              7  7  7  7  8
PACK             4  4  4  4  5
PAD              4  4  5  5  6
PADV2            4  4  5  5  6
QUANTIZE         3  3  3  4  6
RSQRT            3  3  3  3  3
SLICE            6  6  6  7  8
SOFTMAX          3  3  3  3  4
SPLIT            4  4  4  4  5
SPLIT_V          2  2  2  2  3
SQRT             1  1  2  2  2
TRANSPOSE        6  7  7  7  9
TRANSPOSE_CONV   5  5  5  5  5
UNPACK           4  4  4  4  6
"""
LITERT_VERSIONS = {name: tuple(map(int, versions)) for name, *versions in map(str.split, _LITERT_TABLE.strip().splitlines())}

# ONNX Runtime's release, its highest opset of ai.onnx and its highest IR version. Sources: the table "ONNX opset support" of
# https://onnxruntime.ai/docs/reference/compatibility.html, and the packages. A release between two has what the earlier has.
ONNX_RUNTIMES = (
    ("1.6", 13, 7),
    ("1.8", 14, 7),
    ("1.9", 15, 8),
    ("1.11", 16, 8),
    ("1.12", 17, 8),
    ("1.14", 18, 8),
    ("1.15", 19, 9),
    ("1.17", 20, 9),
    ("1.18", 21, 10),
    ("1.21", 22, 10),
    ("1.23", 23, 11),
    ("1.24", 25, 13),
    ("1.27", 26, 13),
    ("1.32", 28, 14),
)


def release_key(release: str) -> tuple[int, ...]:
    """Return a release's numbers, to compare it with another: 2.14 is 2.14.0.

    Raises:
        ValueError: If it is no numbers with dots between.
    """
    numbers = [int(number) for number in release.split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def oldest_runtime(needs: Needs) -> str | None:
    """Return the oldest release that runs the file, as `package>=version`; None where the tables don't say."""
    if needs.ir_version is None:
        release = oldest_tflite(needs.operators) if not needs.unknown else None
        if release and (needs.int8 or needs.int16):
            release = max(release, INTEGERS_SINCE, key=release_key)
        return release and f"tensorflow-lite>={release}"
    release = oldest_onnx(needs.opsets, needs.ir_version)
    return release and f"onnxruntime>={release}"


def oldest_tflite(operators: Mapping[str, int]) -> str | None:
    """Return the oldest TensorFlow Lite release with these versions of operators; None if one is not in the table."""
    found = []
    for name, version in operators.items():
        since = TFLITE_SINCE.get(name, ())
        if not 0 < version <= len(since):
            return None
        found.append(since[version - 1])
    return max(found, key=release_key, default=None)


def oldest_onnx(opsets: Mapping[str, int], ir_version: int) -> str | None:
    """Return the oldest ONNX Runtime of the table for these; None if it is not there, or a domain is not the standard one."""
    if set(opsets) != {ONNX_DOMAIN}:
        return None
    fits = (release for release, opset, ir in ONNX_RUNTIMES if opsets[ONNX_DOMAIN] <= opset and ir_version <= ir)
    return next(fits, None)
