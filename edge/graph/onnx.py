"""Reads a .onnx file as a sequence of steps; its shapes come from onnx's inference."""

import math
from collections import defaultdict
from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np

from edgecnn.edge.errors import parsing, why
from edgecnn.edge.graph.summary import Layer, Network, Reading, Step, bytes_of, einsum_macs
from edgecnn.edge.model.layout import has_batch
from edgecnn.edge.runtimes import onnxruntime as ort
from edgecnn.edge.runtimes.onnxruntime import require_whole

# Operators without a convolution, dense layer or matrix product, of ai.onnx and of ONNX Runtime's com.microsoft.
_NO_MACS_TEXT = """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization BiasAdd BiasGelu BitShift
    BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast CastLike Ceil Celu CenterCropPad Clip Compress Concat Constant
    ConstantOfShape Cos Cosh CumSum DepthToSpace DequantizeLinear Div Dropout DynamicQuantizeLinear Elu Equal Erf Exp Expand
    EyeLike FastGelu Flatten Floor Gather GatherElements GatherND Gelu GlobalAveragePool GlobalLpPool GlobalMaxPool Greater
    GreaterOrEqual GroupNormalization HardSigmoid HardSwish Hardmax Identity InstanceNormalization IsInf IsNaN LRN
    LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization LpPool Max MaxPool MaxRoiPool MaxUnpool Mean
    MeanVarianceNormalization Min Mish Mod Mul Neg NonMaxSuppression NonZero Not OneHot Or PRelu Pad Pow QLinearAdd
    QLinearAveragePool QLinearConcat QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul QLinearReduceMean QLinearSigmoid
    QLinearSoftmax QuantizeLinear QuickGelu RMSNormalization RandomNormal RandomNormalLike RandomUniform RandomUniformLike Range
    Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
    ReduceSumSquare Relu Reshape Resize ReverseSequence Round ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh
    Size SkipLayerNormalization Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Swish Tan Tanh
    ThresholdedRelu Tile TopK Transpose Trilu Unique Unsqueeze Upsample Where Xor
"""
_NO_MACS = frozenset(_NO_MACS_TEXT.split())
_STANDARD = ("", "ai.onnx", "com.microsoft")
# Positions of the scales and zero points of operators on integers; their other integers are weights.
_SCALES = {
    "QuantizeLinear": (1, 2),
    "DequantizeLinear": (1, 2),
    "ConvInteger": (2, 3),
    "MatMulInteger": (2, 3),
    "QLinearConv": (1, 2, 4, 5, 6, 7),
    "QLinearMatMul": (1, 2, 4, 5, 6, 7),
    "QLinearAdd": (1, 2, 4, 5, 6, 7),
    "QLinearMul": (1, 2, 4, 5, 6, 7),
    "QGemm": (1, 2, 4, 5, 7, 8),
    "MatMulIntegerToFloat": (2, 3, 4, 5),
    "DynamicQuantizeMatMul": (2, 3),
    "MatMulNBits": (2, 3, 4),
    "GatherBlockQuantized": (2, 3),
    "DynamicQuantizeLSTM": (8, 9, 10, 11),
}
_QDQ = ("QuantizeLinear", "DequantizeLinear")
# Positions where other operators have floats that are settings and not weights.
_SETTINGS = {"Clip": (1, 2), "Resize": (1, 2), "Upsample": (1,), "Pad": (2,)}
# Applied to a constant, these only change its form: it belongs to whatever reads their output.
_UNPACKING = ("DequantizeLinear", "QuantizeLinear", "Cast", "Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze")
# Positions of each operator's data and weights.
_CONVOLUTIONS = {"Conv": (0, 1), "FusedConv": (0, 1), "ConvInteger": (0, 1), "QLinearConv": (0, 3), "ConvTranspose": (0, 1)}
_PRODUCTS = (
    "MatMul", "FusedMatMul", "MatMulInteger", "QLinearMatMul", "DynamicQuantizeMatMul", "MatMulIntegerToFloat", "MatMulNBits",
    "Gemm", "QGemm",
)  # fmt: skip


def read_network(data: bytes, reading: Reading) -> Network:
    """Read a file's graph for a batch of one. Of `reading`, an ONNX file needs the name alone.

    In a file with QuantizeLinear and DequantizeLinear around its operators (QDQ), an operator whose output is quantized reads
    and writes integers, as runtimes run it: those around it are part of it and no tensors. The other ones get rows.

    Raises:
        ArtifactError: If the bytes are not an ONNX file, or onnx can't infer its shapes.
    """
    import onnx
    import onnx.inliner

    with parsing(f"{reading.name} can't be read", "copy it again"):
        model = onnx.inliner.inline_local_functions(onnx.load_from_string(data))
        if not model.graph.node:
            raise ValueError("no operators")
        if any(isinstance(name, bytes) for name in _names(model.graph)):  # Protocol Buffers return bytes for such a name.
            raise ValueError("it has a name that is not UTF-8")
        _set_batch(model.graph)
        return _Reader(onnx.shape_inference.infer_shapes(model, data_prop=True)).network()


def _set_batch(graph: Any) -> None:
    """Set a free batch to 1, and drop the file's shapes of inner tensors, which follow from it."""
    constants = {value.name for value in graph.initializer}
    # Some exporters write -1 for a free size.
    for part in _graphs(graph):
        for value in (*part.input, *part.output, *part.value_info):
            for size in value.type.tensor_type.shape.dim:
                if size.dim_value < 0:
                    size.ClearField("dim_value")
    for value in graph.input:
        shape = value.type.tensor_type.shape
        sizes = tuple(size.dim_value if size.HasField("dim_value") else None for size in shape.dim)
        if value.name not in constants and has_batch(sizes) and sizes[0] is None:
            shape.dim[0].dim_value = 1
    # Inference would keep a free dimension of these.
    kept = [value for value in graph.value_info if all(size.HasField("dim_value") for size in value.type.tensor_type.shape.dim)]
    del graph.value_info[:]
    graph.value_info.extend(kept)
    for value in graph.output:
        for size in value.type.tensor_type.shape.dim:
            size.ClearField("dim_param")


class _Reader:
    """Walks over the main graph."""

    def __init__(self, model: Any) -> None:
        import onnx

        graph = model.graph
        # Kept alive, so that each keeps its id.
        self._nodes = list(graph.node)
        self._shapes: dict[str, tuple[int, ...] | None] = {}
        self._dtypes: dict[str, str] = {}
        for value in (*graph.value_info, *graph.output, *graph.input):
            kind = value.type.tensor_type
            sizes = [size.dim_value if size.HasField("dim_value") else None for size in kind.shape.dim]
            known = kind.HasField("shape") and None not in sizes
            self._shapes[value.name] = tuple(size for size in sizes if size is not None) if known else None
            self._dtypes[value.name] = _dtype_name(kind.elem_type)
        stored = {value.name: value for part in _graphs(graph) for value in part.initializer}
        stored |= {value.values.name: value.values for value in graph.sparse_initializer}
        self._options = {
            id(node): {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute} for node in self._nodes
        }
        for node in self._nodes:
            if "value" in self._options[id(node)] and node.op_type == "Constant":
                stored[node.output[0]] = self._options[id(node)]["value"]
        for name, value in stored.items():
            self._shapes[name], self._dtypes[name] = tuple(value.dims), _dtype_name(value.data_type)
        # For each tensor, the constant that it is, or that it is made of.
        self._constants = {name: name for name in stored}
        self._constants |= {node.output[0]: node.output[0] for node in self._nodes if node.op_type == "Constant"}
        self._dequantized: set[str] = set()
        self._counted: set[str] = set()
        self._outputs = [value.name for value in graph.output]
        self._entries = [value.name for value in graph.input if value.name not in self._constants]
        self._computed = {name for node in self._nodes for name in node.output if name} | set(self._entries)
        self._notes: list[str] = []
        if any(self._shapes.get(name) is None for name in self._computed):
            self._run(model)

    def network(self) -> Network:
        left_out = self._fold_constants()
        joined, beside = self._groups()
        left_out |= beside
        steps = [self._step(node, joined) for node in self._nodes if id(node) not in left_out]
        count = sum(node.op_type in _QDQ and id(node) in left_out for node in self._nodes)
        if count:
            self._notes.append(f"QuantizeLinear and DequantizeLinear that are part of neighbouring operators: {count}.")
        names = {*self._entries, *(str(key) for step in steps for key in (*step.reads, *step.writes))}
        sizes: dict[Hashable, int | None] = {
            name: bytes_of(self._shapes.get(name), self._dtypes.get(name, "")) for name in names
        }
        shape = self._shapes.get(self._entries[0]) if self._entries else None
        outputs = tuple(joined.get(name, name) for name in self._outputs if name not in self._constants)
        batch = shape[0] if shape and has_batch(shape) else 1
        return Network(batch, tuple(steps), sizes, tuple(self._entries), outputs, tuple(self._notes))

    def _run(self, model: Any) -> None:
        """Take shapes that onnx can't infer, such as those after ONNX Runtime's own operators, from a run on zeros."""
        if any(self._shapes[name] is None for name in self._entries):  # The model takes images of any size.
            return
        try:
            import onnx

            require_whole(model.SerializeToString())
            inputs = {name: np.zeros(self._shapes[name] or (), self._dtypes[name]) for name in self._entries}
            names = sorted(self._computed - set(self._entries))
            del model.graph.output[:]
            model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
            session = ort.inference_session(model.SerializeToString(), ort.session_options(1))
            for name, value in zip(names, session.run(names, inputs), strict=True):
                self._shapes[name], self._dtypes[name] = value.shape, value.dtype.name
        except Exception as error:  # ONNX Runtime may not know the operators, or reject zeros.
            reason = why(error, 100)
            self._notes.append(f"Some shapes are unknown, and ONNX Runtime could not run the file to find them ({reason}).")

    def _fold_constants(self) -> set[int]:
        """Map the outputs of nodes that only unpack a constant to that constant; return those nodes."""
        folded = set()
        for node in self._nodes:
            given = [name for name in node.input if name]
            if node.op_type == "Constant":
                folded.add(id(node))
            elif node.op_type in _UNPACKING and given and all(name in self._constants for name in given):
                self._constants[node.output[0]] = self._constants[given[0]]
                if node.op_type == "DequantizeLinear" or given[0] in self._dequantized:
                    self._dequantized.add(node.output[0])
                folded.add(id(node))
        return folded

    def _groups(self) -> tuple[dict[str, str], set[int]]:
        """Find the integer operators of a QDQ file.

        Returns:
            For each float tensor that is never made, the integer tensor in its place; and the QuantizeLinear and
            DequantizeLinear that are part of an operator.
        """
        users, makers = defaultdict(list), {}
        for node in self._nodes:
            makers.update(dict.fromkeys(node.output, node.op_type))
            for name in node.input:
                users[name].append(node)
        joined, left_out, on_integers = {}, set(), set()
        for node in self._nodes:
            kept = users[node.output[0]]
            quantized = len(kept) == 1 and kept[0].op_type == "QuantizeLinear" and node.output[0] not in self._outputs
            if node.op_type not in _QDQ and quantized and "DequantizeLinear" in map(makers.get, node.input):
                on_integers.add(id(node))
                left_out.add(id(kept[0]))
                joined[node.output[0]] = kept[0].output[0]
        for node in self._nodes:
            name = node.output[0]
            inside = node.op_type == "DequantizeLinear" and name not in self._constants and name not in self._outputs
            if inside and users[name] and all(id(user) in on_integers for user in users[name]):
                left_out.add(id(node))
                joined[name] = node.input[0]
        return joined, left_out

    def _step(self, node: Any, joined: dict[str, str]) -> Step:
        parameters = weight_bytes = 0
        for place, name in enumerate(_read(node)):
            source = self._constants.get(name)
            if source is None or source in self._counted or not self._is_parameter(node, place, name, source):
                continue
            self._counted.add(source)
            parameters += self._values(node, source)
            weight_bytes += bytes_of(self._shapes[source], self._dtypes[source]) or 0
        writes = [joined.get(name, name) for name in node.output if name]
        reads = [joined.get(name, name) for name in _read(node) if name in self._computed and name not in self._constants]
        layer = Layer(
            node.name or writes[0],
            node.op_type,
            self._shapes.get(writes[0]),
            self._dtypes.get(writes[0], ""),
            parameters,
            self._macs(node),
            weight_bytes,
        )
        return Step(layer, tuple(reads), tuple(writes))

    def _is_parameter(self, node: Any, place: int, name: str, source: str) -> bool:
        if node.op_type in _SCALES:
            return place not in _SCALES[node.op_type]
        if node.op_type.startswith("QLinear"):
            return False
        if "float" in self._dtypes[source]:
            return place not in _SETTINGS.get(node.op_type, ())
        # The table of an embedding whose output is dequantized.
        of_bytes = node.op_type == "Gather" and place == 0 and self._dtypes[source].removeprefix("u") in ("int4", "int8")
        return of_bytes or name in self._dequantized

    def _values(self, node: Any, source: str) -> int:
        """Return the number of weights in a tensor; several share a byte by ONNX Runtime's ContribOperators.md."""
        size, options = math.prod(self._shapes[source] or ()), self._options[id(node)]
        if node.domain == "com.microsoft" and self._dtypes[source] == "uint8":
            if node.op_type == "MatMulNBits":
                return int(options["N"] * options["K"])
            if node.op_type == "GatherBlockQuantized":
                return int(size * 8 // options.get("bits", 4))
        return size

    def _macs(self, node: Any) -> int | None:
        """Return the multiply-accumulates, by the shapes in onnx's Operators.md and ONNX Runtime's ContribOperators.md."""
        if node.domain not in _STANDARD:
            return None
        if node.op_type in _NO_MACS:
            return 0
        inputs, output = [self._shapes.get(name) for name in node.input], self._shapes.get(node.output[0])
        options = self._options[id(node)]
        if node.op_type == "Einsum" and None not in inputs:
            return einsum_macs(options["equation"].decode(), [shape for shape in inputs if shape is not None])
        if node.op_type in _CONVOLUTIONS:
            data, weights = (inputs[place] for place in _CONVOLUTIONS[node.op_type])
            of_each = data if node.op_type == "ConvTranspose" else output  # Weights (in, out of a group, ...); (out, in, ...).
            return None if of_each is None or weights is None else math.prod(of_each) * math.prod(weights[1:])
        if node.op_type in _PRODUCTS and output is not None and inputs[0]:
            return math.prod(output) * inputs[0][-2 if options.get("transA") else -1]
        return None


def _names(graph: Any) -> Iterator[str | bytes]:
    """Yield the names of all operators and tensors."""
    for part in _graphs(graph):
        yield from (value.name for value in (*part.input, *part.output, *part.value_info, *part.initializer))
        for node in part.node:
            yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
            yield from (item.name for item in node.attribute)


def _graphs(graph: Any) -> list[Any]:
    """Return a graph and the graphs inside it, those of conditions and loops."""
    inner = (item.g for node in graph.node for item in node.attribute if item.HasField("g"))
    return [graph, *(part for found in inner for part in _graphs(found))]


def _read(node: Any) -> list[str]:
    """Return the tensors that a node and the graphs inside it read."""
    graphs = [part for item in node.attribute if item.HasField("g") for part in _graphs(item.g)]
    return [*node.input, *(name for graph in graphs for inner in graph.node for name in inner.input)]


def _dtype_name(number: int) -> str:
    import onnx

    return onnx.helper.tensor_dtype_to_np_dtype(number).name if number else ""
