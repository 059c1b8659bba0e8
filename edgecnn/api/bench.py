"""Measures files on this machine and judges them."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from edgecnn.api.usage import Target, Usage
from edgecnn.benchmarks.judge.budgets import Budgets, load_budgets
from edgecnn.benchmarks.judge.gate import Budget, Policy
from edgecnn.benchmarks.judge.groups import read_groups
from edgecnn.benchmarks.measure.bare_files import BareFile, file_lineup
from edgecnn.benchmarks.measure.lineup import LabelledImages, Lineup, folder_lineup
from edgecnn.benchmarks.measure.options import BenchOptions
from edgecnn.benchmarks.measure.run import benchmark
from edgecnn.benchmarks.measure.schedule import steps_of
from edgecnn.benchmarks.results.records import Report
from edgecnn.edge.data.folder_options import NO_OPTIONS, FolderOptions
from edgecnn.edge.errors import ConfigError, MissingDependency, field
from edgecnn.edge.files import write_bytes
from edgecnn.edge.folder.file_names import BENCH_NAME
from edgecnn.edge.folder.model_folder import ModelFolder, opened
from edgecnn.edge.formats import FORMATS, format_of, is_exported
from edgecnn.edge.inference.model_test_images import model_test_record, order_note, split_note
from edgecnn.edge.model.interface import Interface
from edgecnn.edge.progress import SILENT, Progress
from edgecnn.edge.provenance import versions
from edgecnn.edge.runtimes import Opener
from edgecnn.edge.runtimes.installed import is_installed, runtime_formats


@dataclass(frozen=True)
class _Asked:
    """The arguments of one call of `bench`, with defaults filled in."""

    usage: Usage
    named: dict[str, tuple[str, ...]]
    reference: Path | None
    options: BenchOptions
    progress: Progress


def bench(  # Longer than 50 lines: its arguments and their docs.
    target: Target | Sequence[str | Path],
    *,
    budget: Budget | str | Path | None = None,
    limits: Mapping[str, float | None] | None = None,
    options: BenchOptions = BenchOptions(),
    runtime: str | Sequence[str] = (),
    reference: str | Path | None = None,
    allow: Sequence[str] = (),
    strict: bool = False,
    groups: str | Path | None = None,
    data: str | Path | None = None,
    images: FolderOptions = NO_OPTIONS,
    interface: Interface | str | None = None,
    trust: Sequence[str] = (),
    signature: str | None = None,
    command: str | None = None,
    progress: Progress = SILENT,
) -> Report:
    """Measure files, each in separate processes, and judge them against the float Keras model or the first file.

    A file outside its budget raises no exception: see `verdict` of the report and of its files. The report on a folder is also
    written into it, as `bench.json`. Files without labelled images
    are measured on random inputs, for their latency alone.

    Args:
        target: A folder with a manifest, a bundle, a model file, or several model files.
        budget: The limits, or a TOML file with them. Default: a drop of 0.5 percentage points.
        limits: Limits by the names of `Budget`'s fields, which override those of `budget`.
        options: What to measure: threads, launches, percentiles, batches, and how long.
        runtime: Runtimes (`litert`, `onnxruntime`, ...) to measure, or formats for their default runtimes. Default: all.
        reference: File that the others are compared with. Default: the first; for a folder, the float Keras model.
        allow: Names of noise to ignore, or `noise` for all of it.
        strict: Whether any other noise makes the result INVALID.
        groups: A CSV file with the columns image and group: images of one group count as dependent evidence.
        data: Labelled images, as for `edgecnn.load_dataset`. Default: those that the manifest records.
        images: How a folder of images is read, and the class names.
        interface: For files without a manifest: as in `edgecnn.evaluate`.
        trust: Names of Python modules that define a Keras model's own layers. Their code runs.
        signature: Signature to run of TFLite files that have several.
        command: The command that the report gives to repeat it. Default: this call.
        progress: Receives messages about the progress.

    Returns:
        The report: raw times in nanoseconds, percentiles, accuracy, the state of the machine, and the verdict.

    Raises:
        ArtifactError: If a file is missing, damaged or stale, or a runtime refuses it.
        ConfigError: If the arguments contradict each other, or a limit would judge nothing.
        InvalidMeasurement: If the machine does not report a process's memory.
        MissingDependency: If a runtime is not installed.
    """
    policy = Policy(tuple(allow), strict)
    usage = Usage(data, images, interface, trust, signature)
    named = runtime_formats([runtime] if isinstance(runtime, str) else list(runtime))
    asked = _Asked(usage, named, Path(reference) if reference else None, options, progress)
    targets = [target] if isinstance(target, (str, Path, ModelFolder)) else list(target)
    if len(targets) > 1 and not all(format_of(Path(str(item))) for item in targets):
        raise ConfigError(f"bench takes one folder, or model files with {field('reference')}: name them")
    with ExitStack() as stack:
        models = [stack.enter_context(opened(item)) for item in targets]
        _require_alike(models, asked)
        notes: list[str] = []
        if models[0].is_folder:
            openers, notes = _openers(models[0], asked)
            test = models[0].test_images(data, images)
            lineup = folder_lineup(models[0], options, openers, test)
        else:
            lineup = _files(models, asked)
        if groups:
            if lineup.images is None:
                raise ConfigError(f"{field('groups')} needs labelled images: name them with {field('data')}")
            grouped = replace(lineup.images, groups=read_groups(Path(groups), lineup.images.test))
            lineup = replace(lineup, images=grouped)
        budgets = _budgets(budget, limits or {}, lineup)
        command = command or f"edgecnn.bench({', '.join(repr(str(item.named)) for item in models)})"
        report = benchmark(
            lineup,
            options,
            budgets,
            policy,
            command=command,
            versions=versions("numpy"),
            notes=notes,
            on_progress=steps_of(progress),
        )
        if models[0].is_folder and not models[0].bundle:
            _keep(report, models[0].path, progress)
        return report


def _keep(report: Report, folder: Path, progress: Progress) -> None:
    """Write a folder's last benchmark into it, which `edgecnn.serve` shows; a folder that can't be written to has none."""
    try:
        write_bytes(folder / BENCH_NAME, report.to_json().encode())
    except ConfigError as error:
        progress.say(f"the result is not kept in the folder: {error}")


def _budgets(budget: Budget | str | Path | None, limits: Mapping[str, float | None], lineup: Lineup) -> Budgets:
    """Combine a budget with limits that override it. Errors are those of `load_budgets`."""
    if isinstance(budget, Budget):
        return Budgets(replace(budget, **{name: value for name, value in limits.items() if value is not None}), {})
    known = tuple(candidate.artifact.path for candidate in lineup.candidates)
    references = [candidate.artifact.path for candidate in lineup.candidates if lineup.is_reference(candidate)]
    beside_reference = lineup.images is not None and len(references) < len(known)
    return load_budgets(
        Path(budget) if budget else None, limits, known, beside_reference, references[0] if references else None
    )


def _require_alike(models: Sequence[ModelFolder], asked: _Asked) -> None:
    """Raise if files can't be measured together, or if options repeat a manifest."""
    first = models[0]
    in_folder = any(item.is_folder for item in models)
    if in_folder and asked.reference:
        raise ConfigError(f"bench takes one folder, or model files with {field('reference')}: name them")
    for item in models:
        if item.bundle and not item.is_folder:
            named = f"{field('runtime')}={format_of(item.path)}"
            raise ConfigError(f"{item.named}: bench takes a whole bundle: edgecnn bench {item.bundle} {named}")
    if in_folder and (asked.usage.said_interface() or asked.usage.signature):
        raise ConfigError(
            f"the manifest in {first.named} defines how its files take pixels: omit {field('interface')}, {field('scale')}, "
            f"{field('mean')}, {field('std')}, {field('bgr')}, {field('logits')} and {field('signature')}"
        )


def _openers(models: ModelFolder, asked: _Asked) -> tuple[dict[str, tuple[Opener, ...]], list[str]]:
    """Return the openers of each measured format, and a note on what has no runtime here."""
    if models.bundle and not all(map(is_exported, asked.named)):
        raise ConfigError(f"{models.named} is a bundle, which holds no Keras model: omit {field('runtime')}=keras")
    artifacts = models.manifest.artifacts if models.manifest else ()
    present = {artifact.format for artifact in artifacts if artifact.exported or not models.bundle}
    if asked.named:
        return _named_openers(_of_present(asked.named, present), asked)
    installed = [name for name in FORMATS if name in present and is_installed(name)]
    if not installed:
        asked.usage.opener(max(sorted(present), key=is_exported))  # Raises, with what to install.
    missing = [f"{name} files were not measured: their runtime is not installed." for name in sorted(present - {*installed})]
    return {name: (asked.usage.opener(name),) for name in installed}, missing


def _of_present(named: Mapping[str, tuple[str, ...]], present: set[str]) -> dict[str, tuple[str, ...]]:
    """Return the named runtimes of each format, without the formats that are not there of a runtime that has one that is."""
    used = {name for model_format in present for name in named.get(model_format, ())}
    kept = {
        model_format: tuple(name for name in names if model_format in present or name not in used)
        for model_format, names in named.items()
    }
    return {model_format: names for model_format, names in kept.items() if names}


def _named_openers(named: Mapping[str, tuple[str, ...]], asked: _Asked) -> tuple[dict[str, tuple[Opener, ...]], list[str]]:
    """Return the openers that were asked for. One that is not installed is a note, unless there is no other."""
    found: dict[str, tuple[Opener, ...]] = {}
    missing: dict[str, MissingDependency] = {}
    for model_format, names in named.items():
        for name in names:
            try:
                found[model_format] = (*found.get(model_format, ()), asked.usage.opener(name))
            except MissingDependency as error:
                missing[name] = error
    if not found:
        raise next(iter(missing.values()))
    return found, [f"{name} was not measured: {error}." for name, error in missing.items()]


def _files(models: Sequence[ModelFolder], asked: _Asked) -> Lineup:
    """Line up model files from anywhere, compared with one of them."""
    usage, reference = asked.usage, asked.reference
    models = list(models)
    if reference and reference not in [item.named for item in models]:
        models.insert(0, ModelFolder(reference))
    place = next((i for i, item in enumerate(models) if item.named == reference), 0)
    read = [item.model() for item in models]
    first, interface, formats = read[place], usage.said_interface(), {model.format for model in read}
    named = _of_present(asked.named, formats)
    if unused := [name for model_format, names in named.items() if model_format not in formats for name in names]:
        raise ConfigError(f"{field('runtime')}={unused[0]} runs none of these files: omit it")
    bare = [
        BareFile(model, usage.opener(name), None if model.manifest else interface, usage.signature)
        for model in read
        for name in named.get(model.format, (model.format,))
    ]
    place = next(i for i, file in enumerate(bare) if file.model is first)
    on_progress = steps_of(asked.progress)
    if usage.data is None and first.manifest is None:
        if interface or reference:
            said = field("reference" if reference else "interface")
            raise ConfigError(f"{said} needs labelled images: name them with {field('data')}, or omit it for latency only")
        return file_lineup(bare, asked.options, on_progress=on_progress)
    classifier = usage.classifier(first, read)
    test = usage.test_images(models[place], str(first.path), classifier)
    record = model_test_record(classifier, usage.data, test, usage.images)
    labelled = LabelledImages(test, record)
    lineup = file_lineup(bare, asked.options, labelled, reference=place, on_progress=on_progress)
    if usage.data is None:
        return lineup
    notes = (*split_note(record), *order_note(classifier, usage.data, usage.images))
    return replace(lineup, notes=(*lineup.notes, *notes))
