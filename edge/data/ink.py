"""Ink: a picture's contrast with the paper around it, without printed lines, and where MNIST has it in its images."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.data.components import Mask, runs
from edgecnn.edge.packages import load_pillow

Grey = NDArray[np.uint8]

DARKEST = 48
"""Paper darker than this is taken for this dark: a camera's noise in a shadow would be amplified to ink."""
# Printed lines are at most this many pixels thick, the second number where there are none so thin, and at most this share of
# the picture's shorter side: in a small picture a pen's stroke is as thick.
_LINE_THICK, _OF_SIDE = (4, 6), 1 / 40
# They cover at least this share of the picture's side, and begin and end in these shares of it: few strokes of a digit do.
_LINE_SHARE, _LINE_ENDS = 0.4, 0.15
# The frame of a form's cell is thicker, up to the first share of the shorter side. It covers the second one, reaches from
# border to border, and lies in the last share of the picture at each side.
_FRAME_THICK, _FRAME_SHARE, _FRAME_ENDS, _FRAME_NEAR = 1 / 12, 0.6, 0.03, 0.25
# MNIST's own rule: the ink fits a 20 x 20 box of the 28 x 28 image.
_INK_SHARE = 20 / 28
# Most of MNIST's digits have strokes of at least 1.5 of 20 pixels: a thin pen's are grown to that.
_STROKE_LEAST = 1.5 / 20
# Slopes of lines, in 64ths, about 10 degrees each way.
_SLOPES = range(-11, 12)


def contrast(grey: Grey, window: int, dark: bool) -> Grey:
    """Return how much each pixel differs from the paper around it, 0 to 255.

    The paper is the closing of the picture by a square (Serra, Image analysis and mathematical morphology, 1982), which fills
    dark valleys that are narrower than it, and leaves shadows' edges where they are. The square may reach beyond the picture:
    what is dark along the border, as a table next to a sheet, is paper.

    Args:
        grey: Picture (h, w).
        window: Side of the square in pixels; wider than a stroke.
        dark: Whether ink is darker than the paper. Dark ink is measured as a share of its paper: a shadow does not change it.
    """
    if not dark:
        inverted = 255 - grey
        return _closed(inverted, window) - inverted
    paper = _closed(grey, window).astype(np.int32)
    return ((paper - grey) * 255 // np.maximum(paper, DARKEST)).astype(np.uint8)


def _closed(grey: Grey, window: int) -> Grey:
    padded = np.pad(grey, window - 1)
    for extreme in (np.maximum, np.minimum):
        for axis in (0, 1):
            padded = _slid(padded, window, axis, extreme)
    return padded


def _slid(values: Grey, window: int, axis: int, extreme: Any) -> Grey:
    """Return the extreme of each window of so many values, by doubling."""
    values, width = np.moveaxis(values, axis, 0), 1
    while 2 * width <= window:
        values, width = extreme(values[:-width], values[width:]), 2 * width
    if window > width:
        values = extreme(values[: width - window], values[window - width :])
    return np.moveaxis(values, 0, axis)


def edge_share(levels: Grey, part: Mask, strength: int, reach: int, darkest: int) -> float:
    """Return on which share of a part's outline the picture itself steps from ink to paper.

    A shadow has wide edges. What the estimate of the paper alone cut out, of a stroke or between strokes, has none.

    Args:
        levels: The picture, ink being darker than paper.
        part: Where its ink is.
        strength: Contrast of the ink.
        reach: Pixels from the last one of the ink to one that is paper.
        darkest: Paper darker than this is taken for this dark.
    """
    edges = steps = 0
    for turns in range(4):
        tones, ink = np.rot90(levels, turns).astype(np.int32), np.rot90(part, turns)
        edge = ink[:, 1:-reach] & ~ink[:, 2 : 1 - reach or None] & ~ink[:, 1 + reach :]
        # The last pixel of a stroke is blurred, the one before it is not.
        written, paper = np.minimum(tones[:, 1:-reach], tones[:, : -1 - reach]), tones[:, 1 + reach :]
        edges += int(np.count_nonzero(edge))
        steps += int(np.count_nonzero(edge & (2 * 255 * (paper - written) >= strength * np.maximum(paper, darkest))))
    return steps / max(1, edges)


def printed_lines(ink: Mask) -> Mask:
    """Return the pixels of ink that belong to long, thin, straight lines, as ruled and squared paper has, or to a form's frame.

    Lines are found by the Hough transform of thin runs across them. What is thicker stays, since a stroke crosses there
    (as staff lines are removed from music, Dalitz et al., A comparative study of staff removal algorithms, 2008).
    """
    side = min(ink.shape)
    for thickness in _LINE_THICK:
        most = min(thickness, max(2, int(side * _OF_SIDE)))
        thin = _lines(ink, (0, most), _LINE_SHARE, _LINE_ENDS, 0.5)
        if thin.any():
            break
    return thin | _lines(ink, (most, int(side * _FRAME_THICK)), _FRAME_SHARE, _FRAME_ENDS, _FRAME_NEAR)


def _lines(ink: Mask, thickness: tuple[int, int], *shares: float) -> Mask:
    return _level_lines(ink, thickness, *shares) | _level_lines(ink.T, thickness, *shares).T


def _level_lines(ink: Mask, thickness: tuple[int, int], share: float, share_of_ends: float, near: float) -> Mask:
    height, width = ink.shape
    starts, ends, stride = runs(ink.T)
    some = (ends - starts > thickness[0]) & (ends - starts <= thickness[1])
    x, y = starts // stride, (starts + ends) // 2 % stride - 1
    some &= (y < near * height) | (y >= (1 - near) * height)
    starts, ends, x, y = starts[some], ends[some], x[some], y[some]
    on_line = np.zeros(len(x), bool)
    first, last = x < share_of_ends * width, x >= (1 - share_of_ends) * width
    for slope in _SLOPES:
        offset = (64 * y - slope * x + 32 * width + 32) // 64
        count = height + width + 2
        votes = [_within_one(np.bincount(offset[of], minlength=count)) for of in (slice(None), first, last)]
        line = (votes[0] >= share * width) & (votes[1] > 0) & (votes[2] > 0)
        if line.any():
            on_line |= _within_one(line)[offset] > 0
    marks = np.zeros(width * stride + 1, np.int8)
    marks[starts[on_line]] = 1
    marks[ends[on_line]] -= 1
    found: Mask = np.cumsum(marks[:-1], dtype=np.int8).reshape(width, stride)[:, 1:-1].T > 0
    return found


def _within_one(counts: NDArray[Any]) -> NDArray[np.intp]:
    """Add to each number its neighbours."""
    near = counts.astype(np.intp)
    near[1:] += counts[:-1]
    near[:-1] += counts[1:]
    return near


def placed(box: Grey, stroke: float, height: int, width: int) -> Grey:
    """Return a digit as in MNIST: its longer side 20 of 28 pixels, centred by its mass, no stroke thinner than most there.

    Args:
        box: Ink (h, w), which touches all four sides.
        stroke: Mean width of its strokes in pixels.
        height: Height of the image.
        width: Width of the image.
    """
    pillow = load_pillow()
    thinner = _STROKE_LEAST * max(box.shape) - stroke
    # Growing makes the box larger too.
    box = _grown(box, max(0, round(thinner / (2 - 2 * _STROKE_LEAST))))
    factor = min(height, width) * _INK_SHARE / max(box.shape)
    size = (max(1, round(box.shape[1] * factor)), max(1, round(box.shape[0] * factor)))
    # LANCZOS averages over source pixels when shrinking, like the anti-aliasing with which MNIST was made.
    small = np.array(pillow.fromarray(box).resize(size, pillow.Resampling.LANCZOS), np.float32)
    small *= 255 / small.max()  # A thin stroke fades as it shrinks.
    top = _centred(small.sum(axis=1), height)
    left = _centred(small.sum(axis=0), width)
    fitted = np.zeros((height, width), np.uint8)
    fitted[top : top + small.shape[0], left : left + small.shape[1]] = small.astype(np.uint8)
    return fitted


def _grown(ink: Grey, by: int) -> Grey:
    """Return ink with so many pixels more on each side of its strokes."""
    padded = np.pad(ink, 2 * by)
    return _slid(_slid(padded, 2 * by + 1, 0, np.maximum), 2 * by + 1, 1, np.maximum)


def _centred(weights: NDArray[np.float32], length: int) -> int:
    """Return the start that puts the centre of mass in the middle, without leaving the picture."""
    centre = float((weights * np.arange(len(weights))).sum() / weights.sum()) + 0.5
    return int(np.clip(round(length / 2 - centre), 0, length - len(weights)))
