"""Exports a Keras model to files for a device."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from edgecnn.api.train import fitted_interface
from edgecnn.api.usage import Usage
from edgecnn.benchmarks.judge.accuracy import KERAS_REFERENCE
from edgecnn.benchmarks.judge.accuracy_checks import nothing_to_judge_by
from edgecnn.benchmarks.judge.budgets import Budgets
from edgecnn.benchmarks.judge.gate import PASS, UNDECIDED, Budget, Policy, accuracy_checks
from edgecnn.benchmarks.judge.tally import compare
from edgecnn.benchmarks.measure.bare_files import BareFile, file_lineup
from edgecnn.benchmarks.measure.options import BenchOptions
from edgecnn.benchmarks.measure.run import benchmark
from edgecnn.benchmarks.report.model_card import model_card
from edgecnn.benchmarks.timing.latency import Plan
from edgecnn.benchmarks.yardsticks.choose import HERE, TUNE_SECONDS, require_yardstick, yardstick_of
from edgecnn.convert.export.config import Batch, ExportConfig
from edgecnn.convert.export.export import export as export_model
from edgecnn.convert.export.export import export_folder
from edgecnn.convert.export.keep_accuracy import Judge
from edgecnn.convert.export.tuning.yardstick import Tuning, Yardstick
from edgecnn.convert.training.records import TrainResult
from edgecnn.edge.data.dataset import Dataset
from edgecnn.edge.data.dataset import load_dataset as load_for_model
from edgecnn.edge.data.folder_options import NO_OPTIONS, FolderOptions
from edgecnn.edge.data.splits import Labels
from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.folder.model_file import ModelFile, read_model
from edgecnn.edge.folder.model_folder import ModelFolder
from edgecnn.edge.formats import FORMATS, RUNTIMES, CalibrationName, IoName
from edgecnn.edge.inference.model_interface import interface_of
from edgecnn.edge.inference.model_test_images import model_images
from edgecnn.edge.inference.recorded_source import recorded_model, recorded_source
from edgecnn.edge.model.interface import Interface
from edgecnn.edge.model.preprocess import Floats
from edgecnn.edge.progress import SILENT, Progress
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.temporary import temporary_folder

_DEFAULTS = ExportConfig()


def export(  # Longer than 50 lines: its arguments and their docs.
    model: TrainResult | str | Path,
    data: Dataset | str | Path | None = None,
    *,
    formats: Sequence[str] = _DEFAULTS.formats,
    precisions: Sequence[str] = _DEFAULTS.precisions,
    calibration: CalibrationName | None = None,
    targets: Sequence[str] = (),
    batch: Batch = _DEFAULTS.batch,
    io: IoName | None = None,
    author: str | None = None,
    license: str | None = None,
    keep_accuracy: float | None = None,
    tune: str | None = None,
    tune_seconds: float = TUNE_SECONDS,
    tune_seed: int = 0,
    tune_runtime: str | None = None,
    out: str | Path | None = None,
    images: FolderOptions = NO_OPTIONS,
    interface: Interface | str | None = None,
    trust: Sequence[str] = (),
    progress: Progress = SILENT,
) -> ModelFolder:
    """Write TFLite and ONNX files of a Keras model, each compared with it on all test images. float32 is always among them.

    `MODEL_CARD.md` beside them says for people what `manifest.json` says for programs. What is written into it outside of
    edgecnn's part is kept.

    Args:
        model: Result of `edgecnn.train`, or a .keras file.
        data: Its images: a `Dataset`, or an argument of `edgecnn.load_dataset`. Default: those in its manifest; a model
            that edgecnn did not train has no default.
        formats: `tflite`, `onnx`, `ncnn`, `mnn`, `executorch`.
        precisions: `float32`, `float16`, `dynamic`, `int8`, `int16x8`.
        calibration: Calibration method: `minmax`; onnx also has `entropy` and `percentile`.
        targets: Target runtimes, for example `tflite-runtime==2.14`, at most one per format; and programs.
        batch: Images per call of a file: `1`, or `dynamic` for any number.
        io: Type of the input and output of int8 .tflite files: `int8` (default), `uint8` or `float32`; others take float32.
        author: Who made the model, written into the files' metadata. Default: nothing is said.
        license: Licence of the model, written into the files' metadata. Default: nothing is said.
        keep_accuracy: Largest drop in percentage points: layers of a quantized file stay float until it is shown to keep it.
        tune: `here` finds on this machine which layers of an int8 file to leave in float for the least time, and which
            convolutions to compute several columns at a time; it writes a tuned file of each format that gains. A host, as ssh
            takes it, has it measured there; `cortex-a53`, `cortex-a72` and `cortex-a76` count the instructions of an emulated
            core.
        tune_seconds: Longest time of the search for one format, in seconds.
        tune_seed: Seed of the search.
        tune_runtime: Runtime to tune for, such as `litert-fp16`. Default: that of each format.
        out: Folder for a model that edgecnn did not train. Default: artifacts/ plus its name.
        images: How a folder of images is read, and the class names.
        interface: Preprocessing and output of a model that edgecnn did not train, as in `edgecnn.evaluate`.
        trust: Names of Python modules that define the model's own layers. Their code runs.
        progress: Receives each step.

    Returns:
        The folder; its `manifest` lists all files, and its text lists the new ones.

    Raises:
        ArtifactError: If the model is missing, damaged or not an image classifier.
        ConfigError: If the images are not the model's, or settings do not fit.
        ConversionError: If a converter fails, or a float file differs from Keras.
        GateFailed: If no quantized file is accurate enough for `keep_accuracy`; nothing is written then.
        MissingDependency: If a package of the train extra is missing.
    """
    config = ExportConfig(tuple(formats), tuple(precisions), calibration, tuple(targets), batch, io, author, license)
    _require_tunable(tune, config.formats, tune_seconds, tune_seed, tune_runtime)
    judge = None if keep_accuracy is None else _judge(keep_accuracy)
    if judge and (alone := [name for name in config.formats if FORMATS[name].pair is None]):
        raise ConfigError(
            f"{field('keep_accuracy')} compares layers, which can't be read in {FORMATS[alone[0]].title} files: omit it, or "
            f"use other {field('formats')}"
        )
    if tune is not None and "int8" not in config.precisions:
        raise ConfigError(f"{field('tune')} makes int8 files: add {field('precisions')}=int8")
    path = model.path if isinstance(model, TrainResult) else Path(model)
    source = read_model(path)
    usage = Usage(None if isinstance(data, Dataset) else data, images, interface, trust)
    interface_of(source, usage.said_interface())  # Missing settings are reported before TensorFlow is imported.
    dataset = data if isinstance(data, Dataset) else _own_images(source, usage)
    taken = usage.said_interface()
    if taken:
        said, taken = taken, fitted_interface(taken, dataset)
        if images.fit:
            taken = replace(taken, preprocessing=replace(taken.preprocessing, fit=said.preprocessing.fit))
    folder = export_folder(source, Path(out) if out else None)
    yardstick = None if tune is None else yardstick_of(tune, tune_seconds, dataset.test, progress, config.formats, tune_runtime)
    manifest = export_model(
        path,
        dataset,
        config,
        taken,
        Path(out) if out else None,
        trust=tuple(trust),
        judge=judge,
        tuning=tuning_for(judge, yardstick, tune_seed) if yardstick else None,
        is_a_guess=keras_is_a_guess,
        card=lambda manifest, distinct, earlier: model_card(manifest, folder.resolve().name, distinct, earlier),
        on_step=progress.say,
    )
    earlier = source.manifest.artifacts if source.manifest else ()
    tuned = tuple(artifact.path for artifact in manifest.artifacts if artifact.tuned and artifact not in earlier)
    others = tuple(file.path for file in manifest.for_programs if file.program in targets)
    return ModelFolder(folder, written=(*config.file_names(), *tuned, *others))


def _own_images(source: ModelFile, usage: Usage) -> Dataset:
    """Return the images that a model was trained on, read by its preprocessing."""
    if source.manifest:
        record = source.manifest.dataset
        data, options = recorded_source(record, usage.data, usage.images)
        return load_for_model(data, options, recorded_model(record, source.manifest.class_names))
    if usage.data is None:
        raise ConfigError(f"{source.path} does not say what it was trained on: name its images with {field('data')}")
    return load_for_model(usage.data, usage.images, model_images(usage.classifier(source)))


def _require_tunable(tune: str | None, formats: tuple[str, ...], seconds: float, seed: int, runtime: str | None) -> None:
    """Raise unless these arguments suit each other, before anything is read."""
    if tune is None:
        for name, given in (
            ("tune_seconds", seconds != TUNE_SECONDS),
            ("tune_seed", seed),
            ("tune_runtime", runtime is not None),
        ):
            if given:
                raise ConfigError(f"{field(name)} says how to tune: add {field('tune')}={HERE}, or omit it")
        return
    if not isinstance(tune, str):
        raise ConfigError(f"{field('tune')} must be a text, for example {HERE}, got {tune!r}")
    if not isinstance(seconds, (int, float)):
        raise ConfigError(f"{field('tune_seconds')} must be a number of seconds, got {seconds!r}")
    if not isinstance(seed, int) or seed < 0:
        raise ConfigError(f"{field('tune_seed')} must be 0 or more, got {seed!r}")
    known = [name for name, row in RUNTIMES.items() if any(FORMATS[of_one].on_device for of_one in row.formats)]
    if runtime is not None and runtime not in known:
        raise ConfigError(f"{field('tune_runtime')}={runtime} is unknown: use {', '.join(known)}")
    runs = RUNTIMES[runtime].formats if runtime else formats
    if not set(runs) & set(formats):
        raise ConfigError(f"{field('tune_runtime')}={runtime} runs {runs[0]} files: add {field('formats')}={runs[0]}")
    require_yardstick(tune, seconds, formats, runtime)


def tuning_for(judge: Judge | None, yardstick: Yardstick, seed: int = 0) -> Tuning:
    """Return how to tune: files must be accurate enough for `judge`, or else not be shown to lose too much for a benchmark.

    Args:
        judge: Judge of the export; None if it has none.
        yardstick: What measures the files.
        seed: Seed of the search.
    """
    limit = Budget().max_drop_points
    assert limit is not None  # noqa: S101  # The default.
    return Tuning(yardstick, judge or _judge(limit, undecided=True), seed)


def _judge(points: float, undecided: bool = False) -> Judge:
    """Return a judge that passes a file shown to lose at most these points, or, if `undecided`, one not shown to lose more."""
    if not 0 < points <= 100:
        raise ConfigError(f"{field('keep_accuracy')} must be percentage points above 0, for example 0.5, got {points:g}")

    def objection(candidate: Floats, reference: Floats, labels: Labels) -> str | None:
        if not len(labels):
            return "there are no test images"
        found = compare(candidate, reference, labels)
        names = tuple(map(str, range(candidate.shape[1])))
        checks = accuracy_checks(found, Budget(max_drop_points=points), KERAS_REFERENCE, names)
        passed = (PASS, UNDECIDED) if undecided else (PASS,)
        return next((check.text for check in checks if check.status not in passed), None)

    return Judge(objection, points, _slowdown)


def keras_is_a_guess(probabilities: Floats, labels: Labels) -> bool:
    """Return whether a Keras model is no reference to judge by, as `bench` would say of it."""
    return nothing_to_judge_by(compare(probabilities, probabilities, labels), KERAS_REFERENCE) is not None


def _slowdown(model_format: str, plain: bytes, mended: bytes) -> float:
    """Return the second file's median time divided by the first's, on random inputs, measured as in `edgecnn.bench`."""
    with temporary_folder() as folder:
        files = [folder / f"{role}{FORMATS[model_format].suffix}" for role in ("plain", "mended")]
        for path, data in zip(files, (plain, mended), strict=True):
            path.write_bytes(data)
        options = BenchOptions(plan=Plan(0.2, 200, 3, max_seconds=10), percents=(50.0,))
        lineup = file_lineup([BareFile(read_model(path), opener_for(model_format)) for path in files], options)
        report = benchmark(
            lineup, options, Budgets(Budget(max_drop_points=None), {}), Policy(), command="edgecnn export", versions={}
        )
    first, second = (file.latency.percentiles[0].value_ns for file in report.files)
    return cast(float, second) / cast(float, first)  # 600 runs support a median.
