"""Summaries, as text."""

import io
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table

from convert.summary import Summaries, Summary
from convert.summary_network import Layer

_WIDTH = 100
_NAMED = 6
_DEFINITIONS = [
    "MACs: multiply-accumulates of convolutions, dense layers and matrix products; all else counts none.",
    "Peak activations: the most bytes of tensors that live at one time, run in the file's order, nothing",
    "reused in place, scratch buffers of the runtime not included.",
]
_KERAS = "A .keras file has batch normalisation as weights of its own; exports fold it into the convolutions."


def summary_text(found: Summary) -> str:
    """Return a row for each layer and the totals, at most 100 columns wide."""
    rows = [
        (layer.label, layer.kind, _output(layer), f"{layer.parameters:,}", _macs(layer.macs), f"{layer.weight_bytes:,}")
        for layer in found.layers
    ]
    complete = "" if not found.not_counted else " +"
    total = ("total", "", "", f"{found.parameters:,}", f"{found.macs:,}{complete}", f"{found.weight_bytes:,}")
    head = ("layer", "type", "output", "parameters", "MACs", "weight\nbytes")
    at = f", at {_at(found)}" if found.peak_layer else ""
    lines = [
        f"{found.file}: {found.format}, {found.size_bytes:,} bytes",
        *_table(head, 3, rows, total),
        "",
        f"One inference of {_images(found)}: {found.macs:,} MACs{_less(found)}.",
        *_wrapped(f"Peak activations: {_peak(found)}{at}."),
        *(line for remark in _remarks(found) for line in _wrapped(remark)),
        *_DEFINITIONS,
    ]
    return "\n".join([*lines, *([f"unverified: {found.unverified}"] if found.unverified else [])])


def summaries_text(found: Summaries) -> str:
    """Return a row for each file, at most 100 columns wide."""
    rows = [
        (
            Path(file.file).name,
            f"{file.size_bytes:,}",
            f"{file.parameters:,}",
            f"{file.macs:,}{' +' if file.not_counted else ''}",
            f"{file.weight_bytes:,}",
            _peak(file).removesuffix(" bytes"),
        )
        for file in found.files
    ]
    head = ("file", "file\nbytes", "parameters", "MACs", "weight\nbytes", "peak activation\nbytes")
    lines = [f"{Path(found.files[0].file).parent}, for one inference of one image", *_table(head, 1, rows), "", *_DEFINITIONS]
    several = [file for file in found.files if file.batch != 1]
    lines += [f"{Path(file.file).name} takes {_images(file)} at a time: its figures are for all of them." for file in several]
    if any(file.format == "keras" for file in found.files):
        lines.append(_KERAS)
    if any(file.not_counted for file in found.files):
        lines.append("+: some operators' MACs are not known: edgecnn summary of the file names them.")
    lines += [f"{Path(file.file).name} unverified: {file.unverified}" for file in found.files if file.unverified]
    lines += [f"{name} was not read: {reason}" for name, reason in found.skipped.items()]
    return "\n".join(lines)


def _remarks(found: Summary) -> Iterable[str]:
    if found.not_counted:
        named = list(found.not_counted[:_NAMED])
        more = len(found.not_counted) - _NAMED
        named += [f"{more} more"] if more > 0 else []
        yield f"+: not counted, as sizes are open or it is not known what is computed: {', '.join(named)}."
    yield from found.notes
    if any(layer.kind == "BatchNormalization" for layer in found.layers) and found.format == "keras":
        yield _KERAS


def _table(head: Sequence[str], texts: int, rows: Iterable[Sequence[str]], total: Sequence[str] | None = None) -> list[str]:
    """Lay out a table; the first `texts` columns are text, the others figures."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_footer=total is not None)
    for place, heading in enumerate(head):
        footer = total[place] if total else ""
        justify: Literal["left", "right"] = "left" if place < texts else "right"
        table.add_column(heading, footer, justify=justify, overflow="fold", no_wrap=place >= texts)
    for row in rows:
        table.add_row(*row)
    text = io.StringIO()
    Console(file=text, width=_WIDTH, highlight=False, markup=False).print(table)
    return [line.rstrip() for line in text.getvalue().splitlines() if line.strip()]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, break_on_hyphens=False)


def _output(layer: Layer) -> str:
    return f"{'x'.join(map(str, layer.shape)) if layer.shape is not None else '?'} {layer.dtype}".strip()


def _macs(macs: int | None) -> str:
    return "not counted" if macs is None else f"{macs:,}"


def _at(found: Summary) -> str:
    return next(f"{layer.label} ({layer.kind})" for layer in found.layers if layer.name == found.peak_layer)


def _images(found: Summary) -> str:
    return "one image" if found.batch == 1 else f"{found.batch} images"


def _less(found: Summary) -> str:
    return " and those not counted" if found.not_counted else ""


def _peak(found: Summary) -> str:
    return "not known" if found.peak_activation_bytes is None else f"{found.peak_activation_bytes:,} bytes"
