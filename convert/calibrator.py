"""What the quantised files of one export share: the calibration images and the ranges that they give."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from convert.calibrate import Draw, draw_calibration
from convert.calibration_checks import calibration_record, check_inputs, compare_halves
from convert.converters import Converter
from convert.dataset import Dataset
from convert.quantize_tflite import Ranges
from edge.classifier import Classifier
from edge.manifest import Calibration, ScaleChange


class Calibrator:
    """Draws the calibration images when a quantised file first needs them, and keeps what was found with them.

    Args:
        dataset: Their training split, and the test images that are none of them.
        keras: Makes model inputs of images.
        methods: How each format's ranges are taken from activations.
    """

    def __init__(self, dataset: Dataset, keras: Classifier, methods: Mapping[str, str]) -> None:
        self._dataset, self._keras, self._methods = dataset, keras, methods
        self._ranges: dict[str, Ranges] = {}
        self._halves: dict[str, ScaleChange] = {}

    @cached_property
    def _draw(self) -> Draw:
        return draw_calibration(self._dataset)

    @cached_property
    def inputs(self) -> NDArray[Any]:
        """Model inputs of the images, (n, ...) without a batch axis."""
        return self._keras.inputs(self._draw.images)

    def ranges(self, model_format: str, converter: Converter) -> Ranges:
        """Return the range of each activation, for a format."""
        if model_format not in self._ranges:
            self._ranges[model_format] = converter.calibrate(self.inputs)
        return self._ranges[model_format]

    def compare_halves(self, name: str, precision: str, converter: Converter) -> None:
        """Keep, for a file, the activation whose scale depends most on which images calibrate."""

        def scales(ranges: Ranges) -> dict[str, float]:
            return converter.scales(converter.quantize(precision, ranges))

        change = compare_halves(converter.calibrate, scales, self.inputs)
        if change:
            self._halves[name] = change

    def record(self, earlier: Calibration | None) -> Calibration | None:
        """Return what the manifest says of it; what an earlier export found with the same images stays."""
        if not self._ranges:
            return earlier
        methods = {name: self._methods[name] for name in self._ranges}
        halves = self._halves
        if earlier and earlier.images_sha256 == self._draw.sha256:
            methods, halves = {**earlier.method, **methods}, {**earlier.halves, **halves}
        inputs = check_inputs(self._draw, self._dataset.train, self._keras.inputs)
        return calibration_record(self._draw, inputs, methods, halves)
