"""What an export wrote, as text."""

import io
import math
from pathlib import Path
from textwrap import fill

from rich import box
from rich.console import Console
from rich.table import Table

from edge.interface import formula
from edge.manifest import Manifest, Mended, Reference

_WIDTH = 100
_NAMES_SHOWN = 3
_CLASSES_SHOWN = 10
# Below this share of images with Keras's class, a reader is told what to do.
_FEW_AGREE = 0.95


def to_table(manifest: Manifest, folder: Path, files: list[tuple[str, str]]) -> str:
    """Return a table of the (format, precision) pairs in `files`, at most 100 columns wide."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("file", no_wrap=True)
    for heading in ("KiB", "largest difference", "same class as Keras"):
        table.add_column(heading, justify="right")
    for heading in ("input", "oldest runtime"):
        table.add_column(heading)
    for artifact in manifest.artifacts:
        parity = artifact.parity
        if (artifact.format, artifact.precision) in files and parity:
            table.add_row(
                artifact.path,
                f"{artifact.size_bytes / 1024:.1f}",
                f"{parity.max_difference:.2g}",
                f"{parity.same_class:,} of {parity.images:,}",
                artifact.input.dtype,
                artifact.oldest_runtime or "not known",
            )
    text = io.StringIO()
    Console(file=text, width=_WIDTH, highlight=False, markup=False).print(table)
    rows = [line.rstrip() for line in text.getvalue().splitlines() if line.strip()]
    written = [artifact for artifact in manifest.artifacts if (artifact.format, artifact.precision) in files]
    notes = [_mended_text(artifact.path, artifact.size_bytes, artifact.mended) for artifact in written if artifact.mended]
    calibration = manifest.provenance.calibration
    if calibration and any(artifact.path in calibration.halves for artifact in written):
        notes += [f"Calibration: {warning}" for warning in calibration.warnings]
    notes += [
        f"{artifact.path} gives another class than Keras for {artifact.parity.images - artifact.parity.same_class:,} of "
        f"{artifact.parity.images:,} images: edgecnn diagnose {folder / artifact.path} shows where, --keep-accuracy mends it."
        for artifact in written
        if artifact.parity and artifact.parity.same_class < _FEW_AGREE * artifact.parity.images
    ]
    if manifest.reference:
        notes.insert(0, _keras_text(manifest, manifest.reference))
    return "\n".join(
        [
            *rows,
            "",
            *(fill(note, _WIDTH, break_long_words=False) for note in notes),
            f"Exported to {folder}. Next: edgecnn bench {folder}",
        ]
    )


def _keras_text(manifest: Manifest, reference: Reference) -> str:
    names, more = ", ".join(manifest.class_names[:_CLASSES_SHOWN]), len(manifest.class_names) - _CLASSES_SHOWN
    text = (
        f"Keras is right on {reference.correct:,} of {reference.images:,} test images "
        f"({reference.correct / reference.images:.2%}). Pixels go in as {formula(manifest.preprocessing)}; the outputs are "
        f"{manifest.output} of {names}{f' and {more} more' if more > 0 else ''}."
    )
    chance = 1 / len(manifest.class_names)
    deviation = math.sqrt(reference.images * chance * (1 - chance))
    if reference.correct <= reference.images * chance + 3 * deviation:
        text += " Doubtful: that is no better than chance. Is that how it was trained (--preprocess, the order of --labels)?"
    return text


def _mended_text(name: str, size_bytes: int, mended: Mended) -> str:
    more = len(mended.layers) - _NAMES_SHOWN
    # TFLite's converter joins the names of all that it fused.
    names = ["/".join(layer.split(";")[0].removesuffix(":0").split("/")[-2:]) for layer in mended.layers[:_NAMES_SHOWN]]
    layers = ", ".join(names) + (f" and {more} more" if more > 0 else "")
    return (
        f"{name}: {len(mended.layers)} operators stay {mended.precision} to lose at most {mended.max_drop_points:g} points "
        f"({layers}); it takes {mended.slowdown:.2f} times the time and {size_bytes / mended.plain_size_bytes:.2f} times the "
        "bytes of the plain file"
    )
