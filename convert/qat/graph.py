"""A float32 .tflite file as a network in TensorFlow, whose weights can learn and whose activations can be rounded.

It is the file's own graph, in which the converter has folded the normalisation and joined the activation functions: what is
rounded here is what an int8 file of it rounds.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.keras.load import load_tensorflow
from edgecnn.edge.compatibility.tflite_graph import from_object, to_object
from edgecnn.edge.errors import ConversionError, field, why
from edgecnn.edge.runtimes import opener_for

Weights = Mapping[str, Any]
"""Weights and biases by tensor name: arrays, or tensors and variables of TensorFlow."""
_FILTER, _BIAS = 1, 2
# Number of images whose answers are compared with the file's, and the largest difference for answers up to 1.
_COMPARED, _CLOSE = 3, 1e-3
# What an activation function that is joined with an operator leaves of its values, by its number in the schema: all, ReLU,
# ReLU from -1 to 1, ReLU6.
_FUSED = {0: (-np.inf, np.inf), 1: (0.0, np.inf), 2: (-1.0, 1.0), 3: (0.0, 6.0)}
# The axis of the output channels, by operator.
CHANNELS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}


class NotTrainable(ConversionError):
    """A network can't be trained for integers.

    Attributes:
        reason: Why, as the end of "it can't be trained for integers, since ...".
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"the network can't be trained for integers, since {reason}: omit {field('qat')}")
        self.reason = reason


@dataclass(frozen=True)
class GraphOperator:
    """An operator of the graph.

    Attributes:
        kind: Name in the format's schema, such as `CONV_2D`.
        inputs: Names of its input tensors, in order; empty text for one that is left out.
        output: Name of its output tensor.
        options: The schema's record of its options; None if it has none.
    """

    kind: str
    inputs: tuple[str, ...]
    output: str
    options: Any

    @property
    def channels(self) -> int | None:
        """The axis of the weights that holds the output channels; None if the operator has no weights."""
        return CHANNELS.get(self.kind)

    @property
    def filter(self) -> str:
        """Name of its weights."""
        return self.inputs[_FILTER]

    @property
    def bias(self) -> str | None:
        """Name of its bias, or None."""
        return self.inputs[_BIAS] if len(self.inputs) > _BIAS and self.inputs[_BIAS] else None

    @property
    def limits(self) -> tuple[float, float]:
        """The least and the largest value that its joined activation function gives."""
        return _FUSED[getattr(self.options, "fusedActivationFunction", 0)]


class FloatGraph:
    """The graph of a trusted float32 file with one input, one output and unique tensor names.

    Attributes:
        operators: Its operators, in the order in which they run.
        image: Name of the input tensor.
        output: Name of the output tensor.

    Raises:
        NotTrainable: If an operator is not known here, or its weights are computed.
    """

    def __init__(self, float32: bytes) -> None:
        self._model = to_object(float32)
        (graph,) = self._model.subgraphs
        self._tensors = {tensor.name.decode(): tensor for tensor in graph.tensors}
        names = [tensor.name.decode() for tensor in graph.tensors]
        self.image, self.output = names[graph.inputs[0]], names[graph.outputs[0]]
        self._shapes = {name: () if one.shape is None else tuple(map(int, one.shape)) for name, one in self._tensors.items()}
        self.operators = tuple(
            GraphOperator(
                _kind(self._model.operatorCodes[operator.opcodeIndex]),
                tuple(names[index] if index >= 0 else "" for index in operator.inputs),
                names[operator.outputs[0]],
                operator.builtinOptions,
            )
            for operator in graph.operators
        )
        unknown = dict.fromkeys(one.kind for one in self.operators if one.kind not in _KINDS)
        if unknown:
            raise NotTrainable(f"it has {', '.join(unknown)}")
        if any(one.filter not in self.constants for one in self.operators if one.channels is not None):
            raise NotTrainable("a layer's weights are computed")

    @cached_property
    def constants(self) -> dict[str, NDArray[Any]]:
        """The constant tensors by name."""
        buffers = self._model.buffers
        types = {0: np.float32, 2: np.int32, 4: np.int64}
        return {
            name: np.frombuffer(bytes(buffers[tensor.buffer].data), types[tensor.type]).reshape(tensor.shape)
            for name, tensor in self._tensors.items()
            if buffers[tensor.buffer].data is not None and len(buffers[tensor.buffer].data) and tensor.type in types
        }

    @cached_property
    def weights(self) -> dict[str, NDArray[np.float32]]:
        """What can learn: the weights and biases of convolutions and dense layers."""
        layers = [one for one in self.operators if one.channels is not None]
        names = dict.fromkeys(name for one in layers for name in (one.filter, one.bias) if name in self.constants)
        return {str(name): self.constants[str(name)] for name in names}

    @property
    def scores(self) -> str:
        """Name of what a final softmax or sigmoid is computed from, else of the output."""
        last = self.operators[-1]
        return last.inputs[0] if last.kind in ("SOFTMAX", "LOGISTIC") else self.output

    def run(self, images: Any, weights: Weights, compute: "Callable[[GraphOperator, Sequence[Any]], Any] | None" = None) -> Any:
        """Return every computed tensor by name, (n, ...) with the whole shape that the file has for one image.

        That shape may lack a batch axis, or have it in another place.

        Args:
            images: Model inputs (n, ...).
            weights: What takes the place of `self.weights`.
            compute: What an operator makes of its inputs (None for one that is left out); by default `in_float`.
        """

        def shaped(name: str, found: Any) -> Any:
            return load_tensorflow().reshape(found, (-1, *self._shapes[name]))

        values = {**self.constants, **weights, self.image: shaped(self.image, images)}
        for operator in self.operators:
            inputs = [values[name] if name else None for name in operator.inputs]
            values[operator.output] = shaped(operator.output, (compute or in_float)(operator, inputs))
        return values

    def with_weights(self, weights: Mapping[str, NDArray[np.float32]]) -> bytes:
        """Return the file with other weights."""
        from ai_edge_litert import schema_py_generated as schema

        for name, values in weights.items():
            buffer, tensor = schema.BufferT(), self._tensors[name]
            buffer.data = np.frombuffer(np.ascontiguousarray(values, np.float32).tobytes(), np.uint8)
            users = [other for other in self._tensors.values() if other.buffer == tensor.buffer]
            if len(users) > 1:  # Equal constants may be stored once.
                tensor.buffer = len(self._model.buffers)
                self._model.buffers.append(buffer)
            else:
                self._model.buffers[tensor.buffer] = buffer
        return from_object(self._model)


def in_float(operator: GraphOperator, inputs: Sequence[Any]) -> Any:
    """Return what the float file's operator computes of its inputs (n, ...) and constants."""
    return _KINDS[operator.kind](operator.options, *inputs)


def without_activation(operator: GraphOperator, inputs: Sequence[Any]) -> Any:
    """Return what it computes before its joined activation function, of inputs (n, ...) and weights on any scale."""
    options = copy.copy(operator.options)
    options.fusedActivationFunction = 0
    return _KINDS[operator.kind](options, *inputs)


def require_same(float32: bytes, inputs: NDArray[Any]) -> None:
    """Raise NotTrainable unless `FloatGraph` computes what the file itself does, for a few of these model inputs (n, ...).

    They are run together: what mixes them up is seen.
    """
    network, few = FloatGraph(float32), inputs[:: max(1, len(inputs) // _COMPARED)][:_COMPARED]
    runtime = opener_for("tflite").open_model(float32, 1)
    expected = np.stack([np.ravel(runtime.run(one[np.newaxis])) for one in few])
    try:
        found = np.reshape(network.run(few, network.weights)[network.output], expected.shape)
    except Exception as error:  # TensorFlow's and numpy's errors share no base class.
        raise NotTrainable(f"TensorFlow can't run its graph ({why(error)})") from error
    if (difference := np.abs(found - expected).max()) > _CLOSE * max(1.0, np.abs(expected).max()):
        raise NotTrainable(f"TensorFlow computes something else of its graph: {difference:.2g} is the largest difference")


def _kind(code: Any) -> str:
    from ai_edge_litert import schema_py_generated as schema

    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    return str(names[code.builtinCode])


def _fused(options: Any, values: Any) -> Any:
    limits = _FUSED[options.fusedActivationFunction]
    return values if limits == _FUSED[0] else load_tensorflow().clip_by_value(values, *limits)


def _pictures(values: Any) -> Any:
    """Return values (n, ..., h, w, c) as (pictures, h, w, c)."""
    return load_tensorflow().reshape(values, (-1, *values.shape[-3:]))


def _aligned(values: Sequence[Any]) -> list[Any]:
    """Return values (n, ...) of one rank; constants, which are those of one image, become (1, ...)."""
    every = [one[np.newaxis] if isinstance(one, np.ndarray) else one for one in values]
    rank = max(len(one.shape) for one in every)
    return [load_tensorflow().reshape(one, (-1, *[1] * (rank - len(one.shape)), *one.shape[1:])) for one in every]


def _padding(options: Any) -> str:
    return "VALID" if options.padding else "SAME"


def _convolution(options: Any, images: Any, weights: Any, bias: Any = None) -> Any:
    """Return what a convolution computes, in its groups: not every CPU trains groups, or the dilation of conv2d."""
    tf = load_tensorflow()
    groups = images.shape[-1] // weights.shape[-1]
    parts = tf.split(_pictures(images), groups, -1), tf.split(tf.transpose(weights, (1, 2, 3, 0)), groups, -1)
    strides, dilations = (options.strideH, options.strideW), (options.dilationHFactor, options.dilationWFactor)
    found = tf.concat(
        [tf.nn.convolution(one, its, strides, _padding(options), dilations=dilations) for one, its in zip(*parts, strict=True)],
        -1,
    )
    return _fused(options, found if bias is None else found + bias)


def _depthwise(options: Any, images: Any, weights: Any, bias: Any = None) -> Any:
    tf = load_tensorflow()
    _, height, width, _ = weights.shape
    found = tf.nn.depthwise_conv2d(
        _pictures(images),
        tf.reshape(weights, (height, width, images.shape[-1], options.depthMultiplier)),
        (1, options.strideH, options.strideW, 1),
        _padding(options),
        dilations=(options.dilationHFactor, options.dilationWFactor),
    )
    return _fused(options, found if bias is None else found + bias)


def _dense(options: Any, values: Any, weights: Any, bias: Any = None) -> Any:
    tf = load_tensorflow()
    found = tf.matmul(tf.reshape(values, (-1, weights.shape[1])), weights, transpose_b=True)
    return _fused(options, found if bias is None else found + bias)


def _pool(function: str, options: Any, images: Any) -> Any:
    sizes = (options.filterHeight, options.filterWidth), (options.strideH, options.strideW)
    return _fused(options, getattr(load_tensorflow().nn, function)(_pictures(images), *sizes, _padding(options)))


def _elementwise(function: str, options: Any, *values: Any) -> Any:
    return getattr(load_tensorflow().math, function)(*_aligned(values))


def _arithmetic(function: str, options: Any, *values: Any) -> Any:
    return _fused(options, _elementwise(function, options, *values))


def _reduced(function: str, options: Any, values: Any, axes: NDArray[np.int32]) -> Any:
    of_one_image = len(values.shape) - 1
    places = tuple(axis % of_one_image + 1 for axis in axes.ravel().tolist())
    return getattr(load_tensorflow(), function)(values, places)


def _same(options: Any, values: Any, *shape: Any) -> Any:
    return values  # `run` gives every tensor its shape.


def _pad(options: Any, values: Any, sizes: NDArray[np.int32], filling: Any = None) -> Any:
    constant = 0 if filling is None else float(np.ravel(filling)[0])
    return load_tensorflow().pad(values, [[0, 0], *sizes.tolist()], constant_values=constant)


def _joined(options: Any, *values: Any) -> Any:
    axis = options.axis % (len(values[0].shape) - 1) + 1
    return _fused(options, load_tensorflow().concat(values, axis))


def _transposed(options: Any, values: Any, order: NDArray[np.int32]) -> Any:
    return load_tensorflow().transpose(values, [0, *(order.ravel() + 1).tolist()])


def _hard_swish(options: Any, values: Any) -> Any:
    return values * load_tensorflow().nn.relu6(values + 3) / 6


_KINDS: Mapping[str, Callable[..., Any]] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _dense,
    "MAX_POOL_2D": partial(_pool, "max_pool2d"),
    "AVERAGE_POOL_2D": partial(_pool, "avg_pool2d"),
    "MEAN": partial(_reduced, "reduce_mean"),
    "REDUCE_MAX": partial(_reduced, "reduce_max"),
    "ADD": partial(_arithmetic, "add"),
    "SUB": partial(_arithmetic, "subtract"),
    "MUL": partial(_arithmetic, "multiply"),
    "MAXIMUM": partial(_elementwise, "maximum"),
    "MINIMUM": partial(_elementwise, "minimum"),
    "SQUARED_DIFFERENCE": partial(_elementwise, "squared_difference"),
    "NEG": partial(_elementwise, "negative"),
    "RSQRT": partial(_elementwise, "rsqrt"),
    "RESHAPE": _same,
    "SQUEEZE": _same,
    "EXPAND_DIMS": _same,
    "TRANSPOSE": _transposed,
    "PAD": _pad,
    "PADV2": _pad,
    "CONCATENATION": _joined,
    "RELU": lambda options, values: load_tensorflow().nn.relu(values),
    "RELU6": lambda options, values: load_tensorflow().nn.relu6(values),
    "LEAKY_RELU": lambda options, values: load_tensorflow().nn.leaky_relu(values, options.alpha),
    "ELU": lambda options, values: load_tensorflow().nn.elu(values),
    "GELU": lambda options, values: load_tensorflow().nn.gelu(values, options.approximate),
    "HARD_SWISH": _hard_swish,
    "LOGISTIC": lambda options, values: load_tensorflow().nn.sigmoid(values),
    "TANH": lambda options, values: load_tensorflow().nn.tanh(values),
    "SOFTMAX": lambda options, values: load_tensorflow().nn.softmax(values * options.beta),
}
"""What each operator computes, of its options, inputs (n, ...) and constants, as in the format's reference kernels."""
