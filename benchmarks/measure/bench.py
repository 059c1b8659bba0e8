"""Measures files on this machine or on others, and judges them."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from edgecnn.benchmarks.bundle.write_bundle import write_bundle
from edgecnn.benchmarks.gate.budget import Budget, Budgets, load_budgets
from edgecnn.benchmarks.gate.gate import Policy
from edgecnn.benchmarks.gate.tally import read_groups
from edgecnn.benchmarks.measure.bare_files import BareFile, file_candidates
from edgecnn.benchmarks.measure.candidates import CandidateSet, LabelledImages, folder_candidates
from edgecnn.benchmarks.measure.options import BenchOptions
from edgecnn.benchmarks.measure.run import benchmark
from edgecnn.benchmarks.remote.install import device_wheel, running_version
from edgecnn.benchmarks.remote.received import judged_here, sent
from edgecnn.benchmarks.remote.remote import Install, Job, unreachable
from edgecnn.benchmarks.remote.remote import bench_devices as bench_bundle
from edgecnn.benchmarks.remote.ssh import check_hosts
from edgecnn.benchmarks.results.records import DEVICES_SCHEMA, DeviceResults, Report
from edgecnn.edge.data.folder_options import FolderOptions
from edgecnn.edge.errors import ConfigError, MissingDependency, field
from edgecnn.edge.files import read_bytes, temporary_folder, write_bytes
from edgecnn.edge.formats import FORMATS, format_of, is_exported
from edgecnn.edge.inference.model_test_images import model_test_record, order_note, split_note
from edgecnn.edge.inference.usage import Target, Usage
from edgecnn.edge.manifest import BENCH_NAME, BUNDLE_SUFFIX
from edgecnn.edge.model_folder import ModelFolder, opened
from edgecnn.edge.packages import versions
from edgecnn.edge.result import Progress
from edgecnn.edge.runtimes.base import Opener
from edgecnn.edge.runtimes.installed import is_installed, runtime_formats

_BUDGET_NAME = "budget.toml"


def measured_on(  # Longer than 50 lines: from a folder to results.
    target: Target,
    hosts: Sequence[str],
    *,
    arguments: Sequence[str],
    budget: str | Path | None,
    runtime: Sequence[str],
    install: bool,
    data: str | Path | None,
    images: FolderOptions,
    command: str | None,
    progress: Progress,
) -> DeviceResults:
    """Measure on devices. Arguments and errors are those of `edgecnn.bench_devices`."""
    check_hosts(hosts)
    with opened(target) as models, temporary_folder() as scratch:
        if not models.is_folder:
            raise ConfigError("devices take a folder with a manifest, or a bundle: name one")
        files, given = {}, list(arguments)
        if budget:
            files[_BUDGET_NAME] = read_bytes(Path(budget)).decode(errors="replace")
            given.append(f"--budget={_BUDGET_NAME}")
        named = runtime_formats(list(runtime))
        exported = models.manifest.exported if models.manifest else ()
        chosen = [artifact for artifact in exported if not named or artifact.format in named]
        if not chosen:
            raise ConfigError(
                f"{models.named} has no file for {' or '.join(runtime)} that a device could run: omit {field('runtime')}"
            )
        # Errors in it are raised here already; a board that lacks a limited file's runtime refuses it for itself.
        load_budgets(Path(budget) if budget else None, {}, tuple(artifact.path for artifact in chosen))
        command = command or f"edgecnn.bench_devices({str(models.named)!r}, {list(hosts)!r})"
        away = unreachable(hosts, progress.say)
        there = [host for host in hosts if host not in away]
        if not there:
            return DeviceResults(DEVICES_SCHEMA, command, tuple(away.values()))
        bundle = models.bundle
        if bundle is None:
            bundle = scratch / f"{models.path.resolve().name}{BUNDLE_SUFFIX}"
            names = tuple(artifact.path for artifact in chosen)
            write_bundle(bundle, models, models.test_images(data, images), names, on_progress=progress.say)
        wanted = None
        if install:
            progress.say("building edgecnn's wheel, unless it came from a package index")
            runtimes = tuple(sorted({name for file in chosen for name in named.get(file.format, (file.format,))}))
            wanted = Install(runtimes, device_wheel(scratch / "wheel"))
        original = sent(bundle, arguments, Path(budget) if budget else None)
        judged = partial(judged_here, of=original)
        job = Job(bundle, tuple(given), running_version(), f"{command} --install", judged, wanted, files)
        found = bench_bundle(there, job, command, progress.say)
        devices = away | {device.host: device for device in found.devices}
        return replace(found, devices=tuple(devices[host] for host in hosts))


@dataclass(frozen=True)
class BenchCall:
    """The arguments of one call of `edgecnn.bench`.

    Attributes:
        usage: How models are run, and on which images.
        named: Named runtimes of each format.
        reference: File that the others are compared with.
        options: What is measured.
        budget: The limits, or their file.
        limits: Limits that override those of `budget`.
        policy: How noise is handled.
        groups: File with the groups of images.
        command: What the report gives to repeat it.
        progress: Receives the progress.
    """

    usage: Usage
    named: dict[str, tuple[str, ...]]
    reference: Path | None
    options: BenchOptions
    budget: Budget | str | Path | None
    limits: Mapping[str, float | None]
    policy: Policy
    groups: Path | None
    command: str | None
    progress: Progress


def measured(target: Target | Sequence[str | Path], call: BenchCall) -> Report:
    """Measure files and judge them. Arguments and errors are those of `edgecnn.bench`."""
    targets = [target] if isinstance(target, (str, Path, ModelFolder)) else list(target)
    usage = call.usage
    if len(targets) > 1 and not all(format_of(Path(str(item))) for item in targets):
        raise ConfigError(f"bench takes one folder, or model files with {field('reference')}: name them")
    with ExitStack() as stack:
        models = [stack.enter_context(opened(item)) for item in targets]
        _require_alike(models, call)
        notes: list[str] = []
        if models[0].is_folder:
            openers, notes = _openers(models[0], call)
            test = models[0].test_images(usage.data, usage.images)
            candidate_set = folder_candidates(models[0], call.options, openers, test)
        else:
            candidate_set = _files(models, call)
        if call.groups:
            if candidate_set.images is None:
                raise ConfigError(f"{field('groups')} needs labelled images: name them with {field('data')}")
            grouped = replace(candidate_set.images, groups=read_groups(call.groups, candidate_set.images.test))
            candidate_set = replace(candidate_set, images=grouped)
        budgets = _budgets(call.budget, call.limits, candidate_set)
        command = call.command or f"edgecnn.bench({', '.join(repr(str(item.named)) for item in models)})"
        report = benchmark(
            candidate_set,
            call.options,
            budgets,
            call.policy,
            command=command,
            versions=versions("numpy"),
            notes=notes,
            progress=call.progress,
        )
        if models[0].is_folder and not models[0].bundle:
            _keep(report, models[0].path, call.progress)
        return report


def _keep(report: Report, folder: Path, progress: Progress) -> None:
    """Write a folder's last benchmark into it, which `edgecnn.serve` shows; a folder that can't be written to has none."""
    try:
        write_bytes(folder / BENCH_NAME, report.to_json().encode())
    except ConfigError as error:
        progress.say(f"the result is not kept in the folder: {error}")


def _budgets(budget: Budget | str | Path | None, limits: Mapping[str, float | None], candidate_set: CandidateSet) -> Budgets:
    """Combine a budget with limits that override it. Errors are those of `load_budgets`."""
    if isinstance(budget, Budget):
        return Budgets(replace(budget, **{name: value for name, value in limits.items() if value is not None}), {})
    known = tuple(candidate.artifact.path for candidate in candidate_set.candidates)
    references = [candidate.artifact.path for candidate in candidate_set.candidates if candidate_set.is_reference(candidate)]
    beside_reference = candidate_set.images is not None and len(references) < len(known)
    return load_budgets(
        Path(budget) if budget else None, limits, known, beside_reference, references[0] if references else None
    )


def _require_alike(models: Sequence[ModelFolder], call: BenchCall) -> None:
    """Raise if files can't be measured together, or if options repeat a manifest."""
    first = models[0]
    in_folder = any(item.is_folder for item in models)
    if in_folder and call.reference:
        raise ConfigError(f"bench takes one folder, or model files with {field('reference')}: name them")
    for item in models:
        if item.bundle and not item.is_folder:
            named = f"{field('runtime')}={format_of(item.path)}"
            raise ConfigError(f"{item.named}: bench takes a whole bundle: edgecnn bench {item.bundle} {named}")
    if in_folder and (call.usage.said_interface() or call.usage.signature):
        raise ConfigError(
            f"the manifest in {first.named} defines how its files take pixels: omit {field('interface')}, {field('scale')}, "
            f"{field('mean')}, {field('std')}, {field('bgr')}, {field('logits')} and {field('signature')}"
        )


def _openers(models: ModelFolder, call: BenchCall) -> tuple[dict[str, tuple[Opener, ...]], list[str]]:
    """Return the openers of each measured format, and a note on what has no runtime here."""
    if models.bundle and not all(map(is_exported, call.named)):
        raise ConfigError(f"{models.named} is a bundle, which holds no Keras model: omit {field('runtime')}=keras")
    artifacts = models.manifest.artifacts if models.manifest else ()
    present = {artifact.format for artifact in artifacts if artifact.exported or not models.bundle}
    if call.named:
        return _named_openers(_present_formats(call.named, present), call)
    installed = [name for name in FORMATS if name in present and is_installed(name)]
    if not installed:
        call.usage.opener(max(sorted(present), key=is_exported))  # Raises, with what to install.
    missing = [f"{name} files were not measured: their runtime is not installed." for name in sorted(present - {*installed})]
    return {name: (call.usage.opener(name),) for name in installed}, missing


def _present_formats(named: Mapping[str, tuple[str, ...]], present: set[str]) -> dict[str, tuple[str, ...]]:
    """Return the named runtimes of each format, without the formats that are not there of a runtime that has one that is."""
    used = {name for model_format in present for name in named.get(model_format, ())}
    kept = {
        model_format: tuple(name for name in names if model_format in present or name not in used)
        for model_format, names in named.items()
    }
    return {model_format: names for model_format, names in kept.items() if names}


def _named_openers(named: Mapping[str, tuple[str, ...]], call: BenchCall) -> tuple[dict[str, tuple[Opener, ...]], list[str]]:
    """Return the openers that were call for. One that is not installed is a note, unless there is no other."""
    found: dict[str, tuple[Opener, ...]] = {}
    missing: dict[str, MissingDependency] = {}
    for model_format, names in named.items():
        for name in names:
            try:
                found[model_format] = (*found.get(model_format, ()), call.usage.opener(name))
            except MissingDependency as error:
                missing[name] = error
    if not found:
        raise next(iter(missing.values()))
    return found, [f"{name} was not measured: {error}." for name, error in missing.items()]


def _files(models: Sequence[ModelFolder], call: BenchCall) -> CandidateSet:
    """Return model files from anywhere, compared with one of them."""
    usage, reference = call.usage, call.reference
    models = list(models)
    if reference and reference not in [item.named for item in models]:
        models.insert(0, ModelFolder(reference))
    place = next((i for i, item in enumerate(models) if item.named == reference), 0)
    read = [item.model() for item in models]
    first, interface, formats = read[place], usage.said_interface(), {model.format for model in read}
    named = _present_formats(call.named, formats)
    if unused := [name for model_format, names in named.items() if model_format not in formats for name in names]:
        raise ConfigError(f"{field('runtime')}={unused[0]} runs none of these files: omit it")
    bare = [
        BareFile(model, usage.opener(name), None if model.manifest else interface, usage.signature)
        for model in read
        for name in named.get(model.format, (model.format,))
    ]
    place = next(i for i, file in enumerate(bare) if file.model is first)
    if usage.data is None and first.manifest is None:
        if interface or reference:
            said = field("reference" if reference else "interface")
            raise ConfigError(f"{said} needs labelled images: name them with {field('data')}, or omit it for latency only")
        return file_candidates(bare, call.options, progress=call.progress)
    classifier = usage.classifier(first, read)
    test = usage.test_images(models[place], str(first.path), classifier)
    record = model_test_record(classifier, usage.data, test, usage.images)
    labelled = LabelledImages(test, record)
    candidate_set = file_candidates(bare, call.options, labelled, reference=place, progress=call.progress)
    if usage.data is None:
        return candidate_set
    notes = (
        *split_note(record),
        *order_note(classifier, usage.data, usage.images),
    )
    return replace(candidate_set, notes=(*candidate_set.notes, *notes))
