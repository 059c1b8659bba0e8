"""Makes one exported file after another: converts it, runs it on the test images, compares it with the float model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from edgecnn.convert.export.accurate import AccurateFile
from edgecnn.convert.export.calibration import Calibrator
from edgecnn.convert.export.config import QAT_FORMAT, TRAINED, ExportJob
from edgecnn.convert.export.converters import Conversion, Converter, Learnt, converter_for
from edgecnn.convert.export.keep_accuracy import Judge, JudgedImages, check_parity
from edgecnn.convert.export.program_files import describe, described
from edgecnn.convert.export.runtime_releases import require_runs
from edgecnn.convert.export.thresholds import Outputs, threshold_of
from edgecnn.convert.qat.graph import FloatGraph
from edgecnn.convert.qat.training import train_for_integers
from edgecnn.edge.compatibility.requirements import read_needs
from edgecnn.edge.data.pixel_digests import evidence
from edgecnn.edge.data.splits import Split, Subset, chunks
from edgecnn.edge.errors import ConversionError
from edgecnn.edge.export_records import Qat
from edgecnn.edge.files import sha256
from edgecnn.edge.formats import FORMATS, PRECISIONS
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import TF2ONNX, Artifact
from edgecnn.edge.model.preprocess import Floats, correct
from edgecnn.edge.model.threshold import Threshold
from edgecnn.edge.model_file import ModelFile
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.runtimes.base import LoadedModel
from edgecnn.edge.sandbox.unverified import remember_made
from edgecnn.edge.text import counted

_TUNED = "int8"
# Number of test images on which a file with its description is compared with the file without.
_COMPARED = 32


def converters_of(job: ExportJob) -> dict[str, Converter]:
    """Return the converter of each format of an export, and that of `QAT_FORMAT` if its network is to be trained for integers.

    Raises:
        NotTrainable: If that network has operators that can't be trained.
        ConversionError: If the network can't be converted.
    """
    config, targets, methods = job.config, job.config.releases(), job.config.methods()
    if config.qat:
        methods = {QAT_FORMAT: FORMATS[QAT_FORMAT].calibrations[0]} | methods
    found = {}
    for name, method in methods.items():
        own = (targets.get(name), config.any_batch, config.io_of(name), config.onnx_converter)
        found[name] = converter_for(name, Conversion(job.source, job.runtime, job.manifest.output, method, *own))
    if config.qat:
        FloatGraph(found[QAT_FORMAT].convert("float32"))
    return found


class FileExporter:
    """Makes the files of one export.

    Args:
        job: The export.
        converters: Those of `converters_of`.
        reference: The float model's probabilities on the test images.
        images: Which test images choose the layers that the job's judge asks for, and which judge; None without a judge.
    """

    def __init__(
        self, job: ExportJob, converters: Mapping[str, Converter], reference: Floats, images: JudgedImages | None
    ) -> None:
        self._job, self._reference, self._images = job, reference, images
        self._accurate: dict[tuple[Judge, str, str | None], bool] = {}
        self._targets, self._converters = job.config.releases(), converters
        # By format and precision: of what the network has learnt for integers, where that is shown to be better.
        self._trained: dict[tuple[str, str], Converter] = {}
        self._learnt: dict[str, Learnt] = {}
        self.calibrator = Calibrator(job.dataset, job.model, job.config.methods())

    def make(self, model_format: str, precision: str) -> tuple[Artifact, bytes]:
        """Return a file's entry in the manifest, and its bytes. Errors are those of `edgecnn.convert.export.export.export`."""
        name, qat, mended = FORMATS[model_format].file_name(precision), None, None
        self._job.on_step(f"{name}: convert, load, compare with {self._job.manifest.source_name}")
        if precision in TRAINED and self._job.config.qat:
            qat = self._train(name, model_format, precision)
        converter, calibrated = self.converter(model_format, precision), PRECISIONS[precision].calibrated
        if search := self._search(name, model_format, precision, converter):
            data, mended = search.file()
        elif calibrated:
            data = self._quantize(model_format, precision, converter)
        else:
            data = converter.convert(precision)
        if (conversion := converter.onnx_conversion()) and conversion.converter == TF2ONNX:
            self._job.on_step(f"{name}: {conversion.text}")
        if calibrated:
            self.calibrator.compare_halves(name, precision, converter)
        artifact, final = self.entry(name, model_format, precision, data)
        if mended:  # The other files would have the same description.
            plain, float32 = (
                size + len(final) - len(data) for size in (mended.plain_size_bytes, mended.float32_size_bytes or 0)
            )
            mended = replace(mended, plain_size_bytes=plain, float32_size_bytes=float32)
        return replace(artifact, mended=mended, qat=qat), final

    def _train(self, name: str, model_format: str, precision: str) -> Qat:
        """Train a file for its integers, and take that in place of the plain file if it is shown to be better."""
        job, plain, learnt = self._job, self._converters[model_format], self._lessons(precision)
        gain, trained = job.gain, plain.learnt(learnt)
        assert gain  # noqa: S101  # Whoever asks for training says what a gain is.
        files = [self._quantize(model_format, precision, one) for one in (plain, trained)]
        test, of = job.dataset.test, evidence(job.dataset.test, job.learnt)[0]
        split, chosen = (test, of) if gain.compared_on == "test" else (job.dataset.val, slice(None))
        assert split  # noqa: S101  # What compares on validation images has some.
        answers = [self._run(name, model_format, data, split=split)[1] for data in files]
        plainly, right = (correct(one, split.labels)[chosen] for one in answers)
        counts = len(right), int(right.sum()), int(plainly.sum())
        found = Qat(job.config.qat or 0, learnt.epoch, *counts, gain.compared_on, taken=gain.is_one(right, plainly))
        outcome = "" if found.taken else " is no shown gain, so the plain file is written"
        # Layers in float are those of the network before: what has learnt to bear integers need not be as good in floats.
        if job.judge and found.taken:
            judged = answers[1] if split is test else self.probabilities(name, model_format, files[1])
            if objection := job.judge.objection(judged[of], self._reference[of], test.labels[of]):
                found, outcome = replace(found, taken=False, objection=objection), f" is not enough ({objection})"
        job.on_step(f"{name}: {found.text} by training for integers{outcome}")
        if found.taken:
            self._trained[model_format, precision] = trained
        return found

    def _lessons(self, precision: str) -> Learnt:
        """Return what the network has learnt for a precision, once for all formats."""
        if precision not in self._learnt:
            converter, inputs = self._converters[QAT_FORMAT], self.calibrator.inputs
            if QAT_FORMAT in self._job.config.formats:
                ranges = self.calibrator.ranges(QAT_FORMAT, converter)
            else:  # It writes no file, so that the manifest does not record its calibration.
                ranges = converter.calibrate(inputs)
            self._learnt[precision] = train_for_integers(self._job, converter.convert("float32"), inputs, ranges, precision)
        return self._learnt[precision]

    def _quantize(self, model_format: str, precision: str, converter: Converter) -> bytes:
        return converter.quantize(precision, self.calibrator.ranges(model_format, converter))

    def entry(self, name: str, model_format: str, precision: str, data: bytes) -> tuple[Artifact, bytes]:
        """Return a file's entry in the manifest, and the file with its description, once its runtime has run it on all test
        images. Errors are those of `make`.
        """
        opened, probabilities = self._run(name, model_format, data)
        data = self._described(name, model_format, data, probabilities)
        if model_format in self._targets:
            require_runs(name, data, self._targets[model_format])
        artifact = Artifact(
            format=model_format,
            precision=precision,
            path=name,
            size_bytes=len(data),
            sha256=sha256(data),
            source_sha256=self._job.manifest.source().sha256,
            input=opened.input_spec,
            output=opened.output_spec,
            oldest_runtime=read_needs(data, model_format).oldest_runtime() if FORMATS[model_format].requirements else None,
            parity=check_parity(name, precision, probabilities, self._reference, self._job.manifest.source_name),
            threshold=self._threshold(name, model_format, precision, data),
            onnx_conversion=self._converters[model_format].onnx_conversion(),
        )
        return artifact, data

    def _threshold(self, name: str, model_format: str, precision: str, data: bytes) -> Threshold | None:
        """Return the threshold of a file, if the job asks for one."""
        job = self._job
        if job.acceptance is None or job.validation is None or job.dataset.val is None:
            return None
        job.on_step(f"{name}: {counted(job.validation[0].labels, 'validation image')}")
        classifier = self._classifier(name, model_format, data)[1]

        def run(split: Split) -> Outputs:
            parts = [classifier.outputs(images) for images in chunks(split)]
            tops = [top for _, top in parts if top is not None]
            return Outputs(np.concatenate([found for found, _ in parts]), np.concatenate(tops) if tops else None)

        images, tests = job.validation
        if (model_format, precision) in self._trained:  # These images chose an epoch of that training too.
            tests *= job.config.qat_choices
        return threshold_of(name, run, job.acceptance, (images, tests), job.dataset.val.sha256)

    def _described(self, name: str, model_format: str, data: bytes, probabilities: Floats) -> bytes:
        """Return a file with its description, which computes the same: the first test images show it."""
        job = self._job
        description = describe(job.manifest, job.config, probabilities, job.dataset.test.labels)
        found = described(data, model_format, description)
        if found != data:
            remember_made(found)
            few = Subset(job.dataset.test, np.arange(min(_COMPARED, len(probabilities))))
            again = self._classifier(name, model_format, found)[1].split_probabilities(few)
            if not np.array_equal(again, probabilities[: len(again)]):
                raise ConversionError(f"{name} computes something else with its metadata: report this as a bug of edgecnn")
        return found

    def converter(self, model_format: str, precision: str = _TUNED) -> Converter:
        """Return the converter of a format's files of a precision."""
        return self._trained.get((model_format, precision), self._converters[model_format])

    def quantizer(self, model_format: str) -> tuple[tuple[str, ...], Callable[[Sequence[str]], bytes]]:
        """Return a format's operators, and the function that makes its int8 file with some of them in float."""
        converter = self.converter(model_format)
        return converter.operators(), partial(converter.quantize, _TUNED, self.calibrator.ranges(model_format, converter))

    def has_integers(self, model_format: str, data: bytes) -> bool:
        """Return whether an operator of a quantized file computes integers; its input is one even if none does."""
        entry = opener_for(model_format).open_model(data, 1).input_spec.name
        return bool(set(self._converters[model_format].scales(data)) - {entry})

    def is_accurate(self, judge: Judge, artifact: Artifact, data: bytes, runtime: str | None = None) -> bool:
        """Return whether a judge has no objection to a file, on all test images that are evidence."""
        assert self._images  # noqa: S101  # There are some wherever there is a judge.
        of, known = self._images.every, (judge, sha256(data), runtime)
        if known not in self._accurate:
            ours = self.probabilities(artifact.path, artifact.format, data, runtime)
            self._accurate[known] = self._images.judged(judge, ours, of)[0] is None
        return self._accurate[known]

    def probabilities(self, name: str, model_format: str, data: bytes, runtime: str | None = None) -> Floats:
        """Return a file's probabilities on the test images (n, classes), by its default runtime or the named one."""
        return self._run(name, model_format, data, runtime)[1]

    def _run(
        self, name: str, model_format: str, data: bytes, runtime: str | None = None, split: Split | None = None
    ) -> tuple[LoadedModel, Floats]:
        opened, classifier = self._classifier(name, model_format, data, runtime)
        probabilities = classifier.split_probabilities(split or self._job.dataset.test)
        remember_made(data)
        return opened, probabilities

    def _classifier(
        self, name: str, model_format: str, data: bytes, runtime: str | None = None
    ) -> tuple[LoadedModel, Classifier]:
        candidate = ModelFile(self._job.folder / name, model_format, data, self._job.manifest, None, None)
        # A file of a format that comes with its own tools crashed its runtime where these tools misread a network.
        trusted = not FORMATS[model_format].by_name and runtime is None
        opened = opener_for(runtime or model_format).open_file(candidate, 1, trusted=trusted)
        return opened, Classifier(candidate, opened)

    def _search(self, name: str, model_format: str, precision: str, converter: Converter) -> AccurateFile | None:
        judge, images = self._job.judge, self._images
        if judge is None or images is None or not PRECISIONS[precision].calibrated:
            return None
        return AccurateFile(
            name,
            model_format,
            precision,
            converter,
            self.calibrator,
            judge,
            images,
            run=partial(self.probabilities, name, model_format),
            quantized=partial(self.has_integers, model_format),
            say=self._job.on_step,
        )
