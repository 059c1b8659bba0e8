"""The result of an export as text."""

from collections.abc import Callable, Sequence
from pathlib import Path
from shlex import quote

from edgecnn.edge.data.pixel_digests import learnt_note
from edgecnn.edge.errors import setting
from edgecnn.edge.export_records import (
    GAIN,
    NO_BETTER_THAN_A_GUESS,
    Folded,
    Mended,
    Parity,
    ProgramFile,
    Reference,
    Setting,
    Settings,
)
from edgecnn.edge.formats import FORMATS
from edgecnn.edge.graph.summary import layer_label
from edgecnn.edge.manifest import Artifact, Manifest
from edgecnn.edge.model.interface import formula
from edgecnn.edge.model.preprocess import LEAST_SPREAD
from edgecnn.edge.model.threshold import Threshold
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.runtimes.installed import runtimes_of
from edgecnn.edge.show.table import TextTable, table_text
from edgecnn.edge.text import WIDTH, counted, paragraphs

_NAMES_SHOWN = 3
_CLASSES_SHOWN = 10
# A file with more of float32's bytes saves time alone.
_AS_LARGE, _TIME_ALONE = 0.9, ", so it saves time alone"
_TRIED_SHOWN = 3
# If fewer images than this share get the float model's class, the text recommends what to do.
_FEW_AGREE = 0.95


def folder_text(folder: ModelFolder, width: int = WIDTH) -> str:
    """Return a table of the files that the last export wrote, or of all, and what to know of them."""
    if folder.manifest is None:
        return f"{folder.named}: {folder.model().unverified}"
    return export_text(folder.manifest, folder.named, folder.written or folder.names, width)


def export_text(manifest: Manifest, folder: Path, files: Sequence[str], width: int = WIDTH) -> str:
    """Return a table of the exported files of these names, and what to know of them."""
    source = manifest.source_name
    columns: dict[str, Callable[[tuple[Artifact, Parity]], str]] = {
        "file": lambda of: of[0].path,
        "KiB": lambda of: f"{of[0].size_bytes / 1024:.1f}",
        "largest\ndifference": lambda of: f"{of[1].max_difference:.2g}",
        f"same class\nas {source}": lambda of: f"{of[1].same_class:,} of {of[1].images:,}",
        "input": lambda of: of[0].input.dtype,
        "oldest runtime": lambda of: of[0].oldest_runtime or "unknown",
    }
    written = [artifact for artifact in manifest.artifacts if artifact.path in files]
    compared = [(artifact, artifact.parity) for artifact in written if artifact.parity]
    notes = [_chosen_text(artifact) for artifact in written if not artifact.is_plain]
    notes += [artifact.qat.of(artifact.path) for artifact in written if artifact.qat]
    notes += [_settings_text(folder / artifact.path, artifact.settings) for artifact in written if artifact.settings]
    notes += _formats_text(written)
    calibration = manifest.provenance.calibration
    if calibration and any(artifact.path in calibration.halves for artifact in written):
        notes += [f"Calibration: {warning}" for warning in calibration.warnings]
    notes += [
        _unlike_text(artifact, parity, folder, source)
        for artifact, parity in compared
        if parity.same_class < _FEW_AGREE * parity.images
    ]
    notes += [
        f"{file.path} is for {file.program}. Through it, {file.parity.same_class:,} of "
        f"{counted(file.parity.images, 'test image')} have the same class as in {source}."
        for file in manifest.for_programs
        if file.path in files and file.parity
    ]
    notes += _same_for_all(written, source)
    if manifest.reference:
        notes.insert(0, _source_text(manifest, manifest.reference))
    notes.append(f"Exported to {folder}. Next: edgecnn bench {quote(str(folder))}")
    listed: list[Artifact | ProgramFile] = [*written, *(file for file in manifest.for_programs if file.path in files)]
    accepted = []
    if judged := [(file.path, file.threshold) for file in listed if file.threshold]:
        grid, promise = thresholds(judged)
        accepted = [table_text(grid, width), "", *paragraphs([promise], width), ""]
    table = table_text(TextTable.of(compared, columns, align="<>>><<"), width)
    return "\n".join([table, "", *accepted, *paragraphs(notes, width)])


def tied_note(files: Sequence[tuple[str, Threshold]]) -> list[str]:
    """Return which of these files can't have a stricter threshold, and what to do; nothing if all can."""
    tied = [f"{name} ({threshold.tied:,} of {threshold.images:,})" for name, threshold in files if threshold.tied]
    if not tied:
        return []
    return [
        "Many validation images share the largest score, and no stricter threshold can be had (8-bit probabilities end at "
        f"255/256, float32 ones at 1): {', '.join(tied)}. To refuse more strangers, export with {setting('io', 'float32')}; "
        f"where float32 outputs are at 1, train with {setting('preprocess', 'unit')} and {setting('logits')}."
    ]


def thresholds(files: Sequence[tuple[str, Threshold]]) -> tuple[TextTable, str]:
    """Return a table of what each of these files accepts, one at least, and what that promises."""
    strangers = list(dict.fromkeys(one.name for _, threshold in files for one in threshold.strangers))
    columns = ("file", "accepts\nfrom", "validation images\naccepted", "wrong of\naccepted", "wrong at\nmost %")
    headings = (*columns, *(f"{name}\naccepted" for name in strangers))
    rows = []
    for name, threshold in files:
        counts = {one.name: f"{one.accepted:,} ({one.plain:,}) of {one.images:,}" for one in threshold.strangers}
        accepts = threshold.text if threshold.accepted < threshold.images else "every answer"
        accepted = f"{threshold.accepted:,} of {threshold.images:,}"
        most = f"{100 * threshold.max_error:g}"
        rows.append((name, accepts, accepted, f"{threshold.wrong:,}", most, *(counts.get(one, "") for one in strangers)))
    text = (
        "Of the accepted answers to images like the validation images, at most this share is wrong, with "
        f"{min(threshold.confidence for _, threshold in files):.0%} confidence for each file. {', '.join(strangers)}: images "
        "of no class; in brackets, what the loosest threshold of the softmax probability would accept. Nothing is promised for "
        "other images of no class."
    )
    return TextTable(headings, rows, "Accepted answers", align="<>"), " ".join([text, *tied_note(files)])


# Images below which `edgecnn bench` decides no drop of half a point, even for a file that loses nothing.
_DECIDE_HALF_A_POINT = 740


def _unlike_text(artifact: Artifact, parity: Parity, folder: Path, source: str) -> str:
    text = (
        f"{artifact.path} gives another class than {source} for {parity.images - parity.same_class:,} of "
        f"{counted(parity.images, 'image')}: edgecnn diagnose {quote(str(folder / artifact.path))} shows which layers lose "
        "most."
    )
    if artifact.mended or parity.images < _DECIDE_HALF_A_POINT:
        return text
    return f"{text} An export with {setting('keep_accuracy', 0.5)} keeps such layers in float."


def _same_for_all(written: Sequence[Artifact], source: str) -> list[str]:
    """Return a warning if the outputs do not depend on the image, since then any file agrees."""
    for artifact in written:
        parity = artifact.parity
        if parity and parity.images > 1 and parity.spread is not None and parity.spread <= LEAST_SPREAD:
            return [
                f"warning: {source}'s outputs are the same for all {parity.images:,} images (they vary by "
                f"{parity.spread:.2g}), so agreement says nothing about the files: train the model first."
            ]
    return []


def _source_text(manifest: Manifest, reference: Reference) -> str:
    names, more = ", ".join(manifest.class_names[:_CLASSES_SHOWN]), len(manifest.class_names) - _CLASSES_SHOWN
    text = (
        f"{manifest.source_name} classifies {reference.correct:,} of {counted(reference.images, manifest.dataset.kind)} "
        f"correctly ({reference.correct / reference.images:.2%}). Pixels go in as {formula(manifest.preprocessing)}; the "
        f"outputs are {manifest.output} of {names}{f' and {more} more' if more > 0 else ''}."
    )
    if reference.doubtful:
        remedy = "Check how the model takes pixels, and the order of its classes."
        if manifest.provenance.train_config:  # It was trained here, so that both are known.
            remedy = "It was trained here and has learnt too little: train it again, as the last lines of edgecnn train say."
        text += f" {NO_BETTER_THAN_A_GUESS}. {remedy}"
    return " ".join([text, *learnt_note(manifest.dataset, reference.images)])


def _chosen_text(artifact: Artifact) -> str:
    """Say how a file that is not plainly quantized was chosen."""
    tuned, mended = artifact.tuned, artifact.mended
    texts = []
    if tuned:
        cost = f"{tuned.ratio.as_ratio()} of {tuned.compared_with}'s {tuned.unit}"
        texts.append(f"{artifact.path}: {cost} on {tuned.where}, in fresh processes.")
    if tuned and mended:
        texts.append(f"It is the best of {tuned.candidates} choices of float layers.")
    if tuned and tuned.folded:
        texts.append(_folded_text(tuned.folded))
    texts += [_mended_text(artifact, mended)] if mended else []
    return " ".join(texts)


def _folded_text(folded: Sequence[Folded]) -> str:
    texts = []
    for columns in sorted({one.columns for one in folded}):
        names = [one.operator for one in folded if one.columns == columns]
        texts.append(f"{columns} columns at a time in {_first_labels(names)}")
    return f"It computes {'; '.join(texts)}: this changes no answer."


def _first_labels(operators: Sequence[str]) -> str:
    more = len(operators) - _NAMES_SHOWN
    return ", ".join(map(layer_label, operators[:_NAMES_SHOWN])) + (f" and {more} more" if more > 0 else "")


def _mended_text(artifact: Artifact, mended: Mended) -> str:
    layers = _first_labels(mended.layers)
    kept = f"{counted(mended.layers, 'operator')} kept in {mended.precision}"
    larger = f"{artifact.size_bytes / mended.plain_size_bytes:.2f} times"
    plain = FORMATS[artifact.format].file_name(artifact.precision)
    if artifact.tuned:
        return f"It has {kept} ({layers}), and {larger} {plain}'s bytes. {_judged_text(mended)}"
    limit = f"to lose at most {mended.max_drop_points:g} points"
    tried = f" {_tried_text(mended)}" if mended.tried else ""
    if not mended.layers:
        return f"{artifact.path}: calibrated by {mended.way} {limit}, at no cost.{tried} {_judged_text(mended)}"
    beside = ""
    if mended.float32_size_bytes and mended.float32_slowdown:
        float32, share = FORMATS[artifact.format].file_name("float32"), artifact.size_bytes / mended.float32_size_bytes
        alone = _TIME_ALONE if share > _AS_LARGE else ""
        beside = f"{mended.float32_slowdown:.2f} times as long as {float32}, and {share:.2f} times its bytes{alone}; "
    return (
        f"{artifact.path}: {kept} {limit} ({layers}). It takes {beside}{mended.slowdown:.2f} "
        f"times as long as {plain} without them, and {larger} its bytes.{tried} {_judged_text(mended)}"
    )


def _tried_text(mended: Mended) -> str:
    """Return what was tried and what it lost: the first, and those that lost least."""
    first, *others = mended.tried
    least = sorted(others, key=lambda one: one.drop_points)[:_TRIED_SHOWN]
    more = len(others) - len(least)
    texts = [f"{one.way} {one.drop_points:+.2f}" for one in (first, *least)]
    return f"Points lost: {', '.join(texts)}{f' and {more} more' if more > 0 else ''}."


def _settings_text(path: Path, settings: Settings) -> str:
    """Say which arguments of `Classifier.load` make a file faster, if any does."""
    (default, *others), best = settings.tried, settings.best
    unit = settings.unit
    if best:
        text = f'{path.name}: Classifier.load("{path}", {_arguments(best)}) takes {_cost_text(best, default, unit)}.'
        text += " Its accuracy was not judged there." if best.verdict == "UNJUDGED" else ""
        if best.runtime:
            text += " Other files may be faster with their default runtime: measure both together."
    elif others:
        least = min(others, key=lambda one: one.ratio.estimate)
        text = f"{path.name}: nothing to set in Classifier.load: {_arguments(least)} takes {_cost_text(least, default, unit)}"
        text += f"{', and loses accuracy' if least.verdict == 'FAIL' else ''}."
    else:
        text = f"{path.name}: no other runtime for it is there."
    return f"{text} Threads were not tried: instructions do not say how long several take." if unit == "instructions" else text


def _formats_text(written: Sequence[Artifact]) -> list[str]:
    """Say which format costs least, if the best files of several were compared."""
    found = [(of, of.settings, of.settings.beside) for of in written if of.settings and of.settings.beside]
    others = [(artifact, settings, beside) for artifact, settings, beside in found if artifact.path != beside.file]
    if not others:
        return []
    least, settings, beside = min(others, key=lambda one: one[2].ratio.estimate)
    base = beside.file
    cost = f"{beside.ratio.as_ratio()} of {base}'s {settings.unit}"
    if beside.ratio.high > GAIN:
        return [f"No format is shown to cost less than {base} on {settings.machine}: {least.path} takes {cost}."]
    needs = runtimes_of(least.format)[0].package.name
    return [
        f"{least.path} costs less than {base} on {settings.machine}, and the least of {counted(found, 'format')} by default: "
        f"{cost}. It needs {needs} there."
    ]


def _arguments(setting: Setting) -> str:
    threads = [f"threads={setting.threads}"] if setting.threads > 1 else []
    return ", ".join(threads + ([f'runtime="{setting.runtime}"'] if setting.runtime else []))


def _cost_text(setting: Setting, default: Setting, unit: str) -> str:
    """Return what a setting costs: with p99, since several threads often have a worse one."""
    texts = [f"{setting.ratio.as_ratio()} of its {unit} by default"]
    for name, own, by_default in (("p50", setting.p50_ns, default.p50_ns), ("p99", setting.p99_ns, default.p99_ns)):
        if own is not None and by_default is not None:
            texts.append(f"{name} {own / 1e3:,.1f} instead of {by_default / 1e3:,.1f} µs")
    return ", ".join(texts)


def _judged_text(mended: Mended) -> str:
    if mended.held_out:
        return f"It was judged on {counted(mended.held_out, 'held-out test image')}."
    return (
        f"It was chosen among {mended.tries} candidates on the same images that judge it, because there are too few to hold "
        "some out: its accuracy is optimistic."
    )
