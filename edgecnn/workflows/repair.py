"""What to do about a quantized file from elsewhere that loses: where it loses most, and the export that makes another."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgecnn.benchmarks.gate.gate import FAIL
from edgecnn.benchmarks.results.records import FileResult, Report
from edgecnn.benchmarks.show.remarks import moved_classes
from edgecnn.edge.compatibility.requirements import narrow_numbers
from edgecnn.edge.data.folder_options import FolderOptions
from edgecnn.edge.data.splits import Split
from edgecnn.edge.errors import EdgeCnnError, setting
from edgecnn.edge.formats import FORMATS
from edgecnn.edge.inference.usage import Usage
from edgecnn.edge.model.interface import SCHEMES, Interface
from edgecnn.edge.model_file import ModelFile
from edgecnn.edge.result import Progress
from edgecnn.edge.sandbox.unverified import SECONDS, run_in_child

if TYPE_CHECKING:
    from edgecnn.convert.diagnose import LayerError

# Images that show where a file loses: its layers are compared one image at a time.
_COMPARED = 20
_LAYERS = 3
# Share of the float values outside a layer's integers, and of its signal that is lost in it, that are worth a word.
_SATURATED, _LOST = 0.001, 0.01


def repair_notes(report: Report, models: Sequence[ModelFile], usage: Usage, test: Split, progress: Progress) -> tuple[str, ...]:
    """Return a note for each quantized file that is shown to lose compared with the float file that is the reference.

    Files in a folder with a manifest are edgecnn's own: their export says what to do.

    Args:
        report: The benchmark of these files on labelled images.
        models: The files, the first of which may be another than the reference.
        usage: How the images become their inputs.
        test: The images.
        progress: Receives the step.
    """
    by_path = {str(model.path): model for model in models} | {model.path.name: model for model in models}
    source = by_path.get(report.reference)
    if source is None or source.manifest or _narrow(source) or source.format not in FORMATS[source.format].sources:
        return ()
    found = []
    for file in report.files:
        model = by_path.get(file.artifact.path)
        if model and model is not source and not model.manifest and _narrow(model) and _loses(file, report):
            progress.say(f"{file.name}: comparing its layers with {report.reference}")
            command = " ".join(
                ["edgecnn export", shlex.quote(str(source.path)), *_settings(usage), setting("precisions", "int8")]
            )
            note = f"{file.name} was quantized elsewhere and loses. Make another int8 file of the float one: {command}"
            found += [note, *_where(file.name, source, model, usage, test)]
    return tuple(found)


def _narrow(model: ModelFile) -> str | None:
    return narrow_numbers(model.data, model.format)


def _loses(file: FileResult, report: Report) -> bool:
    if file.accuracy is None:
        return False
    shown = file.accuracy.drop.low > 0 or bool(moved_classes(file.name, file.accuracy, report.class_names))
    return shown or (file.verdict.status == FAIL and file.accuracy.lost > file.accuracy.gained)


def _where(name: str, source: ModelFile, model: ModelFile, usage: Usage, test: Split) -> list[str]:
    """Return a note of the layers in which a file loses most; none if the two files' layers can't be compared."""
    if model.format != source.format or FORMATS[model.format].pair is None:
        return []
    try:
        from edgecnn.convert.diagnose import Diagnosis, diagnose  # noqa: PLC0415 - A board may have no converters.
    except ModuleNotFoundError:
        return []
    try:
        classifier = usage.classifier(source)
        chosen = np.linspace(0, len(test.labels) - 1, min(_COMPARED, len(test.labels))).astype(np.int64)
        inputs = classifier.inputs(test.images(chosen))
        compare = partial(diagnose, source.data, model.data, model.format, inputs)
        found: Diagnosis = run_in_child(compare, name, len(source.data) + len(model.data), SECONDS)
    except EdgeCnnError:  # Files of other tools need not have the same layers: this note is an extra.
        return []
    worst = [layer for layer in found.layers if layer.saturated >= _SATURATED or layer.introduced >= _LOST][:_LAYERS]
    return [f"{name} loses most in {'; '.join(map(_layer, worst))}."] if worst else []


def _layer(layer: "LayerError") -> str:
    saturated = f", {layer.saturated:.1%} of its values beyond its integers" if layer.saturated >= _SATURATED else ""
    return f"{layer.operator} {layer.label} ({layer.introduced:.1%} of the signal{saturated})"


def _settings(usage: Usage) -> Iterator[str]:
    """Yield what was stated of the images and of the float file, as an export takes it."""
    yield setting("data", shlex.quote(str(usage.data)))
    usual = FolderOptions()
    for one in fields(usage.images):
        value = getattr(usage.images, one.name)
        if one.name == "test_share" and value == 1:  # None would be left to set the ranges.
            continue
        if value != getattr(usual, one.name) and isinstance(value, (str, int, float, Path)):
            yield setting(one.name, value if isinstance(value, bool) else shlex.quote(str(value)))
    interface = usage.said_interface()
    if interface:
        yield from _stated(interface)


def _stated(interface: Interface) -> Iterator[str]:
    taken = interface.preprocessing
    for name, scheme in SCHEMES.items():
        if replace(scheme, fit=taken.fit, background=taken.background) == taken:
            yield setting("preprocess", name)
            break
    else:
        yield setting("scale", f"{taken.scale:.9g}")
        for name, values in (("mean", taken.mean), ("std", taken.std)):
            yield setting(name, ",".join(f"{value:.9g}" for value in values))
        if taken.channel_order == "bgr":
            yield setting("bgr")
    if interface.output == "logits":
        yield setting("logits")
