"""Gives the layers of an int8 .tflite file the mean outputs of its float32 file, by their biases."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.tflite.pair import open_pair
from edgecnn.edge.compatibility.tflite_graph import from_object, to_object

_BIAS = 2  # Place of the bias among the inputs.
_INPUTS = 32
_GROUPS = 8


def corrected_biases(float32: bytes, int8: bytes, inputs: NDArray[Any]) -> bytes | None:
    """Return an int8 file in which each output channel of a layer has the mean that it has in the float file; None if no layer
    has a bias of 32 bits, as in an int16x8 file.

    The bias takes the mean error over the inputs (Nagel and others, 2019, arXiv 1906.04721, section 4.2), after what the
    earlier layers do to it: they are corrected in order, a large network's in eight groups.

    Args:
        float32: The float32 file.
        int8: An int8 file of the same network, made of it.
        inputs: Model inputs (n, ...), without the batch dimension.
    """
    model = to_object(int8)
    (graph,) = model.subgraphs
    names = {index: tensor.name.decode() for index, tensor in enumerate(graph.tensors)}
    layers = {
        names[int(operator.outputs[0])]: int(operator.inputs[_BIAS])
        for operator in graph.operators
        if len(operator.inputs) > _BIAS
        and int(operator.inputs[_BIAS]) >= 0
        and _is_bias(graph.tensors[int(operator.inputs[_BIAS])])
    }
    if not layers:
        return None
    few = inputs[:: max(1, len(inputs) // _INPUTS)][:_INPUTS]
    for group in _groups(list(layers)):
        errors = _errors(float32, from_object(model), few, group)
        for name, error in errors.items():
            _add(model, graph.tensors[layers[name]], -error)
    return from_object(model)


def _is_bias(tensor: Any) -> bool:
    """Return whether a tensor holds 32-bit integers with a scale for each, as of a convolution or a dense layer."""
    from ai_edge_litert import schema_py_generated as schema

    return bool(tensor.type == schema.TensorType.INT32 and tensor.quantization and tensor.quantization.scale is not None)


def _groups(names: Sequence[str]) -> list[Sequence[str]]:
    step = max(1, -(-len(names) // _GROUPS))
    return [names[start : start + step] for start in range(0, len(names), step)]


def _errors(float32: bytes, int8: bytes, inputs: NDArray[Any], names: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Return the mean of the int8 file's output less the float file's, channel by channel, by the tensor's name."""
    pair, sums = open_pair(float32, int8), dict[str, NDArray[np.float64]]()
    for image in inputs:
        for name, reference, value in pair.run(image):
            if name in names and name in pair.quantized:
                axes = tuple(range(reference.ndim - 1))
                sums[name] = sums.get(name, 0) + (value.astype(np.float64) - reference).mean(axis=axes)
    return {name: total / len(inputs) for name, total in sums.items()}


def _add(model: Any, tensor: Any, change: NDArray[np.float64]) -> None:
    """Add real numbers to a bias; its buffer may be that of others, so that it gets one of its own."""
    from ai_edge_litert import schema_py_generated as schema

    stored = np.frombuffer(bytes(model.buffers[tensor.buffer].data), np.int32)
    buffer = schema.BufferT()
    buffer.data = np.frombuffer((stored + np.rint(change / tensor.quantization.scale)).astype(np.int32).tobytes(), np.uint8)
    tensor.buffer = len(model.buffers)
    model.buffers.append(buffer)
