"""Reads a .keras file as a sequence of steps: TensorFlow's graph for one image, and the layer of each of its operations."""

import functools
import math
from collections.abc import Hashable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from edgecnn.convert.keras.load import functions_inlined, load_tensorflow
from edgecnn.convert.keras.runtime import KerasRuntime, load_from_bytes
from edgecnn.edge.graph.summary import Layer, Network, Reading, Step, bytes_of, einsum_macs
from edgecnn.edge.native_output import quiet

# TensorFlow operations in Keras layers without a convolution, dense layer or matrix product.
_NO_MACS_TEXT = """
    Abs Acos Acosh Add AddN AddV2 All Any ArgMax ArgMin Asin Asinh Assert AssignVariableOp Atan Atan2 Atanh AvgPool AvgPool3D
    BatchToSpaceND BiasAdd Bitcast BroadcastArgs BroadcastTo Bucketize Cast Ceil CheckNumerics ClipByValue Concat ConcatV2 Const
    Cos Cosh CropAndResize Cumprod Cumsum DenseBincount DepthToSpace Div DivNoNan Elu EnsureShape Equal Erf Erfc Exp ExpandDims
    Expm1 FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel Fill Floor FloorDiv FloorMod
    FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 GatherNd GatherV2 Greater GreaterEqual Identity IdentityN Inv
    InvertPermutation IsFinite IsInf IsNan L2Loss LRN LeakyRelu Less LessEqual LinSpace Log Log1p LogSoftmax LogicalAnd
    LogicalNot LogicalOr MatrixBandPart MatrixDiagV3 MatrixSetDiagV3 Max MaxPool MaxPool3D MaxPoolV2 Maximum Mean Min Minimum
    MirrorPad Mod Mul MulNoNan Multinomial Neg NoOp NotEqual OneHot Pack Pad PadV2 ParallelConcat Placeholder
    PlaceholderWithDefault Pow PreventGradient Prod RandomStandardNormal RandomUniform RandomUniformInt Range Rank
    ReadVariableOp RealDiv Reciprocal Relu Relu6 Reshape ResizeArea ResizeBicubic ResizeBilinear ResizeNearestNeighbor Reverse
    ReverseV2 Rint Roll Round Rsqrt ScaleAndTranslate ScatterNd Select SelectV2 Selu Shape ShapeN Sigmoid Sign Sin Sinh Size
    Slice Snapshot Softmax Softplus Softsign SpaceToBatchND SpaceToDepth Split SplitV Sqrt Square SquaredDifference Squeeze
    StopGradient StridedSlice Sub Sum Tan Tanh TensorScatterUpdate Tile TopKV2 Transpose TruncateDiv Unique UniqueV2 Unpack
    VarHandleOp VarIsInitializedOp Where Xdivy Xlog1py Xlogy ZerosLike
"""
_NO_MACS = frozenset(_NO_MACS_TEXT.split())
_PLUMBING = ("Const", "NoOp", "Placeholder", "ReadVariableOp", "VarHandleOp")


@dataclass(frozen=True, eq=False)
class _Call:
    """One call of a layer: the graph had `start` operations before it and `end` after it."""

    layer: Any
    graph: Any
    start: int
    end: int
    output: Any

    @property
    def is_leaf(self) -> bool:
        """Whether the layer contains no other layers."""
        return len(self.layer._flatten_layers()) == 1


def read_network(data: bytes, reading: Reading) -> Network:
    """Trace a Keras model for one image and read its layers.

    A step is what one layer computes without interruption. Its tensors are those that another layer reads: those between a
    layer's own operations are not counted. Weights are counted as in Keras, including those of batch normalisation.

    Raises:
        ArtifactError: If Keras can't load it, or it does not have one input and one output.
        ConfigError: If a trusted module can't be imported.
        MissingDependency: If TensorFlow is not installed.
    """
    model = load_from_bytes(data, reading.name, reading.trust)
    spec = KerasRuntime(model).input_spec  # Its errors say what is wrong with a model.
    calls: list[_Call] = []
    for layer in model._flatten_layers():
        layer.call = _recorded(layer, calls)
    batch = spec.shape[0] or 1
    graph, output = _traced(model, (batch, *spec.shape[1:]), spec.dtype)
    entry = graph.inputs[0]
    # Calls inside a loop are in the loop's own graph.
    steps = _steps(graph, entry, output, [call for call in calls if call.graph is graph])
    tensors = {entry.ref(), *(key for step in steps for key in (*step.reads, *step.writes))}
    sizes: dict[Hashable, int | None] = {key: bytes_of(_shape(key.deref()), key.deref().dtype.name) for key in tensors}
    weights = [(weight.shape, weight.dtype) for weight in model.weights]
    stored = sum(bytes_of(shape, str(dtype)) or 0 for shape, dtype in weights)
    return Network(batch, tuple(steps), sizes, (entry.ref(),), (output.ref(),), (), model.count_params(), stored)


def _recorded(layer: Any, calls: list[_Call]) -> Any:
    compute, tensorflow = layer.call, load_tensorflow()

    @functools.wraps(compute)
    def call(*given: Any, **named: Any) -> Any:
        graph = tensorflow.compat.v1.get_default_graph()
        start = len(graph.get_operations())
        output = compute(*given, **named)
        calls.append(_Call(layer, graph, start, len(graph.get_operations()), output))
        return output

    return call


def _traced(model: Any, shape: tuple[int | None, ...], dtype: str) -> tuple[Any, Any]:
    """Return the graph and its output."""
    tensorflow = load_tensorflow()
    with functions_inlined(), quiet():
        function = tensorflow.function(
            lambda image: tensorflow.nest.flatten(model(image, training=False))[0],
            input_signature=[tensorflow.TensorSpec(shape, dtype)],
            autograph=False,
        )
        graph = function.get_concrete_function().graph
    return graph, graph.outputs[0].op.inputs[0] if graph.outputs[0].op.type == "Identity" else graph.outputs[0]


def _steps(graph: Any, entry: Any, output: Any, calls: list[_Call]) -> list[Step]:
    operations = list(graph.get_operations())
    owners: list[_Call | None] = [None] * len(operations)
    for call in reversed(calls):  # A call ends before the call that contains it, so inner calls overwrite outer ones.
        owners[call.start : call.end] = [call] * (call.end - call.start)
    parts = [list(part) for _, part in groupby(range(len(operations)), key=lambda place: id(owners[place]))]
    part_of = {operations[place].name: number for number, part in enumerate(parts) for place in part}
    read_outside = {output.ref()} | {
        tensor.ref() for item in operations for tensor in item.inputs if part_of[tensor.op.name] != part_of[item.name]
    }
    # Keras tries a recurrent layer's cell once outside of the loop that runs it, and nothing reads that.
    needed, waiting = set[str](), [output.op]
    while waiting:
        operation = waiting.pop()
        if operation.name not in needed:
            needed.add(operation.name)
            waiting += [tensor.op for tensor in operation.inputs]
    idle = [call for call in calls if call.start == call.end and call.is_leaf]
    seen: set[int] = set()
    steps: list[Step] = []
    for part in parts:
        while idle and idle[0].start <= part[0]:
            steps.append(_idle_step(idle.pop(0), seen))
        working = [operations[place] for place in part if operations[place].type not in _PLUMBING]
        # The result of a function goes through an Identity.
        if not working or (owners[part[0]] is None and {item.type for item in working} == {"Identity"}):
            continue
        made = {tensor.ref(): None for item in working for tensor in item.outputs}
        reads = {
            tensor.ref(): None
            for item in working
            for tensor in item.inputs
            if tensor.ref() not in made and (tensor.op.type not in _PLUMBING or tensor is entry)
        }
        writes = tuple(key for key in made if key in read_outside)
        steps.append(Step(_layer(owners[part[0]], working, writes, seen, needed), tuple(reads), writes))
    return steps + [_idle_step(call, seen) for call in idle]


def _layer(call: _Call | None, working: list[Any], writes: tuple[Any, ...], seen: set[int], needed: set[str]) -> Layer:
    result = writes[-1].deref() if writes else working[-1].outputs[0]
    counted = [(operation.name in needed, _macs(operation)) for operation in working]
    macs = [count if is_needed or not count else None for is_needed, count in counted]
    name, kind = (call.layer.name, type(call.layer).__name__) if call else (working[-1].name, working[-1].type)
    if call and not call.is_leaf:
        kind = f"{kind}: {working[-1].type}"  # The layer's own work, between the layers it contains.
    parameters, weight_bytes = _weights(call.layer, seen) if call else (0, 0)
    total = None if None in macs else sum(count or 0 for count in macs)
    return Layer(name, kind, _shape(result), result.dtype.name, parameters, total, weight_bytes)


def _idle_step(call: _Call, seen: set[int]) -> Step:
    """Return the row of a layer that does not change its input, such as Dropout."""
    parameters, weight_bytes = _weights(call.layer, seen)
    output = call.output if hasattr(call.output, "dtype") else None
    shape, dtype = ((), "") if output is None else (_shape(output), output.dtype.name)
    return Step(Layer(call.layer.name, type(call.layer).__name__, shape, dtype, parameters, 0, weight_bytes), (), ())


def _weights(layer: Any, seen: set[int]) -> tuple[int, int]:
    """Return the number and bytes of a layer's own weights, and add them to `seen`, since some are shared."""
    inner = {id(weight) for part in layer._flatten_layers(include_self=False) for weight in part.weights}
    own = [weight for weight in layer.weights if id(weight) not in inner | seen]
    seen.update(map(id, own))
    return sum(math.prod(item.shape) for item in own), sum(bytes_of(item.shape, str(item.dtype)) or 0 for item in own)


def _macs(operation: Any) -> int | None:
    """Return the multiply-accumulates of a TensorFlow operation, from its shapes in tensorflow.raw_ops."""
    if operation.type in _NO_MACS:
        return 0
    shapes = [_shape(tensor) for tensor in (*operation.inputs, *operation.outputs[:1])]
    known = [shape for shape in shapes if shape is not None]
    if len(known) < len(shapes):
        return None
    elements = math.prod(known[-1])
    if operation.type in ("Conv2D", "Conv3D"):
        return elements * math.prod(known[1][:-1])  # (height, width, in of one group, out).
    if operation.type == "DepthwiseConv2dNative":
        return elements * math.prod(known[1][:2])  # (height, width, in, multiplier).
    if operation.type in ("Conv2DBackpropInput", "Conv3DBackpropInputV2"):  # A transposed convolution is this gradient.
        return math.prod(known[2]) * math.prod(known[1][:-1])  # (height, width, out, in).
    if operation.type == "MatMul":
        return elements * known[0][-2 if operation.get_attr("transpose_a") else -1]
    if operation.type in ("BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"):
        return elements * known[0][-2 if operation.get_attr("adj_x") else -1]
    if operation.type == "Einsum":
        return einsum_macs(operation.get_attr("equation").decode(), known[:-1])
    return None


def _shape(tensor: Any) -> tuple[int, ...] | None:
    return tuple(int(size) for size in tensor.shape) if tensor.shape.is_fully_defined() else None
