"""What a call of `bench` names, as candidates: the files of a folder or bundle, or files from anywhere."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from edgecnn.benchmarks.gate.budget import Budget, Budgets, load_budgets
from edgecnn.benchmarks.gate.tally import read_groups
from edgecnn.benchmarks.measure.candidates import BareFile, CandidateSet, LabelledImages, file_candidates, folder_candidates
from edgecnn.benchmarks.measure.options import BenchOptions
from edgecnn.benchmarks.results.records import Unmeasured
from edgecnn.edge.errors import ConfigError, MissingDependency, field
from edgecnn.edge.formats import FORMATS, format_of, is_exported
from edgecnn.edge.inference.model_test_images import assumed_classes, learnt_by, model_test_record, order_note, split_note
from edgecnn.edge.inference.usage import Usage
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.result import Progress
from edgecnn.edge.runtimes.base import Opener
from edgecnn.edge.runtimes.installed import is_installed

Named = Mapping[str, tuple[str, ...]]
"""The named runtimes of each format."""


def candidates(
    models: Sequence[ModelFolder],
    usage: Usage,
    named: Named,
    reference: Path | None,
    options: BenchOptions,
    progress: Progress,
) -> CandidateSet:
    """Return what is measured. Arguments and errors are those of `edgecnn.bench`, with the targets opened."""
    _require_alike(models, usage, reference)
    if models[0].is_folder:
        openers, missing = _openers(models[0], usage, named)
        found = folder_candidates(models[0], options, openers, models[0].test_images(usage.data, usage.images))
        return replace(found, unmeasured=(*missing, *found.unmeasured))
    models = list(models)
    if reference and reference not in [item.named for item in models]:
        models.insert(0, ModelFolder(reference))
    compared = next((item for item in models if item.named == reference), models[0])
    read = [item.model() for item in models]
    first, interface, formats = read[models.index(compared)], usage.said_interface(), {model.format for model in read}
    named = _present_formats(named, formats)
    if unused := [name for model_format, names in named.items() if model_format not in formats for name in names]:
        raise ConfigError(f"{field('runtime')}={unused[0]} runs none of these files: omit it")
    taken = {model.path: usage.interface_for(model) if usage.data is not None else interface for model in read}
    bare = [
        BareFile(model, usage.opener(name), None if model.manifest else taken[model.path], usage.signature)
        for model in read
        for name in named.get(model.format, (model.format,))
    ]
    place = next(i for i, file in enumerate(bare) if file.model is first)
    if usage.data is None and first.manifest is None:
        if interface or reference:
            said = field("reference" if reference else "interface")
            raise ConfigError(f"{said} needs labelled images: name them with {field('data')}, or omit it for latency only")
        return file_candidates(bare, options, progress=progress)
    classifier = usage.classifier(first, read)
    test = usage.test_images(compared, str(first.path), classifier, progress)
    record = model_test_record(classifier, usage.data, test, usage.images)
    others = {model.path: model.manifest for model in read if model.manifest and model.manifest != first.manifest}
    learnt, doubts = learnt_by(others, test)
    record = replace(record, learnt=tuple(sorted({*record.learnt, *learnt})))
    candidate_set = file_candidates(bare, options, LabelledImages(test, record), reference=place, progress=progress)
    candidate_set = replace(candidate_set, notes=(*candidate_set.notes, *doubts))
    if usage.data is None:
        return candidate_set
    names = assumed_classes(classifier, usage.data, usage.images)
    notes = (*candidate_set.notes, *split_note(record), *order_note(names))
    return replace(candidate_set, class_names=names or candidate_set.class_names, notes=notes)


def grouped(candidate_set: CandidateSet, groups: Path) -> CandidateSet:
    """Return candidates whose images have the groups of a file. Errors are those of `read_groups`.

    Raises:
        ConfigError: If there are no labelled images.
    """
    if candidate_set.images is None:
        raise ConfigError(f"{field('groups')} needs labelled images: name them with {field('data')}")
    images = replace(candidate_set.images, groups=read_groups(groups, candidate_set.images.test))
    return replace(candidate_set, images=images)


def budgets_of(candidate_set: CandidateSet, budget: Budget | str | Path | None, limits: Mapping[str, float | None]) -> Budgets:
    """Combine a budget with limits that override it. Errors are those of `load_budgets`."""
    if isinstance(budget, Budget):
        if candidate_set.images is None and budget.max_drop_points is not None:
            raise ConfigError(
                f"{field('budget')} limits the drop of accuracy, which needs labelled images: add {field('data')}, or "
                f"{field('max_drop_points')}=None in it"
            )
        return Budgets(replace(budget, **{name: value for name, value in limits.items() if value is not None}), {})
    known = tuple(candidate.artifact.path for candidate in candidate_set.candidates)
    references = [candidate.artifact.path for candidate in candidate_set.candidates if candidate_set.is_reference(candidate)]
    beside_reference = candidate_set.images is not None and len(references) < len(known)
    return load_budgets(
        Path(budget) if budget else None, limits, known, beside_reference, references[0] if references else None
    )


def _require_alike(models: Sequence[ModelFolder], usage: Usage, reference: Path | None) -> None:
    """Raise if files can't be measured together, or if options repeat a manifest."""
    first = models[0]
    in_folder = any(item.is_folder for item in models)
    if in_folder and reference:
        raise ConfigError(f"bench takes one folder, or model files with {field('reference')}: name them")
    for item in models:
        if item.bundle and not item.is_folder:
            runtime = f"{field('runtime')}={format_of(item.path)}"
            raise ConfigError(f"{item.named}: bench takes a whole bundle: edgecnn bench {item.bundle} {runtime}")
    if in_folder and (usage.said_interface() or usage.signature):
        raise ConfigError(
            f"the manifest in {first.named} defines how its files take pixels: omit {field('interface')}, {field('scale')}, "
            f"{field('mean')}, {field('std')}, {field('bgr')}, {field('logits')} and {field('signature')}"
        )


def _openers(models: ModelFolder, usage: Usage, named: Named) -> tuple[dict[str, tuple[Opener, ...]], list[Unmeasured]]:
    """Return the openers of each measured format, and what has no runtime here."""
    if models.bundle and not all(map(is_exported, named)):
        raise ConfigError(f"{models.named} is a bundle, which holds no Keras model: omit {field('runtime')}=keras")
    artifacts = models.manifest.artifacts if models.manifest else ()
    present = {one.format for one in artifacts if one.exported or not (models.bundle or is_exported(one.format))}
    if named:
        return _named_openers(_present_formats(named, present), usage)
    installed = [name for name in FORMATS if name in present and is_installed(name)]
    if not installed:
        usage.opener(max(sorted(present), key=is_exported))  # Raises, with what to install.
    missing = [Unmeasured(name, "their runtime is not installed") for name in sorted(present - {*installed})]
    return {name: (usage.opener(name),) for name in installed}, missing


def _present_formats(named: Named, present: set[str]) -> Named:
    """Return the named runtimes of each format, without the formats that are not there of a runtime that has one that is."""
    used = {name for model_format in present for name in named.get(model_format, ())}
    kept = {
        model_format: tuple(name for name in names if model_format in present or name not in used)
        for model_format, names in named.items()
    }
    return {model_format: names for model_format, names in kept.items() if names}


def _named_openers(named: Named, usage: Usage) -> tuple[dict[str, tuple[Opener, ...]], list[Unmeasured]]:
    """Return the openers that were asked for. One that is not installed is unmeasured, unless there is no other."""
    found: dict[str, tuple[Opener, ...]] = {}
    missing: dict[str, MissingDependency] = {}
    for model_format, names in named.items():
        for name in names:
            try:
                found[model_format] = (*found.get(model_format, ()), usage.opener(name))
            except MissingDependency as error:
                missing[name] = error
    if not found:
        raise next(iter(missing.values()))
    return found, [Unmeasured(name, str(error)) for name, error in missing.items()]
