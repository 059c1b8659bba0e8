"""What the quantized files of one export share: the calibration images and their activation ranges."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from edgecnn.convert.export.calibration import Draw, draw_calibration
from edgecnn.convert.export.calibration_checks import calibration_record, check_inputs, compare_halves
from edgecnn.convert.export.converters import Converter, Ranges
from edgecnn.edge.data.dataset import Dataset
from edgecnn.edge.export_records import Calibration, ScaleChange
from edgecnn.edge.formats import CalibrationName
from edgecnn.edge.inference.classifier import Classifier


class Calibrator:
    """Draws the calibration images when a quantized file first needs them, and keeps the results.

    Args:
        dataset: Dataset whose training split they come from, and whose test images they must not repeat.
        keras: Keras classifier, which turns images into model inputs.
        methods: Calibration method of each format.
    """

    def __init__(self, dataset: Dataset, keras: Classifier, methods: Mapping[str, CalibrationName]) -> None:
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
        """Return the range of each activation for a format."""
        if model_format not in self._ranges:
            self._ranges[model_format] = converter.calibrate(self.inputs)
        return self._ranges[model_format]

    def compare_halves(self, name: str, precision: str, converter: Converter) -> None:
        """Record a file's activation whose scale depends most on the choice of calibration images."""

        def scales(ranges: Ranges) -> dict[str, float]:
            return converter.scales(converter.quantize(precision, ranges))

        change = compare_halves(converter.calibrate, scales, self.inputs)
        if change:
            self._halves[name] = change

    def record(self, earlier: Calibration | None) -> Calibration | None:
        """Return the manifest's record; results of an earlier export with the same images stay."""
        if not self._ranges:
            return earlier
        methods = {name: self._methods[name] for name in self._ranges}
        halves = self._halves
        if earlier and earlier.images_sha256 == self._draw.sha256:
            methods, halves = {**earlier.method, **methods}, {**earlier.halves, **halves}
        inputs = check_inputs(self._draw, self._dataset.train, self._keras.inputs)
        return calibration_record(self._draw, inputs, methods, halves)
