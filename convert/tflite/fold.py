"""Folds columns of an image into channels, for the convolutions of an int8 .tflite file: space-to-depth along the width.

XNNPACK multiplies 4 or 8 input channels at a time, and computes 8 to 64 output channels at a time. A convolution with fewer
leaves much of that unused. Two neighbouring columns, read as one column of twice the channels, fill more of it. The kernel
grows, and zeros fill what is new in it, so every sum has the same numbers in it: the answers are the same to the last bit.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.compatibility.tflite_graph import add_operator_code, from_object, to_object

COLUMNS = (2, 4)
"""Numbers of columns that may be folded into one."""
# With as many output channels, a convolution fills the widest of XNNPACK's kernels by itself.
_WIDE = 64


@dataclass(frozen=True)
class _Kernel:
    """How a kernel's taps (..., width, channels) move if columns are folded.

    Attributes:
        stride: Columns between two outputs, before folding.
        left: Columns of padding at the left, before folding.
        width: Number of taps before folding.
        columns: Number of output columns that become one.
    """

    stride: int
    left: int
    width: int
    columns: int

    @property
    def blocks(self) -> range:
        """The folded input columns that a folded output column needs, relative to its own."""
        first, last = self._places[0][0], self._places[-1][-1]
        size = self.stride * self.columns
        return range(first // size, last // size + 1)

    @property
    def _places(self) -> list[list[int]]:
        """The input column under each tap of each of the outputs, relative to the first column of their own."""
        starts = [self.stride * output - self.left for output in range(self.columns)]
        return [[start + tap for tap in range(self.width)] for start in starts]

    def fold(self, weights: NDArray[np.int8]) -> NDArray[np.int8]:
        """Return weights (outputs, height, width, channels) for folded columns, with all outputs of a column in turn."""
        outputs, height, width, channels = weights.shape
        size, blocks = self.stride * self.columns, self.blocks
        folded = np.zeros((self.columns, outputs, height, len(blocks), size, channels), np.int8)
        for (output, places), tap in product(enumerate(self._places), range(width)):
            block, column = divmod(places[tap], size)
            folded[output, :, :, block - blocks.start, column] = weights[:, :, tap]
        return folded.reshape(self.columns * outputs, height, len(blocks), size * channels)


def foldable(data: bytes) -> dict[str, tuple[int, ...]]:
    """Return the convolutions of a trusted int8 file whose columns may be folded, and into one column how many.

    Returns:
        Name of a convolution's output tensor -> numbers of `COLUMNS`, in the order in which the convolutions run.
    """
    model = to_object(data)
    numbers: dict[str, tuple[int, ...]] = {}
    for operator, kernel in _candidates(model):
        name = _output_name(model.subgraphs[0], operator)
        numbers[name] = (*numbers.get(name, ()), kernel.columns)
    return numbers


def fold(data: bytes, folds: Mapping[str, int]) -> bytes:
    """Return a trusted int8 file so that it computes several columns of some convolutions at once, with the same answers.

    `folds` has the number of columns by the name of a convolution's output tensor. What the file does not have, or has in
    float, is left out.
    """
    if not folds:
        return data
    model = to_object(data)
    graph = model.subgraphs[0]
    candidates = list(_candidates(model))
    chosen = [
        (operator, kernel) for operator, kernel in candidates if folds.get(_output_name(graph, operator)) == kernel.columns
    ]
    for operator, kernel in chosen:
        place = next(place for place, one in enumerate(graph.operators) if one is operator)
        graph.operators[place : place + 1] = _folded(model, graph, operator, kernel)
    return from_object(model) if chosen else data


def _candidates(model: Any) -> Iterator[tuple[Any, _Kernel]]:
    """Yield (operator, kernel) of each convolution and number of columns that suit each other."""
    if len(model.subgraphs) != 1:
        return
    (graph,) = model.subgraphs
    for operator in graph.operators:
        if _is_convolution(model, graph, operator):
            for columns in COLUMNS:
                if kernel := _kernel(graph, operator, columns):
                    yield operator, kernel


def _is_convolution(model: Any, graph: Any, operator: Any) -> bool:
    """Return whether an operator is an int8 convolution of fixed sizes whose weights and bias are its own."""
    from ai_edge_litert import schema_py_generated as schema

    if model.operatorCodes[operator.opcodeIndex].builtinCode != schema.BuiltinOperator.CONV_2D:
        return False
    if len(operator.inputs) < 3 or min(operator.inputs) < 0:  # It has no bias.
        return False
    tensors = [graph.tensors[index] for index in (*operator.inputs, *operator.outputs)]
    image, weights, bias, output = tensors
    types = [image.type, weights.type, bias.type, output.type]
    expected = [schema.TensorType.INT8, schema.TensorType.INT8, schema.TensorType.INT32, schema.TensorType.INT8]
    if types != expected:
        return False
    uses = [int(index) for other in graph.operators for index in other.inputs]
    buffers = [tensor.buffer for tensor in graph.tensors]
    own = all(uses.count(int(index)) == 1 for index in operator.inputs[1:])
    own = own and all(buffers.count(tensor.buffer) == 1 for tensor in (weights, bias))
    fixed = all(min(_signature(tensor)) > 0 for tensor in (image, output))
    grouped = image.shape[3] != weights.shape[3]
    scaled = len(weights.quantization.scale) == weights.shape[0]  # One for each filter.
    dilated = (operator.builtinOptions.dilationHFactor, operator.builtinOptions.dilationWFactor) != (1, 1)
    return own and fixed and scaled and not grouped and not dilated


def _signature(tensor: Any) -> list[int]:
    """Return a tensor's sizes, with -1 for one that is not fixed."""
    return [int(size) for size in (tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature)]


def _kernel(graph: Any, operator: Any, columns: int) -> _Kernel | None:
    """Return how a convolution's kernel is folded; None if its sizes do not allow it, or nothing is to be gained."""
    image, weights, _ = (graph.tensors[index] for index in operator.inputs)
    (outputs, _, taps, _), before = weights.shape, int(image.shape[2])
    after, stride = int(graph.tensors[operator.outputs[0]].shape[2]), int(operator.builtinOptions.strideW)
    # With whole columns on both sides, the folded kernel needs the padding that the format's rule gives it.
    if taps == 1 or outputs >= _WIDE or before % (stride * columns) or after % columns:
        return None
    return _Kernel(stride, max((after - 1) * stride + int(taps) - before, 0) // 2, int(taps), columns)


def _folded(model: Any, graph: Any, operator: Any, kernel: _Kernel) -> list[Any]:
    """Fold a convolution, and return it between two operators that only read columns as channels."""
    image, weights, bias = (graph.tensors[index] for index in operator.inputs)
    output = graph.tensors[operator.outputs[0]]
    taken = np.frombuffer(bytes(model.buffers[weights.buffer].data), np.int8).reshape(weights.shape)
    added = np.frombuffer(bytes(model.buffers[bias.buffer].data), np.int32)
    for tensor, values in ((weights, kernel.fold(taken)), (bias, np.tile(added, kernel.columns))):
        model.buffers[tensor.buffer].data = np.frombuffer(values.tobytes(), np.uint8)
        tensor.shape = list(values.shape)
        tensor.shapeSignature = None
        for name in ("scale", "zeroPoint"):  # One for each output channel.
            setattr(tensor.quantization, name, np.tile(getattr(tensor.quantization, name), kernel.columns))
    before, after = operator.inputs[0], operator.outputs[0]
    wide = _reshaped(graph, image, kernel.stride * kernel.columns, _output_name(graph, operator) + "_columns")
    deep = _reshaped(graph, output, kernel.columns, _output_name(graph, operator) + "_folded")
    first = _reshape(model, graph, before, wide)
    operator.inputs, operator.outputs = [wide, *operator.inputs[1:]], [deep]
    operator.builtinOptions.strideW = 1
    return [first, operator, _reshape(model, graph, deep, after)]


def _reshaped(graph: Any, tensor: Any, columns: int, name: str) -> int:
    """Add a tensor like another, with several columns as one, and return its index."""
    batch, height, width, channels = (int(size) for size in tensor.shape)
    new = copy.deepcopy(tensor)
    new.name, new.shape, new.shapeSignature = name.encode(), [batch, height, width // columns, channels * columns], None
    graph.tensors.append(new)
    return len(graph.tensors) - 1


def _reshape(model: Any, graph: Any, before: int, after: int) -> Any:
    """Return an operator that reads a tensor in another shape."""
    from ai_edge_litert import schema_py_generated as schema

    buffer, shape, operator = schema.BufferT(), schema.TensorT(), schema.OperatorT()
    buffer.data = np.frombuffer(np.asarray(graph.tensors[after].shape, np.int32).tobytes(), np.uint8)
    shape.name, shape.shape, shape.type = graph.tensors[after].name + b"_shape", [4], schema.TensorType.INT32
    shape.buffer = len(model.buffers)
    model.buffers.append(buffer)
    graph.tensors.append(shape)
    operator.opcodeIndex = _code(model, schema.BuiltinOperator.RESHAPE)
    operator.inputs, operator.outputs = [before, len(graph.tensors) - 1], [after]
    return operator


def _code(model: Any, builtin: int) -> int:
    """Return the index of an operator's code, which is added if the file does not have it."""
    found = (index for index, code in enumerate(model.operatorCodes) if code.builtinCode == builtin)
    index = next(found, None)
    return add_operator_code(model, builtin) if index is None else index


def _output_name(graph: Any, operator: Any) -> str:
    return str(graph.tensors[operator.outputs[0]].name.decode())
