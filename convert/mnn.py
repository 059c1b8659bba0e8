"""Turns one Keras model into the bytes of each .mnn file; the parameters of int8 are computed here."""

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.export.converters import Conversion, Converter, Ranges, channels_first_inputs, finite, refused, widen
from edgecnn.convert.onnx.convert import ChannelsFirstConverter
from edgecnn.edge.files import temporary_folder
from edgecnn.edge.formats import RUNTIMES, CalibrationName
from edgecnn.edge.runtimes.mnn import host_tensor, import_library, open_session
from edgecnn.edge.sandbox.child import child_environment, how_it_ended, python_command

# What it says of operators that MNN lacks: "These Op Not Support: ONNX::A | ONNX::B".
_LACKING = re.compile(r"ONNX::(\S+)")
# Its files have a random name otherwise, so that no two are the same.
_NAME = {"version": "0.0.0", "mnnUuid": "00000000-0000-4000-8000-000000000000"}


def to_mnn(onnx: bytes, half: bool) -> bytes:
    """Convert a float32 .onnx file. If `half`, the weights become float16; MNN computes with them in float32.

    Raises:
        ConversionError: If the converter fails, or MNN lacks an operator.
        MissingDependency: If MNN is not installed.
    """
    return _run("ONNX", onnx, "--MNNModel", "--fp16" if half else "")


def described(mnn: bytes) -> dict[str, Any]:
    """Return an MNN file's network and weights as its schema names them, the numbers to six digits. Errors as `to_mnn`."""
    found: dict[str, Any] = json.loads(_run("MNN", mnn, "--JsonFile", ""))
    return found


def _run(kind: str, data: bytes, written: str, option: str, parameters: Mapping[str, Any] | None = None) -> bytes:
    """Return what the converter writes. It may crash, reports success always, and leaves files in the current folder."""
    package = RUNTIMES["mnn"].package
    if not package.is_installed:
        raise package.missing
    with temporary_folder() as folder:
        given, parameter_file, result = (folder / name for name in ("given", "parameters.json", "result"))
        given.write_bytes(data)
        parameter_file.write_text(json.dumps({**_NAME, **(parameters or {})}))
        command = python_command("import sys, _tools; _tools.mnnconvert(['mnnconvert', *sys.argv[1:]])")
        command += ["-f", kind, "--modelFile", given.name, written, result.name, "--bizCode", "edgecnn"]
        command += ["--compressionParamsFile", parameter_file.name, *filter(None, [option])]
        done = subprocess.run(
            command, cwd=folder, env=child_environment(), capture_output=True, text=True, errors="replace", check=False
        )
        if done.returncode == 0 and result.exists():
            return result.read_bytes()
    lacking = sorted(set(_LACKING.findall(done.stdout + done.stderr)))
    ended = f"its converter {how_it_ended(done.returncode)}" if done.returncode < 0 else "its converter wrote no file"
    raise refused("mnn", f"MNN has no {', '.join(lacking)}" if lacking else ended)


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
    """Return the layers of a float32 file, `described`, that can be integer, in the order in which they run."""
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


class _MnnConverter(ChannelsFirstConverter):
    """A `Converter` for .mnn files."""

    _title = "MNN"

    @cached_property
    def _float32(self) -> bytes:
        return to_mnn(self._onnx[0].data, half=False)

    @cached_property
    def _network(self) -> dict[str, Any]:
        return described(self._float32)

    def convert(self, precision: str) -> bytes:
        return self._float32 if precision == "float32" else to_mnn(self._onnx[0].data, half=True)

    def calibrate(self, inputs: NDArray[Any], method: CalibrationName | None = None) -> Ranges:
        # A range of each tensor that a layer names, by the tensor's name.
        version, mnn = import_library()
        layers = mnn_layers(self._network)
        names = list(dict.fromkeys(name for layer in layers for name in (layer.taken, layer.given, layer.source)))
        net, session = open_session(version, mnn, self._float32, 1, (*names, *self._network["outputName"]))
        entry = net.getSessionInput(session)
        given, batch = host_tensor(mnn, entry)
        tensors = [(name, net.getSessionOutput(session, name)) for name in names]
        hosts = [(name, tensor, *host_tensor(mnn, tensor)) for name, tensor in tensors]
        found: dict[str, tuple[float, float]] = {}
        for image in channels_first_inputs(inputs):
            batch[:] = image[None]
            entry.copyFrom(given)
            net.runSession(session)
            for name, tensor, host, numbers in hosts:
                tensor.copyToHostTensor(host)
                widen(found, name, numbers)
        return finite(found, "mnn")

    def quantize(self, precision: str, ranges: Ranges, keep: Sequence[str] = ()) -> bytes:
        if precision != "int8":
            raise ValueError(f"precision must be int8, got {precision!r}")
        layers = [layer for layer in mnn_layers(self._network) if layer.given not in keep]
        scaled = {name for layer in layers for name in (layer.taken, layer.given)}
        rows = [_parameters(layer, ranges, layer.taken if layer.source in scaled else layer.source) for layer in layers]
        # As MNN's `MNN_compression.proto` defines them.
        parameters = {"algo": [{"type": "QUANTIZE", "quantParams": {"layer": rows}}]} if rows else {}
        return _run("MNN", self._float32, "--MNNModel", "", parameters)

    def operators(self) -> tuple[str, ...]:
        return tuple(layer.given for layer in mnn_layers(self._network))

    def scales(self, data: bytes) -> dict[str, float]:
        network = described(data)
        names = network["tensorName"]
        return {names[row["index"]]: row["quantInfo"]["scale"] for row in network.get("extraTensorDescribe", ())}


def converter(conversion: Conversion) -> Converter:
    return _MnnConverter(conversion)
