"""Turns one Keras model into the bytes of each .ncnn file, through pnnx, and compares two files layer by layer.

int8 is written as ncnn's own tools write it.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.diagnose import Operator, Pair, Representable, Values
from edgecnn.convert.export.converters import Conversion, Converter, Ranges, channels_first_inputs, finite, refused, widen
from edgecnn.convert.onnx.convert import ChannelsFirstConverter, run_pnnx
from edgecnn.edge.errors import ArtifactError, ConversionError, field
from edgecnn.edge.files import temporary_folder
from edgecnn.edge.formats import CalibrationName
from edgecnn.edge.runtimes.base import imported
from edgecnn.edge.runtimes.ncnn import NcnnFile, NcnnLayer, input_spec, load, read_param, unpack

# What pnnx says of an operator that ncnn lacks, which it leaves out or keeps under a name that ncnn refuses.
_LEFT_OUT = re.compile(r"^ignore (\S+)", re.MULTILINE)


def to_ncnn(onnx: bytes, shape: tuple[int, int, int]) -> NcnnFile:
    """Convert a float32 .onnx file with one input (1, channels, height, width), of which `shape` is (channels, height, width).

    Raises:
        ConversionError: If pnnx fails, or ncnn lacks an operator.
        MissingDependency: If pnnx is not installed.
    """
    with temporary_folder() as folder:
        code, said = run_pnnx(onnx, shape, folder)
        written = [folder / "model.ncnn.param", folder / "model.ncnn.bin"]
        if code or not all(path.exists() for path in written):
            raise refused("ncnn", f"pnnx ended with {code}")
        if lacking := sorted(set(_LEFT_OUT.findall(said))):
            raise refused("ncnn", f"ncnn has no {', '.join(lacking)} as this network uses it")
        file = NcnnFile(tuple(read_param(written[0].read_text())), written[1].read_bytes())
    channels, height, width = shape
    # pnnx leaves the sizes out, without which nobody knows what a file takes.
    entry = {"0": str(width), "1": str(height), "2": str(channels)}
    layers = (layer._replace(options=entry) if layer.kind == "Input" else layer for layer in file.layers)
    return file._replace(layers=tuple(layers))


_LARGEST = 127  # The smallest integer is its negative.
# Four bytes before weights: what they are.
_FLOAT32, _INT8 = bytes(4), (0x000D4B38).to_bytes(4, "little")
# Added to a layer's kind of scales if it gives integers to the next layer, whose input scale follows its own.
_GIVES_INTEGERS = 100


class _Kind(NamedTuple):
    """A kind of layer that can be integer: the numbers of its options, and the value of `_SCALES` if it has scales."""

    weights: int
    bias: int
    scaled: int


_KINDS = {
    "Convolution": _Kind(weights=6, bias=5, scaled=2),
    "ConvolutionDepthWise": _Kind(weights=6, bias=5, scaled=1),
    "InnerProduct": _Kind(weights=2, bias=1, scaled=2),
}
_SCALES = 8  # The option that says which scales a layer of these has.
# For other layers, the size of their weights in bytes.
_OTHERS: dict[str, Callable[[NcnnLayer], int]] = {
    "BatchNorm": lambda layer: 16 * layer.option(0),
    "MemoryData": lambda layer: 4 * int(np.prod([max(1, layer.option(number)) for number in (0, 1, 2, 11)])),
    "PReLU": lambda layer: 4 * layer.option(0),
    "Scale": lambda layer: 4 * layer.option(0) * (1 + layer.option(1)),
}


class _Part(NamedTuple):
    """A layer with its weights.

    Attributes:
        layer: The layer.
        weights: Float weights of a layer in `_KINDS`, a row for each output channel (of a depthwise one, for each group).
        rest: All that follows them in the file, or all of another layer's.
        steps: The step between two integers of an integer layer's input, and of its output if that goes on as integers.
    """

    layer: NcnnLayer
    weights: NDArray[np.float32] | None
    rest: bytes
    steps: tuple[float, ...] = ()


def _extractor(net: Any, entry: str, image: Any) -> Any:
    """Return what runs a net on an image and gives every layer's output."""
    extractor = net.create_extractor()
    extractor.set_light_mode(False)  # Else what was computed for one layer is gone for the next.
    extractor.input(entry, image.clone())
    return extractor


def _parts(file: NcnnFile, fix: str) -> Iterator[_Part]:
    """Yield each layer with its weights; `fix` ends the message of the error.

    Raises:
        ConversionError: If it is not known where the weights of a layer end.
    """
    place, layer = 0, file.layers[0]

    def unknown() -> ConversionError:
        return ConversionError(f"ncnn int8: the weights before or of {layer.name} ({layer.kind}) have an unknown size: {fix}")

    def taken(size: int) -> bytes:
        nonlocal place
        place += size
        if place > len(file.weights):
            raise unknown()
        return file.weights[place - size : place]

    for layer in file.layers:
        kind = _KINDS.get(layer.kind)
        if kind is None:
            yield _Part(layer, None, taken(_OTHERS[layer.kind](layer) if layer.kind in _OTHERS else 0))
            continue
        count, biases = layer.option(kind.weights), 4 * layer.option(0) * layer.option(kind.bias)
        rows = layer.option(7) if layer.kind == "ConvolutionDepthWise" else layer.option(0)  # Each has a scale.
        form = taken(4)
        if form == _FLOAT32:
            weights = np.frombuffer(taken(4 * count), np.float32).reshape(rows, -1)
            yield _Part(layer, weights, taken(biases))
        elif form == _INT8:
            rest = taken(count + -count % 4 + biases + 4 * rows)
            several = 1 + (layer.option(_SCALES) > _GIVES_INTEGERS)
            scales = np.frombuffer(taken(4 * several), np.float32).tolist()
            yield _Part(layer, None, rest, tuple(1 / scale for scale in scales))
        else:
            raise unknown()
    if place != len(file.weights):
        raise unknown()


def _steps(file: NcnnFile) -> dict[str, tuple[float, ...]]:
    parts = _parts(file, "compare files without that layer")
    return {part.layer.name: part.steps for part in parts if part.steps}


def _scale(largest: float) -> float:
    return _LARGEST / largest if largest else 1.0


class _NcnnConverter(ChannelsFirstConverter):
    """A `Converter` for .ncnn files."""

    _title = "ncnn"

    @cached_property
    def _float32(self) -> NcnnFile:
        made, shape = self._onnx
        return to_ncnn(made.data, shape)

    def convert(self, precision: str) -> bytes:
        if precision != "float32":
            raise ValueError(f"precision must be float32, got {precision!r}")
        return self._float32.pack()

    def calibrate(self, inputs: NDArray[Any], method: CalibrationName | None = None) -> Ranges:
        # A range of what each layer reads, by the layer's name.
        _, ncnn = imported("ncnn")
        net = load(ncnn, self._float32, 1)
        taken = {layer.name: layer.inputs[0] for layer in self._float32.layers if layer.kind in _KINDS}
        entry = self._float32.layers[0].outputs[0]
        found: dict[str, tuple[float, float]] = {}
        for image in channels_first_inputs(inputs):
            extractor = _extractor(net, entry, ncnn.Mat(image))
            for name, blob in taken.items():
                status, mat = extractor.extract(blob)
                widen(found, name, image if blob == entry else np.full(1, np.nan) if status else np.array(mat))
        return finite(found, "ncnn")

    def quantize(self, precision: str, ranges: Ranges, keep: Sequence[str] = ()) -> bytes:
        if precision != "int8":
            raise ValueError(f"precision must be int8, got {precision!r}")
        scales = {name: _scale(max(abs(low), abs(high))) for name, (low, high) in ranges.items() if name not in keep}
        readers: dict[str, list[NcnnLayer]] = {}
        for layer in self._float32.layers:
            for blob in layer.inputs:
                readers.setdefault(blob, []).append(layer)
        layers, weights = [], []
        for part in _parts(self._float32, f"omit {field('precisions')}=int8"):
            layer = part.layer
            if layer.kind not in _KINDS or layer.name not in scales or part.weights is None:
                layers.append(layer)
                weights.append(part.rest if part.weights is None else _FLOAT32 + part.weights.tobytes() + part.rest)
                continue
            following = readers.get(layer.outputs[0], [])
            # Integers go from layer to layer if nobody else reads them.
            to = scales.get(following[0].name) if len(following) == 1 and layer.kind != "InnerProduct" else None
            term = _KINDS[layer.kind].scaled + (_GIVES_INTEGERS if to and following[0].kind.startswith("Convolution") else 0)
            layers.append(layer._replace(options={**layer.options, str(_SCALES): str(term)}))
            own = np.array([_scale(float(np.abs(row).max())) for row in part.weights], np.float32)
            integers = np.clip(np.rint(part.weights * own[:, None]), -_LARGEST, _LARGEST).astype(np.int8).tobytes()
            after = [scales[layer.name]] + ([to] if to and term > _GIVES_INTEGERS else [])
            weights.append(
                _INT8 + integers + bytes(-len(integers) % 4) + part.rest + own.tobytes() + np.array(after, np.float32).tobytes()
            )
        return NcnnFile(tuple(layers), b"".join(weights)).pack()

    def operators(self) -> tuple[str, ...]:
        return tuple(layer.name for layer in self._float32.layers if layer.kind in _KINDS)

    def scales(self, data: bytes) -> dict[str, float]:
        return {name: steps[0] for name, steps in _steps(unpack(data)).items()}


def converter(conversion: Conversion) -> Converter:
    return _NcnnConverter(conversion)


_PASSING = {"Clip", "Concat", "Crop", "Dropout", "Flatten", "Padding", "Permute", "ReLU", "Reshape", "Slice", "Squeeze"}
_REGROUPING = {"Flatten", "Permute", "Reshape", "Squeeze"}
# They compute nothing: what goes in, and copies of a blob for its several readers.
_NO_OPERATORS = ("Input", "Split")


class _NcnnPair:
    """See `Pair`. Tensors have the names of the layers that compute them.

    Raises:
        ArtifactError: If the files are not of one network.
        MissingDependency: If ncnn is not installed.
    """

    def __init__(self, float32: NcnnFile, quantized: NcnnFile) -> None:
        if [layer[:4] for layer in float32.layers] != [layer[:4] for layer in quantized.layers]:
            raise ArtifactError("they are different networks: name an int8 file, and the float32 file that it was made from")
        makers: dict[str, str] = {}
        for layer in float32.layers:
            if layer.kind != "Input":
                name = makers.get(layer.inputs[0], "") if layer.kind == "Split" else layer.name
                makers |= dict.fromkeys(layer.outputs, name)
        self._layers = [layer for layer in float32.layers if layer.kind not in _NO_OPERATORS]
        self.operators: Sequence[Operator] = [
            Operator(
                layer.name,
                layer.kind,
                tuple(filter(None, (makers.get(blob) for blob in layer.inputs))),
                layer.kind in _PASSING or (layer.kind == "Pooling" and not layer.option(0)),  # A max pooling.
                layer.kind in _REGROUPING,
            )
            for layer in self._layers
        ]
        steps = _steps(quantized)
        self._given = {name: given[1] for name, given in steps.items() if len(given) > 1}
        self.quantized: dict[str, Representable] = {}
        for layer in self._layers:
            maker = makers.get(layer.inputs[0])
            if maker and layer.name in steps:
                step = steps[layer.name][0]
                self.quantized[maker] = Representable(-_LARGEST * step, _LARGEST * step, step)
        spec = input_spec(float32)
        self._entry, self._shape = spec.name, spec.shape[1:]
        _, self._ncnn = imported("ncnn")
        self._nets = [load(self._ncnn, file, 1) for file in (float32, quantized)]

    def run(self, image: Values) -> Iterator[tuple[str, Values, Values]]:
        # An export compares on Keras's inputs, whose channels are last.
        ours = image if image.shape == self._shape else image.transpose(2, 0, 1)
        if ours.shape != self._shape:
            raise ValueError(f"an input must be {self._shape}, got {image.shape}")
        first = np.ascontiguousarray(ours, np.float32)
        references, values = (_extractor(net, self._entry, self._ncnn.Mat(first)) for net in self._nets)
        for layer in self._layers:
            blob = layer.outputs[0]
            reference, value = (_numbers(extractor, blob) for extractor in (references, values))
            # What goes on as integers comes out as such.
            yield layer.name, reference, value * np.float32(self._given.get(layer.name, 1.0))


def open_pair(float32: bytes, quantized: bytes) -> Pair:
    return _NcnnPair(unpack(float32), unpack(quantized))


def _numbers(extractor: Any, blob: str) -> Values:
    """Return a blob with its channels last."""
    numbers = np.array(extractor.extract(blob)[1]).astype(np.float32)
    return np.moveaxis(numbers, 0, -1) if numbers.ndim > 2 else numbers
