"""Summaries as text."""

from collections.abc import Callable, Iterable
from pathlib import Path

from edgecnn.edge.formats import is_exported
from edgecnn.edge.graph.summary import Layer, Summaries, Summary
from edgecnn.edge.show.table import TextTable, table_text
from edgecnn.edge.text import WIDTH, paragraph, paragraphs

_NAMED = 6
_DEFINITIONS = (
    "MACs: multiply-accumulates of convolutions, dense layers and matrix products. Other layers count as 0.",
    "Peak activations: the most bytes of tensors that exist at one time, when layers run in the file's order and none works in "
    "place. The runtime's scratch buffers are not included.",
)
_KERAS = "A .keras file stores batch normalisation as separate weights. Exported files fold it into the convolutions."


def summary_text(found: Summary, width: int = WIDTH) -> str:
    """Return a row for each layer and the totals."""
    rows = [
        (layer.label, layer.kind, _output(layer), f"{layer.parameters:,}", _macs(layer.macs), f"{layer.weight_bytes:,}")
        for layer in found.layers
    ]
    complete = "" if not found.not_counted else " +"
    total = ("total", "", "", f"{found.parameters:,}", f"{found.macs:,}{complete}", f"{found.weight_bytes:,}")
    head = ("layer", "type", "output", "parameters", "MACs", "weight\nbytes")
    peak = [f"{layer.label} ({layer.kind})" for layer in found.layers if layer.name == found.peak_layer][:1]
    less = " and those not counted" if found.not_counted else ""
    lines = [
        paragraph(f"{found.file}: {found.format}, {found.size_bytes:,} bytes", width, "  "),
        table_text(TextTable(head, [*rows, total], less=("weight\nbytes", "type"), align="<<<"), width),
        "",
    ]
    notes = [
        f"One inference of {_images(found)}: {found.macs:,} MACs{less}.",
        f"Peak activations: {', at '.join([_peak(found), *peak])}.",
        *_remarks(found),
        *_DEFINITIONS,
        *([f"unverified: {found.unverified}"] if found.unverified else []),
    ]
    return "\n".join([*lines, *paragraphs(notes, width, "  ")])


def summaries_text(found: Summaries, width: int = WIDTH) -> str:
    """Return the layers of one file, or a row for each of several."""
    if len(found.files) == 1 and not found.skipped:
        return summary_text(found.files[0], width)
    columns: dict[str, Callable[[Summary], str]] = {
        "file": lambda file: Path(file.file).name,
        "file\nbytes": lambda file: f"{file.size_bytes:,}",
        "parameters": lambda file: f"{file.parameters:,}",
        "MACs": lambda file: f"{file.macs:,}{' +' if file.not_counted else ''}",
        "weight\nbytes": lambda file: f"{file.weight_bytes:,}",
        "peak activation\nbytes": lambda file: _peak(file).removesuffix(" bytes"),
    }
    lines = [
        paragraph(f"{Path(found.files[0].file).parent}, for one inference of one image", width, "  "),
        table_text(TextTable.of(found.files, columns), width),
        "",
    ]
    notes = list(_DEFINITIONS)
    several = [file for file in found.files if file.batch != 1]
    notes += [f"{Path(file.file).name} takes {_images(file)} at a time: its figures are for all of them." for file in several]
    if not all(is_exported(file.format) for file in found.files):
        notes.append(_KERAS)
    if any(file.not_counted for file in found.files):
        notes.append("+: the MACs of some operators are not known: edgecnn summary of the file names them.")
    notes += [f"{Path(file.file).name} is unverified: {file.unverified}" for file in found.files if file.unverified]
    notes += [f"{name} was not read: {reason}" for name, reason in found.skipped.items()]
    return "\n".join([*lines, *paragraphs(notes, width, "  ")])


def _remarks(found: Summary) -> Iterable[str]:
    if found.not_counted:
        named = list(found.not_counted[:_NAMED])
        more = len(found.not_counted) - _NAMED
        named += [f"{more} more"] if more > 0 else []
        yield f"+: not counted, because a size is open or the operator is not known: {', '.join(named)}."
    yield from found.notes
    if any(layer.kind == "BatchNormalization" for layer in found.layers) and not is_exported(found.format):
        yield _KERAS


def _output(layer: Layer) -> str:
    return f"{'x'.join(map(str, layer.shape)) if layer.shape is not None else '?'} {layer.dtype}".strip()


def _macs(macs: int | None) -> str:
    return "not counted" if macs is None else f"{macs:,}"


def _images(found: Summary) -> str:
    return "one image" if found.batch == 1 else f"{found.batch} images"


def _peak(found: Summary) -> str:
    return "unknown" if found.peak_activation_bytes is None else f"{found.peak_activation_bytes:,} bytes"
