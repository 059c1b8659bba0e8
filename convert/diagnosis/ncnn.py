"""Compares a float and an int8 .ncnn file layer by layer."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from edgecnn.convert.diagnosis.diagnose import Operator, Representable, Values
from edgecnn.convert.ncnn.converter import LARGEST, given_steps, ncnn_scales
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.runtimes.base import imported
from edgecnn.edge.runtimes.ncnn import NcnnFile, input_spec, load, unpack

_PASSING = {"Clip", "Concat", "Crop", "Dropout", "Flatten", "Padding", "Permute", "ReLU", "Reshape", "Slice", "Squeeze"}
_REGROUPING = {"Flatten", "Permute", "Reshape", "Squeeze"}
# They compute nothing: what goes in, and copies of a blob for its several readers.
_NO_OPERATORS = ("Input", "Split")


def open_pair(float32: bytes, quantized: bytes) -> "NcnnPair":
    """Open both files. See `edgecnn.convert.diagnosis.diagnose`."""
    return NcnnPair(unpack(float32), unpack(quantized))


class NcnnPair:
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
        steps = ncnn_scales(quantized)
        self.quantized: dict[str, Representable] = {}
        for layer in self._layers:
            maker, step = makers.get(layer.inputs[0]), steps.get(layer.name)
            if maker and step:
                self.quantized[maker] = Representable(-LARGEST * step, LARGEST * step, step)
        spec = input_spec(float32)
        self._entry, self._shape = spec.name, spec.shape[1:]
        self._given = given_steps(quantized)
        _, self._ncnn = imported("ncnn")
        self._nets = [load(self._ncnn, file, 1) for file in (float32, quantized)]

    def run(self, image: Values) -> Iterator[tuple[str, Values, Values]]:
        """See `edgecnn.convert.diagnosis.diagnose.Pair`."""
        # An export compares on Keras's inputs, whose channels are last.
        ours = image if image.shape == self._shape else image.transpose(2, 0, 1)
        if ours.shape != self._shape:
            raise ValueError(f"an input must be {self._shape}, got {image.shape}")
        first = np.ascontiguousarray(ours, np.float32)
        references, values = (self._extractor(net, first) for net in self._nets)
        for layer in self._layers:
            blob = layer.outputs[0]
            reference, value = (_numbers(extractor, blob) for extractor in (references, values))
            # What goes on as integers comes out as such.
            yield layer.name, reference, value * np.float32(self._given.get(layer.name, 1.0))

    def _extractor(self, net: Any, image: Values) -> Any:
        extractor = net.create_extractor()
        extractor.set_light_mode(False)  # Else what was computed for one layer is gone for the next.
        extractor.input(self._entry, self._ncnn.Mat(image).clone())
        return extractor


def _numbers(extractor: Any, blob: str) -> Values:
    """Return a blob with its channels last."""
    numbers = np.array(extractor.extract(blob)[1]).astype(np.float32)
    return np.moveaxis(numbers, 0, -1) if numbers.ndim > 2 else numbers
