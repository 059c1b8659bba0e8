"""Predictions as text."""

import numpy as np

from edgecnn.edge.inference.predictions import Counted, Predicted, PredictedImage
from edgecnn.edge.model.preprocess import Images
from edgecnn.edge.text import WIDTH, counted, paragraph, printable, share_text

# Larger images, which are photos, are not drawn with characters.
_DRAWN = 32
_SHADES = " ░▒▓█"
_CONFUSIONS = 10


def predicted_text(predicted: Predicted, width: int = WIDTH) -> str:
    """Return each image with its labels and probabilities, small ones also drawn with characters, the runtime and the notes."""
    blocks = []
    for place, item in enumerate(predicted.images):
        block = f"{printable(item.image)}: {printable(labels(item, predicted.refusal))}\n{_bars(item, predicted.top)}"
        image = predicted.pixels[place] if predicted.pixels else None
        if image is not None and max(image.shape[:2]) <= _DRAWN:
            block = f"{drawn(image)}\n\n{block}"
        blocks.append(block)
    if predicted.accuracy:
        blocks.append(accuracy_text(predicted.accuracy, width))
    blocks.append("\n".join([f"{printable(predicted.file)}, {predicted.runtime}", *predicted.notes]))
    return "\n\n".join(blocks)


def accuracy_text(accuracy: Counted, width: int = WIDTH) -> str:
    """Return the share of labelled images that were predicted right, what the threshold accepts, and the most frequent
    confusions as a table.
    """
    share = f"{accuracy.correct:,} of {accuracy.images:,} images of a known class"
    if accuracy.accepted is not None:
        share += f"; {accuracy.accepted:,} are accepted by the threshold, {accuracy.accepted_wrong:,} of them wrong"
    doubtful = f". Doubtful: {accuracy.doubt}" if accuracy.doubt else ""
    text = paragraph(f"accuracy {accuracy.correct / accuracy.images:.4f}: {share}{doubtful}", width)
    if not accuracy.confusions:
        return text
    from edgecnn.edge.show.table import TextTable, table_text  # noqa: PLC0415 - Most predictions need no table.

    first = accuracy.confusions[:_CONFUSIONS]
    rows = [[item.label, item.predicted, f"{item.images:,}"] for item in first]
    text += "\n\n" + table_text(TextTable(["label", "predicted", "images"], rows, align="<<>"), width)
    rest = len(accuracy.confusions) - len(first)
    return f"{text}\n and {counted(rest, 'rarer confusion')}" if rest else text


def drawn(image: Images) -> str:
    """Draw an image (h, w, c) with block characters, at most 64 columns; one character covers twice as many rows as columns."""
    grey = image.mean(axis=2)
    step = -(-grey.shape[1] // 64)
    rows, columns = -(-grey.shape[0] // (2 * step)), -(-grey.shape[1] // step)
    padded = np.zeros((rows * 2 * step, columns * step))
    padded[: grey.shape[0], : grey.shape[1]] = grey
    cells = padded.reshape(rows, 2 * step, columns, step).mean(axis=(1, 3))
    shades = (cells / 256 * len(_SHADES)).astype(int)
    return "\n".join("".join(_SHADES[shade] for shade in row).rstrip() for row in shades)


def _bars(item: PredictedImage, top: int) -> str:
    rows = sorted(item.probabilities.items(), key=lambda pair: -pair[1])[:top]
    rows = [(printable(label), value) for label, value in rows]
    wide = max(len(label) for label, _ in rows)
    lines = [f"  {label:>{wide}}  {value:7.2%}  {'█' * round(30 * value)}".rstrip() for label, value in rows]
    if len(item.probabilities) > top > 1:
        lines.append(f"  the {top} most probable of {len(item.probabilities)} classes")
    return "\n".join(lines)


def labels(item: PredictedImage, refusal: str) -> str:
    """Return the true label, if known, and the predicted one, or that it is not sure, which `refusal` says of it."""
    known = f"label {item.label}, " if item.label is not None else ""
    share = item.probabilities[item.predicted]
    answer = f"predicted {item.predicted} ({share:.1%})"
    if item.accepted is False:
        answer = f"not sure: {item.predicted} at {share_text(share)} {refusal}"
    return f"{known}{answer}{', doubtful' if item.doubt else ''}"
