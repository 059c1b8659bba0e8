"""A diagnosis, as text."""

import io

from rich import box
from rich.console import Console
from rich.table import Table

from convert.diagnose import Diagnosis

_MOST = 20
_WIDTH = 100


def diagnosis_table(diagnosis: Diagnosis, quantized: str, float32: str) -> str:
    """Return a table of the worst layers, at most 100 columns wide.

    Args:
        diagnosis: What was found.
        quantized: The quantised file's name.
        float32: The float file's.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("layer", overflow="fold")
    table.add_column("operator", overflow="fold")
    for heading in ("lost here", "SNR dB", "input dB", "largest diff.", "saturated"):
        table.add_column(heading, justify="right")
    for layer in diagnosis.layers[:_MOST]:
        table.add_row(
            layer.label,
            layer.operator,
            f"{layer.introduced:.2%}",
            f"{layer.snr_db:.1f}",
            f"{layer.input_snr_db:.1f}",
            f"{layer.largest_difference:.3g}",
            f"{layer.saturated:.2%}",
        )
    text = io.StringIO()
    Console(file=text, width=_WIDTH, highlight=False, markup=False).print(table)
    rows = [line.rstrip() for line in text.getvalue().splitlines() if line.strip()]
    return "\n".join(
        [f"{quantized} against {float32}, {diagnosis.images:,} images, worst layer first", *rows, "", *_notes(diagnosis)]
    )


def _notes(diagnosis: Diagnosis) -> list[str]:
    more = len(diagnosis.layers) - _MOST
    notes = [f"Layers that lose less, not shown: {more}."] if more > 0 else []
    if diagnosis.float_layers:
        notes.append(f"Layers that are float in the quantised file: {diagnosis.float_layers}.")
    if diagnosis.unmatched:
        notes.append(
            f"Operators that the quantised file does not have under that name, as it fuses some: {diagnosis.unmatched}."
        )
    return [
        *notes,
        "lost here: share of the signal that this layer loses beyond its worst input, mean over the channels.",
        "SNR dB: signal to noise of the layer, mean over the channels; input dB: of the worst of its inputs.",
        "saturated: share of the float values that the layer's integers can't reach.",
    ]
