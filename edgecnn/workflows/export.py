"""Exports a float model to files for a device."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from edgecnn.benchmarks.gate.accuracy import nothing_to_judge_by
from edgecnn.benchmarks.gate.budget import Budget, Budgets
from edgecnn.benchmarks.gate.checks import accuracy_checks
from edgecnn.benchmarks.gate.gate import PASS, UNDECIDED, Policy
from edgecnn.benchmarks.gate.tally import compare
from edgecnn.benchmarks.measure.candidates import BareFile, file_candidates
from edgecnn.benchmarks.measure.options import BenchOptions, Plan
from edgecnn.benchmarks.measure.run import benchmark
from edgecnn.benchmarks.runners.choose import HERE, TUNE_SECONDS, require_runner, runner_of
from edgecnn.benchmarks.show.model_card import model_card
from edgecnn.benchmarks.statistics.proportions import mcnemar_p
from edgecnn.benchmarks.statistics.selective import certified, least_images
from edgecnn.convert.export.config import ExportConfig, Gain, Runner, Tuning
from edgecnn.convert.export.evidence import output_of
from edgecnn.convert.export.export import export as export_model
from edgecnn.convert.export.export import export_folder
from edgecnn.convert.export.keep_accuracy import Judge
from edgecnn.convert.export.source import open_source, read_source
from edgecnn.convert.export.thresholds import LEAST_SHARE, Acceptance, made_strangers
from edgecnn.convert.training.records import TrainResult
from edgecnn.convert.training.train import fitted_interface
from edgecnn.edge.data.dataset import IMAGES, Dataset, find, load_test
from edgecnn.edge.data.dataset import load_dataset as load_for_model
from edgecnn.edge.data.digit import NoDigit
from edgecnn.edge.data.image_file import read_image
from edgecnn.edge.data.recorded_images import recorded_model, recorded_source
from edgecnn.edge.data.splits import ArraySplit, FileSplit, Labels, Shape, Split
from edgecnn.edge.errors import ConfigError, EdgeCnnError, field, setting
from edgecnn.edge.files import temporary_folder
from edgecnn.edge.formats import FORMATS, RUNTIMES
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.inference.model_test_images import model_images, order_note
from edgecnn.edge.inference.pictures import image_files
from edgecnn.edge.inference.usage import Usage
from edgecnn.edge.manifest import Manifest, Preprocessing
from edgecnn.edge.model.interface import SCHEMES, Interface, interface_of
from edgecnn.edge.model.preprocess import Floats
from edgecnn.edge.model_file import ModelFile, read_model
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.result import Progress
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.runtimes.base import LoadedModel
from edgecnn.workflows.source_interface import ask_which, better_scheme, found_interface

_FLOAT_MODEL = "the float model"
_CHANCE = 0.05


@dataclass(frozen=True)
class Tune:
    """What files are tuned with, and for how long."""

    where: str | None = None
    seconds: float = TUNE_SECONDS
    seed: int = 0
    runtime: str | None = None


@dataclass(frozen=True)
class Accept:
    """When an answer of the files is accepted; the fields are arguments of `edgecnn.export`."""

    max_error: float | None = None
    strangers: Sequence[str | Path] = ()
    share: float | None = None

    def acceptance(self, dataset: Dataset, rule: Preprocessing, progress: Progress) -> Acceptance | None:
        """Return what an export needs, for a model that takes pictures by this rule; None for no threshold.

        Raises:
            ConfigError: If there are no such strangers, or they have another shape than the dataset's images.
            ArtifactError: If they can't be read.
        """
        if self.max_error is None:
            for name, given in (("strangers", self.strangers), ("accept", self.share)):
                if given:
                    raise ConfigError(f"{field(name)} is about a threshold: add {field('max_error')}=1, or omit it")
            return None
        shape = dataset.train.shape
        with _renamed({"data": "strangers"}):
            named = tuple(_strangers(source, shape, rule, progress) for source in self.strangers)
        share = self.share / 100 if self.share else LEAST_SHARE if named else None
        every = (*named, *made_strangers(shape))
        return Acceptance(self.max_error / 100, every, len(named), share, self.share is not None, certified, least_images)


@contextmanager
def _renamed(names: Mapping[str, str]) -> Iterator[None]:
    """Have errors name arguments as they are named here."""
    try:
        yield
    except EdgeCnnError as error:
        error.renamed |= names
        raise


def _strangers(source: str | Path, shape: Shape, rule: Preprocessing, progress: Progress) -> tuple[str, Split]:
    """Return the name and the images of a source: its test images, or all pictures of a folder.

    Those in which no digit is seen, by a model of digits, have no answer that could be accepted, and are left out.
    """
    found = find(source)
    if found.kind == IMAGES:
        names = tuple(str(path.relative_to(found.path)) for path in image_files(found.path))
        if rule.fit == "digit":
            return found.name, _with_a_digit(found.path, names, shape, rule, progress)
        labels = np.zeros(len(names), np.int64)
        return found.name, FileSplit(found.path, names, labels, shape, rule.fit, rule.background)
    split = load_test(source)
    if split.shape != shape:
        raise ConfigError(f"{field('strangers')}={source} has images of {split.shape}, the model takes {shape}: name others")
    return found.name, split


def _with_a_digit(folder: Path, names: Sequence[str], shape: Shape, rule: Preprocessing, progress: Progress) -> ArraySplit:
    seen = []
    for place, name in enumerate(names):
        progress.step(place, len(names), f"looking for digits in {folder}")
        with suppress(NoDigit):
            seen.append(read_image(folder / name, shape, rule))
    if not seen:
        raise ConfigError(f"{field('strangers')}={folder}: no digit is seen in any of its pictures: name others, or omit it")
    if len(seen) < len(names):
        progress.say(
            f"{folder}: in {len(names) - len(seen):,} of {len(names):,} pictures no digit is seen: they have no answer"
        )
    return ArraySplit(np.stack(seen), np.zeros(len(seen), np.int64))


def path_of(model: TrainResult | str | Path) -> Path:
    """Return the path of a model's file."""
    return model.path if isinstance(model, TrainResult) else Path(model)


def exported(  # Longer than 50 lines: its arguments, and those of what it calls.
    model: TrainResult | str | Path,
    data: Dataset | str | Path | None,
    usage: Usage,
    config: ExportConfig,
    tune: Tune,
    *,
    keep_accuracy: float | None,
    accept: Accept,
    out: Path | None,
    progress: Progress,
) -> ModelFolder:
    """Export a model. Arguments, of which `usage` has more, and errors are those of `edgecnn.export`."""
    _require_tunable(tune, config.formats)
    judge = None if keep_accuracy is None else _judge(keep_accuracy)
    if judge and (alone := [name for name in config.formats if FORMATS[name].pair is None]):
        raise ConfigError(
            f"{field('keep_accuracy')} compares layers, which can't be read in {FORMATS[alone[0]].title} files: omit it, or "
            f"use other {field('formats')}"
        )
    if tune.where is not None and "int8" not in config.precisions:
        raise ConfigError(f"{field('tune')} makes int8 files: add {field('precisions')}=int8")
    source = read_source(path_of(model), tuple(usage.trust), progress.say)
    config.require_made_of(source.format, source.path)
    progress.say(f"{source.path}: loading")
    said = taken = usage.interface_for(source, progress)
    runtime = None
    if source.manifest:
        interface_of(source, said)  # Superfluous settings are reported before TensorFlow is imported.
        dataset = data if isinstance(data, Dataset) else _recorded_images(source.manifest, replace(usage, data=data), progress)
    else:
        if data is None:
            raise ConfigError(f"{source.path} does not say what it was trained on: name its images with {field('data')}")
        runtime = open_source(source, tuple(usage.trust))
        found = found_interface(source, runtime, said, usage.images.fit or "letterbox", progress.say)
        usage = replace(usage, interface=found)
        said = taken = usage.said_interface()
        dataset = data if isinstance(data, Dataset) else _images_for(source, runtime, replace(usage, data=data), progress)
        if said is None:
            raise ask_which(source, runtime, dataset)
        if doubt := better_scheme(source, runtime, said, dataset, progress):
            progress.say(doubt)
    if not (source.manifest or source.class_names or (said and said.class_names)):
        names = dataset.class_names
        for line in order_note(() if names == tuple(map(str, range(len(names)))) else names):
            progress.say(line)
    if said:
        taken = fitted_interface(said, dataset)
        if usage.images.fit:
            taken = replace(taken, preprocessing=replace(taken.preprocessing, fit=said.preprocessing.fit))
    folder = export_folder(source, out)
    taken_by = source.manifest or taken
    acceptance = accept.acceptance(dataset, taken_by.preprocessing, progress) if taken_by else None
    if accept.strangers and taken_by and taken_by.output == "probabilities":
        config = _in_float(config, progress)
    runner = None
    if tune.where is not None:
        runner = runner_of(tune.where, tune.seconds, dataset.test, progress, config.formats, tune.runtime)
    manifest = export_model(
        source,
        dataset,
        config,
        taken,
        out,
        runtime=runtime,
        trust=tuple(usage.trust),
        judge=judge,
        tuning=tuning_for(judge, runner, tune.seed) if runner else None,
        is_a_guess=is_a_guess,
        acceptance=acceptance,
        card=lambda manifest, distinct, earlier: model_card(manifest, folder.resolve().name, distinct, earlier),
        gain=SHOWN_GAIN,
        on_batch=progress.step,
        on_step=progress.say,
    )
    earlier = source.manifest.artifacts if source.manifest else ()
    tuned = tuple(artifact.path for artifact in manifest.artifacts if artifact.tuned and artifact not in earlier)
    others = tuple(file.path for file in manifest.for_programs if file.program in config.targets)
    return ModelFolder(folder, written=(*config.file_names(), *tuned, *others), manifest=manifest)


def _in_float(config: ExportConfig, progress: Progress) -> ExportConfig:
    """Return it with int8 files that give float32, unless their type is stated or a program needs integers.

    Probabilities of 8 bits end at 255/256, which most images may reach and then many strangers too: no threshold divides them.
    """
    coarse = [name for name in config.formats if "float32" in FORMATS[name].io and config.io_of(name) != "float32"]
    needs_integers = any(program.io for program in config.programs())
    if config.io or needs_integers or not coarse or "int8" not in config.precisions:
        return config
    files = " and ".join(FORMATS[name].file_name("int8") for name in coarse)
    progress.say(f"{files}: takes and gives float32, to refuse more strangers; {setting('io', 'int8')} keeps integers")
    return replace(config, io="float32")


def _recorded_images(manifest: Manifest, usage: Usage, progress: Progress) -> Dataset:
    """Return the images that a model was trained on, read by its preprocessing."""
    data, options = recorded_source(manifest.dataset, usage.data, usage.images)
    return load_for_model(data, options, recorded_model(manifest.dataset, manifest.class_names), progress)


def _images_for(source: ModelFile, runtime: LoadedModel, usage: Usage, progress: Progress) -> Dataset:
    """Return the images of a model from elsewhere; how it takes pixels may still be unknown."""
    any_scheme = replace(SCHEMES["raw"], fit=usage.images.fit or "letterbox")
    said = usage.said_interface() or Interface(any_scheme, output_of(source, runtime))
    return load_for_model(usage.data, usage.images, model_images(Classifier(source, runtime, said)), progress)


def _require_tunable(tune: Tune, formats: tuple[str, ...]) -> None:
    """Raise unless these arguments suit each other, before anything is read."""
    if tune.where is None:
        usual = Tune()
        for name, given in (
            ("tune_seconds", tune.seconds != usual.seconds),
            ("tune_seed", tune.seed),
            ("tune_runtime", tune.runtime is not None),
        ):
            if given:
                raise ConfigError(f"{field(name)} says how to tune: add {field('tune')}={HERE}, or omit it")
        return
    if not isinstance(tune.where, str):
        raise ConfigError(f"{field('tune')} must be a text, for example {HERE}, got {tune.where!r}")
    known = [name for name, row in RUNTIMES.items() if any(FORMATS[of_one].on_device for of_one in row.formats)]
    if tune.runtime is not None and tune.runtime not in known:
        raise ConfigError(f"{field('tune_runtime')}={tune.runtime} is unknown: use {', '.join(known)}")
    runs = RUNTIMES[tune.runtime].formats if tune.runtime else formats
    if not set(runs) & set(formats):
        raise ConfigError(f"{field('tune_runtime')}={tune.runtime} runs {runs[0]} files: add {field('formats')}={runs[0]}")
    require_runner(tune.where, tune.seconds, formats, tune.runtime)


def tuning_for(judge: Judge | None, runner: Runner, seed: int = 0) -> Tuning:
    """Return how to tune: files must be accurate enough for `judge`, or else not be shown to lose too much for a benchmark."""
    limit = Budget().max_drop_points
    assert limit is not None  # noqa: S101  # The default.
    return Tuning(runner, judge or _judge(limit, undecided=True), seed)


def usual_tuning(where: str | None, dataset: Dataset, formats: tuple[str, ...], progress: Progress) -> Tuning:
    """Return how the files of a sweep are tuned on a host, or on this machine. Errors are those of `runner_of`."""
    with _renamed({"tune": "device"} if where else {}):
        return tuning_for(None, runner_of(where or HERE, TUNE_SECONDS, dataset.test, progress, formats))


def _judge(points: float, undecided: bool = False) -> Judge:
    """Return a judge that passes a file shown to lose at most these points, or, if `undecided`, one not shown to lose more."""
    if not 0 < points <= 100:
        raise ConfigError(f"{field('keep_accuracy')} must be percentage points above 0, for example 0.5, got {points:g}")

    def objection(candidate: Floats, reference: Floats, labels: Labels) -> str | None:
        if not len(labels):
            return "there are no test images"
        found = compare(candidate, reference, labels)
        names = tuple(map(str, range(candidate.shape[1])))
        checks = accuracy_checks(found, Budget(max_drop_points=points), _FLOAT_MODEL, names)
        passed = (PASS, UNDECIDED) if undecided else (PASS,)
        return next((check.text for check in checks if check.status not in passed), None)

    return Judge(objection, points, _slowdown)


def is_a_guess(probabilities: Floats, labels: Labels) -> bool:
    """Return whether a float model is no reference to judge by, as `bench` would say of it."""
    return nothing_to_judge_by(compare(probabilities, probabilities, labels), _FLOAT_MODEL) is not None


def _is_gain(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> bool:
    """Return whether the first of two files, which is right for these images, is shown to be right more often (95 %)."""
    gained, lost = int((first & ~second).sum()), int((second & ~first).sum())
    return gained > lost and mcnemar_p(lost, gained) <= _CHANCE


SHOWN_GAIN = Gain("test", _is_gain)
"""When an export writes what was trained for integers."""


def _slowdown(model_format: str, plain: bytes, mended: bytes) -> float:
    """Return the second file's median time divided by the first's, on random inputs, measured as in `edgecnn.bench`."""
    with temporary_folder() as folder:
        files = [folder / f"{role}{FORMATS[model_format].suffix}" for role in ("plain", "mended")]
        for path, data in zip(files, (plain, mended), strict=True):
            path.write_bytes(data)
        options = BenchOptions(plan=Plan(0.2, 200, 3, max_seconds=10), percents=(50.0,))
        candidate_set = file_candidates([BareFile(read_model(path), opener_for(model_format)) for path in files], options)
        report = benchmark(
            candidate_set, options, Budgets(Budget(max_drop_points=None), {}), Policy(), command="edgecnn export", versions={}
        )
    first, second = (file.latency.percentiles[0].value_ns for file in report.files)
    return cast(float, second) / cast(float, first)  # 600 runs support a median.
