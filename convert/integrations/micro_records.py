"""Whether tflite-micro can run a .tflite file, and what was measured when its sources were written."""

from dataclasses import dataclass

from edgecnn.edge.compatibility.tflite_graph import Table, root, used_operators
from edgecnn.edge.errors import ConversionError, parsing
from edgecnn.edge.text import counted, printable

# Positions of fields in the tables of schema.fbs, and where numbers may lie by their TensorType; single bytes may anywhere, and
# a Cortex-M reads 8 bytes as two words.
_MODEL_SUBGRAPHS, _MODEL_BUFFERS, _SUBGRAPH_TENSORS, _TENSOR_TYPE, _TENSOR_BUFFER, _BUFFER_DATA = 2, 4, 0, 1, 2, 0
_MULTIPLES = {0: 4, 1: 2, 2: 4, 4: 4, 7: 2, 10: 4, 15: 4}


def require_aligned(data: bytes, name: str) -> None:
    """Raise if a constant of several bytes a number does not lie at words or half words: a Cortex-M0+ faults on it.

    `data` is the .tflite file, itself aligned to 16 bytes; `name` is for messages.

    Raises:
        ConversionError: If one is not aligned.
        ArtifactError: If the bytes are not a TFLite file.
    """
    with parsing(f"{name} can't be read", "copy it again"):
        model = root(data)
        buffers = model.tables(_MODEL_BUFFERS)
        tensors = [tensor for graph in model.tables(_MODEL_SUBGRAPHS) for tensor in graph.tables(_SUBGRAPH_TENSORS)]
        crooked = sum(_is_crooked(tensor, buffers) for tensor in tensors)
    if crooked:
        raise ConversionError(
            f"{name}: {crooked} of its constants are not aligned, as a microcontroller needs them: export it again"
        )


def _is_crooked(tensor: Table, buffers: list[Table]) -> bool:
    start, count = buffers[tensor.u32(_TENSOR_BUFFER, 0)].vector(_BUFFER_DATA)
    return count > 0 and start % _MULTIPLES.get(tensor.i8(_TENSOR_TYPE), 1) != 0


# The methods of tflite-micro's MicroMutableOpResolver for operators of TFLite, without their "Add".
_METHODS_TEXT = """
    Abs Add AddN ArgMax ArgMin AssignVariable AveragePool2D BatchMatMul BatchToSpaceNd BroadcastArgs BroadcastTo CallOnce Cast
    Ceil Concatenation Conv2D Cos CumSum DepthToSpace DepthwiseConv2D Dequantize Div DynamicUpdateSlice Elu EmbeddingLookup
    Equal Exp ExpandDims Fill Floor FloorDiv FloorMod FullyConnected Gather GatherNd Greater GreaterEqual HardSwish If
    L2Normalization L2Pool2D LeakyRelu Less LessEqual Log LogicalAnd LogicalNot LogicalOr Logistic LogSoftmax Maximum MaxPool2D
    Mean Minimum MirrorPad Mul Neg NotEqual Pack Pad PadV2 Prelu Quantize ReadVariable ReduceAll ReduceMax ReduceMin Relu Relu6
    Reshape ResizeBilinear ResizeNearestNeighbor ReverseV2 Round Rsqrt SelectV2 Shape Sin Slice Softmax SpaceToBatchNd
    SpaceToDepth Split SplitV Sqrt Square SquaredDifference Squeeze StridedSlice Sub Sum Svdf Tanh Transpose TransposeConv
    UnidirectionalSequenceLSTM Unpack VarHandle While ZerosLike
"""
_METHODS = {name.upper(): f"Add{name}" for name in _METHODS_TEXT.split()}


def registrations(data: bytes, name: str) -> tuple[str, ...]:
    """Return the methods of `MicroMutableOpResolver` that register a .tflite file's operators, for example `AddConv2D`.

    Raises:
        ArtifactError: If the bytes are not a TFLite file.
        ConversionError: If tflite-micro lacks an operator.
    """
    with parsing(f"{name} can't be read", "copy it again"):
        operators = used_operators(data)
    lacking = [printable(operator) for operator in operators if _key(operator) not in _METHODS]
    if lacking:
        raise ConversionError(
            f"{name}: tflite-micro lacks {counted(lacking, 'operator')} of it ({', '.join(lacking)}): train a network without"
        )
    return tuple(_METHODS[_key(operator)] for operator in operators)


def _key(operator: str) -> str:
    return operator.replace("_", "")


@dataclass(frozen=True)
class MicroAgreement:
    """How the outputs of tflite-micro and of another runtime's kernels agree on the test images.

    Attributes:
        kernels: The other runtime, with the kernels that it used.
        equal_rows: Number of images with equal outputs.
        same_class: Number of images with the same class.
        largest_steps: Largest difference of an output, in its steps.
        correct: Number of images that the other runtime classifies correctly.
    """

    kernels: str
    equal_rows: int
    same_class: int
    largest_steps: int
    correct: int


@dataclass(frozen=True)
class MicroRecord:
    """What was measured when the sources were written.

    Attributes:
        file: The .tflite file.
        sha256: SHA-256 of it.
        size_bytes: Size of the file in bytes, all of it constant data.
        runtime: Package and version of tflite-micro's interpreter, which has reference kernels.
        arena_bytes: The smallest arena with which it runs on x86-64, in bytes.
        operators: Methods of `MicroMutableOpResolver` that register the file's operators.
        step: Real value of one step of an output.
        images: Number of test images.
        correct: Number of images that tflite-micro classifies correctly.
        compared: How it agrees with LiteRT as it runs by default, and with LiteRT's reference kernels.
        golden: Number of golden vectors.
    """

    file: str
    sha256: str
    size_bytes: int
    runtime: str
    arena_bytes: int
    operators: tuple[str, ...]
    step: float
    images: int
    correct: int
    compared: tuple[MicroAgreement, ...]
    golden: int
