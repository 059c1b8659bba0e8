"""Quantizes an MNN file to int8 by parameters that are computed here, in the form that MNN's own compression tool gives them.

MNN's offline quantizer `mnnquant` calibrates by itself, with moving averages or thresholds, and loses accuracy that the
smallest and largest values keep. An integer layer has one scale for each channel of its weights, one for its input and one for
its output; zero is 0. Between two tensors with the same scale, MNN pools and reorders integers; where scales differ, floats. A
tensor without a scale gets that of what is pooled or reordered from it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.export.converters import Ranges
from edgecnn.convert.mnn.convert import with_parameters
from edgecnn.edge.errors import ConversionError
from edgecnn.edge.runtimes.mnn import host_tensor, imported_mnn, open_session

_LARGEST = 127
_KINDS = ("Convolution", "ConvolutionDepthwise")
# Operators whose input gets the scale of their output, of those that read one tensor of numbers.
_REORDERING = (
    "ConvertTensor", "Flatten", "Identity", "Permute", "Pooling", "Pooling3D", "ReLU", "ReLU6", "Reshape", "Squeeze",
    "Transpose", "Unsqueeze",
)  # fmt: skip
# Weights are read with six digits.
_DIGIT = 1e-6


class MnnLayer(NamedTuple):
    """A convolution or, as one, a dense layer.

    Attributes:
        name: The layer's name.
        taken: Name of its input tensor.
        given: Name of its output tensor.
        source: Name of the tensor from which its input is pooled and reordered; its input's own if it is not.
        largest: Largest absolute weight of each output channel.
    """

    name: str
    taken: str
    given: str
    source: str
    largest: tuple[float, ...]


def mnn_layers(network: Mapping[str, Any]) -> tuple[MnnLayer, ...]:
    """Return the layers of a float32 file that can be integer, in the order in which they run.

    Args:
        network: The file, `described`.
    """
    names = network["tensorName"]
    makers = {index: operator for operator in network["oplists"] for index in operator["outputIndexes"]}
    layers = []
    for operator in network["oplists"]:
        if operator["type"] in _KINDS and len(operator["inputIndexes"]) == 1 and operator["main"].get("weight"):
            rows = np.array(operator["main"]["weight"], np.float32).reshape(operator["main"]["common"]["outputCount"], -1)
            largest = np.abs(rows).max(axis=1).tolist()
            taken, given = operator["inputIndexes"][0], operator["outputIndexes"][0]
            source = taken
            while makers[source]["type"] in _REORDERING:
                source = makers[source]["inputIndexes"][0]
            layers.append(MnnLayer(operator["name"], names[taken], names[given], names[source], tuple(largest)))
    return tuple(layers)


def calibrate_mnn(float32: bytes, network: Mapping[str, Any], inputs: NDArray[Any]) -> Ranges:
    """Return the smallest and the largest value of each tensor that a layer of `mnn_layers` names, by the tensor's name.

    Args:
        float32: A float32 file.
        network: The same, `described`.
        inputs: Model inputs (n, height, width, channels).

    Raises:
        ConversionError: If a value is not finite.
    """
    version, mnn = imported_mnn()
    names = list(dict.fromkeys(name for layer in mnn_layers(network) for name in (layer.taken, layer.given, layer.source)))
    net, session = open_session(version, mnn, float32, 1, (*names, *network["outputName"]))
    entry = net.getSessionInput(session)
    given, batch = host_tensor(mnn, entry)
    tensors = [(name, net.getSessionOutput(session, name)) for name in names]
    hosts = [(name, tensor, *host_tensor(mnn, tensor)) for name, tensor in tensors]
    found: dict[str, tuple[float, float]] = {}
    for values in inputs:
        batch[:] = values.transpose(2, 0, 1)[None]
        entry.copyFrom(given)
        net.runSession(session)
        for name, tensor, host, numbers in hosts:
            tensor.copyToHostTensor(host)
            if not np.isfinite(numbers).all():
                raise ConversionError(f"mnn: {name} is not finite for a calibration image: check the model and its inputs")
            low, high = found.get(name, (np.inf, -np.inf))
            found[name] = min(low, float(numbers.min())), max(high, float(numbers.max()))
    return found


def quantize_mnn(float32: bytes, network: Mapping[str, Any], ranges: Ranges, keep: Sequence[str] = ()) -> bytes:
    """Return the file with integer layers.

    Args:
        float32: A float32 file.
        network: The same, `described`.
        ranges: Result of `calibrate_mnn`.
        keep: Layers that stay float, by the name of their output tensor.

    Raises:
        ConversionError: If the converter fails.
    """
    layers = [layer for layer in mnn_layers(network) if layer.given not in keep]
    scaled = {name for layer in layers for name in (layer.taken, layer.given)}
    rows = [_parameters(layer, ranges, layer.taken if layer.source in scaled else layer.source) for layer in layers]
    return with_parameters(float32, {"algo": [{"type": "QUANTIZE", "quantParams": {"layer": rows}}]} if rows else {})


def mnn_scales(network: Mapping[str, Any]) -> dict[str, float]:
    """Return the step between two integers of each integer tensor of a quantized file, `described`, by the tensor's name."""
    names = network["tensorName"]
    return {names[row["index"]]: row["quantInfo"]["scale"] for row in network.get("extraTensorDescribe", ())}


def _parameters(layer: MnnLayer, ranges: Ranges, origin: str) -> dict[str, Any]:
    """Return a layer's parameters; the range of `origin` is that of its input."""

    def activation(name: str, origin: str) -> dict[str, Any]:
        return {"name": name, "scales": [_scale(max(map(abs, ranges[origin])))], **clamp}

    clamp = {"clampMin": -_LARGEST, "clampMax": _LARGEST}
    weights = {"name": layer.name, "scales": [_scale(largest + _DIGIT) for largest in layer.largest], **clamp}
    read, written = activation(layer.taken, origin), activation(layer.given, layer.given)
    return {"input": [read], "output": [written], "weight": [weights]}


def _scale(largest: float) -> float:
    return largest / _LARGEST if largest else 1.0
