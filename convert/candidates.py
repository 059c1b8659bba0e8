"""One exported file after another: converted, run on the test images, compared with Keras."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from convert.calibrator import Calibrator
from convert.converters import QUANTIZED, Converter, converter_for
from convert.dataset import Dataset
from convert.diagnose import LayerError, diagnose
from convert.keras_runtime import KerasRuntime
from convert.mend import mend
from convert.parity import check_parity
from convert.targets import Target, require_runs
from convert.to_onnx import OPSET
from edge.classifier import Classifier
from edge.errors import GateFailed
from edge.files import sha256
from edge.manifest import Artifact, Manifest, Mended
from edge.metrics import correct
from edge.model_file import ModelFile
from edge.needs import read_needs
from edge.preprocess import Floats
from edge.releases import oldest_runtime
from edge.runtimes import Runtime, opener_for
from edge.splits import Labels

# Of the calibration images, so many rank the layers: each try looks at every activation of every one.
_RANKED_ON = 50


@dataclass(frozen=True)
class Judge:
    """What decides whether a quantised file is accurate enough, and what mending it cost.

    Attributes:
        passes: (its probabilities, Keras's, labels) -> whether its loss is shown to be within `max_drop_points`.
        max_drop_points: Percentage points that it may lose.
        slowdown: (format, bytes of the plain file, bytes of the mended one) -> median time of one inference of the second
            over that of the first.
    """

    passes: Callable[[Floats, Floats, Labels], bool]
    max_drop_points: float
    slowdown: Callable[[str, bytes, bytes], float]


class Candidates:
    """Makes the files of one export.

    Args:
        manifest: What it says of the model holds for every file made from it.
        folder: Where they will be.
        dataset: Test images to compare on, training images to calibrate with.
        keras: The model, for its inputs.
        runtime: The same, opened.
        reference: Its probabilities on the test images.
        methods: How ranges are taken from activations, for each format to write.
        targets: The runtime that the files of a format are for, where one was named.
        any_batch: Whether the files take any number of images at a time, as `keras` then must; else they take one.
        judge: Mends quantised files that it does not pass; None to take them as they come.
        on_step: Gets a line for each step.
    """

    def __init__(
        self,
        manifest: Manifest,
        folder: Path,
        dataset: Dataset,
        keras: Classifier,
        runtime: KerasRuntime,
        reference: Floats,
        methods: dict[str, str],
        targets: Mapping[str, Target],
        any_batch: bool,
        judge: Judge | None,
        on_step: Callable[[str], None],
    ) -> None:
        self._manifest, self._folder, self._test, self._reference = manifest, folder, dataset.test, reference
        opset = min(OPSET, targets["onnx"].opset) if "onnx" in targets else OPSET
        self._converters = {
            name: converter_for(name, runtime, manifest.output, method, opset, any_batch) for name, method in methods.items()
        }
        self._targets = targets
        self.calibrator = Calibrator(dataset, keras, methods)
        self._judge, self._on_step = judge, on_step

    def make(self, model_format: str, precision: str) -> tuple[Artifact, bytes]:
        """Return a file's entry in the manifest, and its bytes.

        Raises:
            ConversionError: If a converter fails, a float file differs from Keras, or the file asks for more than its
                target has.
            ArtifactError: If its runtime can't load or run it.
            GateFailed: If mending does not make it accurate enough.
            MissingDependency: If a package of the train extra is missing.
        """
        name, converter = f"{precision}.{model_format}", self._converters[model_format]
        self._on_step(f"{name}: convert, load, compare with Keras")
        mended = None
        if precision in QUANTIZED and self._judge:
            data, mended = self._accurate(name, model_format, precision, converter, self._judge)
        elif precision in QUANTIZED:
            data = converter.quantize(precision, self.calibrator.ranges(model_format, converter))
        else:
            data = converter.convert(precision)
        if precision in QUANTIZED:
            self.calibrator.compare_halves(name, precision, converter)
        opened, probabilities = self._run(name, model_format, data)
        if model_format in self._targets:
            require_runs(name, data, self._targets[model_format])
        artifact = Artifact(
            format=model_format,
            precision=precision,
            path=name,
            size_bytes=len(data),
            sha256=sha256(data),
            source_sha256=self._manifest.keras_model().sha256,
            input=opened.input_spec,
            output=opened.output_spec,
            oldest_runtime=oldest_runtime(read_needs(data, model_format)),
            parity=check_parity(name, precision, probabilities, self._reference),
            mended=mended,
        )
        return artifact, data

    def _run(self, name: str, model_format: str, data: bytes) -> tuple[Runtime, Floats]:
        candidate = ModelFile(self._folder / name, model_format, data, self._manifest, None, None)
        opened = opener_for(model_format).open_file(candidate, 1)
        return opened, Classifier(candidate, opened).split_probabilities(self._test)

    def _accurate(
        self, name: str, model_format: str, precision: str, converter: Converter, judge: Judge
    ) -> tuple[bytes, Mended | None]:
        labels, float32 = self._test.labels, converter.convert("float32")
        inputs = self.calibrator.inputs
        ranked = inputs[:: max(1, len(inputs) // _RANKED_ON)]
        points: list[float] = []

        def quantized(data: bytes) -> bool:
            # The input stays an integer when every operator is float.
            entry = opener_for(model_format).open_model(data, 1).input_spec.name
            return bool(set(converter.scales(data)) - {entry})

        def passes(data: bytes) -> bool:
            if not quantized(data):
                return False
            _, probabilities = self._run(name, model_format, data)
            lost = correct(self._reference, labels).mean() - correct(probabilities, labels).mean()
            points.append(100 * float(lost))
            return judge.passes(probabilities, self._reference, labels)

        def rank(data: bytes) -> Sequence[LayerError]:
            return diagnose(float32, data, model_format, ranked).layers if quantized(data) else ()

        try:
            found = mend(
                name,
                quantize=partial(converter.quantize, precision, self.calibrator.ranges(model_format, converter)),
                rank=rank,
                passes=passes,
                on_step=self._on_step,
            )
        except GateFailed as error:
            raise GateFailed(
                f"{name} loses {points[0]:.2f} points as it comes and {min(points):.2f} at best, {judge.max_drop_points:g} are "
                f"allowed for sure: {error}"
            ) from error
        if not found.layers:
            return found.data, None
        self._on_step(f"{name}: timing beside the plain one")
        mended = Mended(
            layers=found.layers,
            precision="float32",
            max_drop_points=judge.max_drop_points,
            tries=found.tries,
            plain_size_bytes=len(found.plain),
            slowdown=judge.slowdown(model_format, found.plain, found.data),
        )
        return found.data, mended
