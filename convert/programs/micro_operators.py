"""Which operators of a .tflite file tflite-micro has, and the calls that register them."""

from edgecnn.edge.compatibility.tflite_operators import used_operators
from edgecnn.edge.errors import ConversionError
from edgecnn.edge.parsing import parsing
from edgecnn.edge.text import counted, printable

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
    """Return the methods of `MicroMutableOpResolver` that register a file's operators, for example `AddConv2D`.

    Args:
        data: The .tflite file.
        name: Name of the file for messages.

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
