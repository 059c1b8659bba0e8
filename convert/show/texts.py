"""What diagnose and train found, as text."""

from edgecnn.convert.diagnosis.diagnose import Diagnosis
from edgecnn.convert.training.records import TrainResult
from edgecnn.edge.data.pixel_digests import learnt_note
from edgecnn.edge.show.table import TextTable, table_text
from edgecnn.edge.text import WIDTH, counted, paragraph, paragraphs

_MOST = 20


def diagnosis_text(diagnosis: Diagnosis, width: int = WIDTH) -> str:
    """Return a table of the worst layers."""
    headings = ("layer", "operator", "lost here", "SNR dB", "input dB", "largest diff.", "saturated")
    rows = [
        (
            layer.label,
            layer.operator,
            f"{layer.introduced:.2%}",
            f"{layer.snr_db:.1f}",
            f"{layer.input_snr_db:.1f}",
            f"{layer.largest_difference:.3g}",
            f"{layer.saturated:.2%}",
        )
        for layer in diagnosis.layers[:_MOST]
    ]
    return "\n".join(
        [
            paragraph(
                f"{diagnosis.quantized} against {diagnosis.float32}, {counted(diagnosis.images, 'image')}, worst layer first",
                width,
            ),
            table_text(TextTable(headings, rows, less=("operator", "largest diff.", "input dB"), align="<<"), width),
            "",
            *paragraphs(_notes(diagnosis), width, "  "),
        ]
    )


def _notes(diagnosis: Diagnosis) -> list[str]:
    more = len(diagnosis.layers) - _MOST
    notes = [f"Layers not shown, which lose less: {more}."] if more > 0 else []
    if diagnosis.float_layers:
        notes.append(f"Layers that stay float in the quantized file: {diagnosis.float_layers}.")
    if diagnosis.unmatched:
        notes.append(f"Operators without a counterpart in the quantized file, which fuses some: {diagnosis.unmatched}.")
    return [
        *notes,
        "lost here: share of the signal that this layer loses beyond what its worst input lost, mean over the channels.",
        "SNR dB: signal-to-noise ratio of the layer's output, mean over the channels. input dB: that of its worst input.",
        "saturated: share of the float values outside the range of the layer's integers.",
    ]


def trained_text(trained: TrainResult, width: int = WIDTH) -> str:
    """Return how it went, and what to do next."""
    lines = [
        f"{trained.path}: accuracy {trained.test_accuracy:.4f}, loss {trained.test_loss:.4f} on "
        f"{counted(trained.test_images, 'test image')}",
        *learnt_note(len(trained.dataset.learnt), trained.test_images),
        f"{counted(trained.parameters, 'parameter')} ({trained.trainable_parameters:,} trainable), "
        f"{counted(trained.history, 'epoch')} in {trained.seconds:.0f} s, seed {trained.config.seed}",
        f"Kept: {trained.kept()}",
        f"Curves: tensorboard --logdir {trained.folder / trained.log_folder.partition('/')[0]}",
        f"Next: edgecnn export {trained.path}",
    ]
    return "\n".join(paragraphs(lines, width, "  "))
