"""Renders a manifest as a model card, in the layout that Hugging Face recommends.

edgecnn rewrites one part of the card at each export, and in it which file to ship at each benchmark of the folder. The rest
(licence, intended use) is written once, as a form to fill in, and then belongs to its author. The first line of the part has
its SHA-256, so that no changes are overwritten.
"""

import math
import re
from dataclasses import replace
from pathlib import Path, PurePath

from edgecnn.benchmarks.results.choice import choose
from edgecnn.benchmarks.results.records import Report
from edgecnn.benchmarks.show.remarks import ship_line
from edgecnn.benchmarks.show.tables import accepted_text
from edgecnn.benchmarks.statistics import binomial
from edgecnn.benchmarks.statistics.proportions import drop_interval
from edgecnn.edge.data.dataset import KERAS, SHIPPED
from edgecnn.edge.data.pixel_digests import unknown_split
from edgecnn.edge.export_records import NO_BETTER_THAN_A_GUESS, ProgramFile, Reference
from edgecnn.edge.files import sha256
from edgecnn.edge.formats import format_of
from edgecnn.edge.manifest import MANIFEST_NAME, MODEL_CARD_NAME, Artifact, DatasetRecord, Manifest, TensorSpec
from edgecnn.edge.model.interface import formula
from edgecnn.edge.show.export import thresholds
from edgecnn.edge.show.table import TextTable, escaped, table_markdown
from edgecnn.edge.text import counted

_CLASSES_SHOWN = 20
_PART = re.compile(r"<!-- edgecnn:begin ([0-9a-f]{64}) .*?-->\n(.*?)<!-- edgecnn:end -->", re.DOTALL)
# In that part, the file that the example loads, and the paragraph on which one to ship, which earlier releases did not write.
_SHIP = re.compile(r'(load\(")([^"]*)(".*?\n```\n\n)(?:[^#\n].*?\n\n)?(?=## )', re.DOTALL)
_FORM = """---
license:  # Fill in, for example apache-2.0.
pipeline_tag: image-classification
tags:
- edgecnn
---

# Model card: {title}

<!-- Fill in the brackets. edgecnn export keeps everything outside of its own part, which is below.
Hugging Face shows this card where it is called README.md. -->

## Model details

- **Developed by:** [name]
- **License:** [license of the model]
- **License of the training data:** [license]

## Uses

[What the model is for, and what it must not be used for.]

## Bias and risks

[Who or what the training images leave out, and what a wrong answer costs.]

{part}
"""


def model_card(manifest: Manifest, title: str, distinct: tuple[int, int], earlier: str | None) -> str | None:
    """Return the card of an export.

    Args:
        manifest: Manifest of the export.
        title: Name of the model.
        distinct: Number of test images without copies of others, and how many of those the float model classifies correctly.
        earlier: The existing card, or None.

    Returns:
        The card, or None if edgecnn's part of the earlier one was edited or is missing: it must stay as it is.
    """
    part = _part("\n\n".join(_sections(manifest, distinct)) + "\n\n")
    if earlier is None:
        return _FORM.format(title=escaped(title), part=part)
    found = _unedited(earlier)
    return None if found is None else earlier[: found.start()] + part + earlier[found.end() :]


def with_choice(card: str, report: Report) -> str | None:
    """Return a card that says which file to ship, by a benchmark of its folder, and whose example loads that file.

    Returns:
        The card, or None if edgecnn's part of it was edited or is missing: it must stay as it is.
    """
    found = _unedited(card)
    if found is None:
        return None
    name = choose([report]).file
    ship = next((file for file in report.files if file.name == name), None)
    where = report.machine.board or report.machine.cpu or report.machine.machine
    line = f"Measured by `edgecnn bench` on {escaped(where)}, {escaped(report.after.time)}: {escaped(ship_line(report))}"
    if ship and (seen := ship.accuracy) and seen.accepted is not None and (threshold := ship.artifact.threshold):
        line += f" {escaped(accepted_text(seen.images, seen.accepted, seen.accepted_wrong, threshold.max_error))}"
    text = _SHIP.sub(lambda of: f"{of[1]}{ship.artifact.path if ship else of[2]}{of[3]}{line}\n\n", found[2], 1)
    return card[: found.start()] + _part(text) + card[found.end() :]


def _part(text: str) -> str:
    return f"<!-- edgecnn:begin {sha256(text.encode())} Written again by each edgecnn export. -->\n{text}<!-- edgecnn:end -->"


def _unedited(card: str) -> re.Match[str] | None:
    """Return where edgecnn's part is in a card, if nobody else wrote in it."""
    found = _PART.search(card)
    return found if found and sha256(found[2].encode(errors="surrogateescape")) == found[1] else None


def _sections(manifest: Manifest, distinct: tuple[int, int]) -> list[str]:
    source = manifest.source()
    exported = [artifact for artifact in manifest.exported if artifact.source_sha256 == source.sha256]
    return [
        _start(manifest, exported),
        _inputs(manifest, [source, *exported]),
        _training(manifest),
        _evaluation(manifest, exported, distinct),
        *_not_sure(manifest, exported),
        _files([source, *exported]),
        _limits(manifest),
    ]


def _start(manifest: Manifest, exported: list[Artifact]) -> str:
    file = next(iter([artifact for artifact in exported if artifact.precision == "int8"] or exported), manifest.source())
    return f"""## How to get started

```python
import edgecnn as ec

model = ec.Classifier.load("{file.path}")  # {MANIFEST_NAME} must be in the same folder.
print(model.predict("picture.png").labels)
```

`edgecnn bench` measures the files, and says here which one to ship."""


def _inputs(manifest: Manifest, artifacts: list[Artifact]) -> str:
    taken, names = manifest.preprocessing, manifest.class_names
    more = f", and {len(names) - _CLASSES_SHOWN} more" if len(names) > _CLASSES_SHOWN else ""
    other = {"dark": "light", "light": "dark"}.get(taken.background)
    inverted = f" Images with a {other} background are inverted." if other else ""
    lines = [
        "## Inputs and outputs",
        "",
        f"- **Pixels:** each pixel (0 to 255) goes in as {escaped(formula(taken))}. Integer inputs are then quantized: "
        "round(value / scale) + zero point.",
        f"- **Image files** are fitted by `{taken.fit}`.{inverted}",
        f"- **Classes ({len(names)}):** {escaped(', '.join(names[:_CLASSES_SHOWN]))}{more}.",
        f"- **Output:** {manifest.output}, one for each class.",
        "",
    ]
    headings = ("file", "input", "quantization of the input", "output", "quantization of the output")
    ends = [[cell for spec in (of.input, of.output) for cell in (_shape(spec), _quantization(spec))] for of in artifacts]
    rows = [[artifact.path, *cells] for artifact, cells in zip(artifacts, ends, strict=True)]
    return "\n".join([*lines, *table_markdown(TextTable(headings, rows, align="<<<<<"))])


def _shape(spec: TensorSpec) -> str:
    return f"{spec.dtype} ({', '.join('any' if size is None else str(size) for size in spec.shape)})"


def _quantization(spec: TensorSpec) -> str:
    if spec.quantization is None:
        return "none"
    if len(spec.quantization.scales) > 1:
        return "per channel"
    return f"scale {spec.quantization.scales[0]:.6g}, zero point {spec.quantization.zero_points[0]}"


def _training(manifest: Manifest) -> str:
    record, made = manifest.dataset, manifest.provenance
    lines = ["## Training details", "", f"- **Data:** {escaped(record.name)} ({_source(record)})."]
    lines += [f"- **SHA-256 of the training images and labels:** `{record.train_sha256}`"]
    if made.train_config:
        settings = ", ".join(f"{name} {value}" for name, value in made.train_config.items())
        lines.append(f"- **Trained** with edgecnn, {made.created}: {escaped(settings)}.")
    else:
        lines.append("- **Trained** without edgecnn: its settings are unknown.")
    if made.calibration:
        lines.append(f"- **Quantized** with activation ranges of {len(made.calibration.indices):,} training images.")
        lines += [f"- **Warning:** {escaped(warning)}" for warning in made.calibration.warnings]
    versions = ", ".join(f"{package} {version}" for package, version in (made.export_versions or made.versions).items())
    return "\n".join([*lines, f"- **Versions:** {escaped(versions)}."])


def _source(record: DatasetRecord) -> str:
    if record.source == SHIPPED:
        return "shipped with edgecnn"
    # The folder's path on the user's machine is private.
    return "loaded by Keras" if record.source == KERAS else escaped(PurePath(record.source).name)


def _evaluation(manifest: Manifest, exported: list[Artifact], distinct: tuple[int, int]) -> str:
    record, reference, what = manifest.dataset, manifest.reference, _what(manifest)
    lines = ["## Evaluation", "", f"- **SHA-256 of the {what} and labels:** `{record.test_sha256}`"]
    lines += _drawn(manifest, what)
    if reference:
        name = "the float Keras model" if manifest.source_name == "Keras" else f"`{escaped(manifest.source_name)}`"
        lines.append(f"- **Accuracy of {name}:** {_accuracy(reference, what, *distinct)}.")
    if reference and distinct[0]:
        smallest = math.ceil(1e4 * drop_interval(0, 0, distinct[0]).high) / 100
        lines.append(
            f"- **What these {distinct[0]:,} images can show:** that a file loses at most {smallest:.2f} points (95 %), if it "
            "loses none of them. A smaller limit takes more images."
        )
    if reference and reference.doubtful:
        lines.append(f"- {NO_BETTER_THAN_A_GUESS}.")
    lines += [
        "- **The exported files** were compared with it on the same images before they were written:",
        "",
    ]
    rows = [
        (
            artifact.path,
            f"{parity.same_class:,} of {parity.images:,}",
            f"{100 * (parity.images - parity.same_class) / parity.images:.2f} points",
            f"{parity.max_difference:.2g}",
        )
        for artifact in exported
        if (parity := artifact.parity)
    ]
    headings = (
        "file",
        f"same class as {escaped(manifest.source_name)}",
        "accuracy differs by at most",
        "largest difference of a probability",
    )
    lines += [
        *table_markdown(TextTable(headings, rows)),
        "",
        *(_chosen(artifact) for artifact in exported if not artifact.is_plain),
        *(f"- {artifact.qat.of(artifact.path)}" for artifact in exported if artifact.qat),
        "",
    ]
    return "\n".join([*lines, "`edgecnn bench` measures accuracy and latency of each file on the device."])


def _not_sure(manifest: Manifest, exported: list[Artifact]) -> list[str]:
    """Return the section on the files' thresholds; nothing if none has one."""
    files: list[Artifact | ProgramFile] = [*exported, *manifest.for_programs]
    judged = [(file.path, file.threshold) for file in files if file.threshold]
    if not judged:
        return []
    table, promise = thresholds(judged)
    lines = ["## When the model is not sure", "", "An answer below the threshold of its file is not sure.", ""]
    return ["\n".join([*lines, *table_markdown(table), "", escaped(promise)])]


def _drawn(manifest: Manifest, what: str) -> list[str]:
    """Return where the images of the accuracy come from, and why it may be no test."""
    record, reference, lines = manifest.dataset, manifest.reference, list[str]()
    if record.split_off:
        share = record.split_off.of_each_class
        lines.append(f"- **{what.capitalize()}:** {share}, split off the same source as the training images.")
    elif record.test_list:
        lines.append(f"- **{what.capitalize()}:** those of a list; the other images of the same source are training images.")
    if record.may_be_learnt:
        lines.append(f"- **Warning:** {unknown_split(replace(record, name=escaped(record.name)))}")
    elif _may_know(manifest):
        lines.append(
            "- **Warning:** whether the model has learned these images is not known, since it was first trained elsewhere: its "
            "accuracy on them may be no test."
        )
    if record.learnt and reference:
        lines.append(
            f"- **Warning:** {len(record.learnt):,} of these {reference.images:,} images are exact copies of training images "
            "or of validation images, which the model may know by heart: accuracy on them proves nothing."
        )
    return lines


def _chosen(artifact: Artifact) -> str:
    mended, tuned = artifact.mended, artifact.tuned
    parts = [f"{len(mended.layers)} of its operators in {mended.precision}"] if mended and mended.layers else []
    if mended and not mended.layers:
        parts.append(f"with ranges by {mended.way}")
    if tuned and tuned.folded:
        parts.append(f"several columns at a time in {counted(tuned.folded, 'convolution')}")
    text = f"- {artifact.path} computes {' and '.join(parts)}"
    if tuned:
        gained = f"{tuned.ratio.as_ratio()} of {tuned.compared_with}'s {tuned.unit}"
        text += f", chosen for {escaped(tuned.where)}: {gained} there"
    return f"{text}."


def _what(manifest: Manifest) -> str:
    """Return what the card calls the images of its accuracy: no test images if the model may have learned them."""
    known = not (manifest.dataset.learnt or manifest.dataset.may_be_learnt or _may_know(manifest))
    return "test images" if known else "images"


def _may_know(manifest: Manifest) -> bool:
    """Return whether nobody knows what a model has learned: it, or what its training began with, came as a file."""
    made = manifest.provenance.train_config
    began = (made.get(name, "") for name in ("model", "transfer"))
    return not made or "weights" in made or any(format_of(Path(file)) for file in began)


def _accuracy(reference: Reference, what: str, images: int, correct: int) -> str:
    right = binomial.interval(correct, images)
    share, low, high = (f"{100 * value:.2f}" for value in (right.estimate, right.low, right.high))
    others = reference.images - images
    kind = f"distinct {what}" if others else what
    rest = f". The other {others:,} have the same pixels as one of them or a training image, and do not count" if others else ""
    return f"{share} % ({correct:,} of {images:,} {kind}; 95 % interval {low} to {high} %){rest}"


def _files(artifacts: list[Artifact]) -> str:
    rows = [(of.path, f"{of.size_bytes:,}", of.oldest_runtime or "-", of.sha256) for of in artifacts]
    table = TextTable(("file", "bytes", "oldest runtime", "SHA-256"), rows, align="<><<")
    return "\n".join(["## Files", "", *table_markdown(table)])


def _limits(manifest: Manifest) -> str:
    what = _what(manifest)
    tried = f"tested on the {what}" if what != "images" else "tried on images"
    return f"""## Limitations

- The model was {tried} of {escaped(manifest.dataset.name)} alone, not with another camera, light or place.
- It gives one of its {len(manifest.class_names)} classes for any image, also for one that shows none of them.
- It was not tested for images that are made to deceive it, or for how its mistakes fall on different groups of people.
- Latency depends on the device: a time in this card is of the machine named with it.
- This card ({MODEL_CARD_NAME}) repeats {MANIFEST_NAME}, which is what edgecnn checks the files against."""
