"""Turns a drawn digit from a camera or a scanner into the image for a model of MNIST."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.manifest import Side
from edgecnn.edge.packages import load_pillow

# MNIST's own rule: the ink fits a 20 x 20 box of the 28 x 28 image.
_INK_SHARE = 20 / 28
# Anything weaker than this share of the strongest ink is paper, shadow or JPEG noise.
_INK_LEAST = 0.25
# Ink covers less of the picture than this.
_INK_MOST = 0.5
# Ink differs from its paper by at least this many of 256 levels.
_CONTRAST_LEAST = 16
# Ink differs from its paper this many times more than anything of this share of the picture differs the other way.
_CLEARLY_MORE, _SPECKS = 1.5, 0.005
# A sheet of paper fills at least this share of its tightest box, whose sides have at least this ratio. A
# sheet seen in perspective does; a digit's strokes do not, unless they are extremely bold.
_SHEET_FILLS, _SHEET_ASPECT, _SHEET_BLANK = 0.85, 0.4, 0.6
_SHEET_EDGE = 3
_ANGLES = np.radians(np.arange(0, 90, 3))[:, np.newaxis]

Levels = NDArray[np.float32]
Mask = NDArray[np.bool_]


class Polarity(NamedTuple):
    """What is known of a picture's light and dark.

    Attributes:
        background: The picture's own background, where somebody stated it. Default: its border decides.
        on_doubt: Gets a sentence if light and dark may have been mistaken for each other.
    """

    background: Side | None = None
    on_doubt: Callable[[str], None] = lambda doubt: None


UNSTATED = Polarity()


def fit_digit(grey: NDArray[np.uint8], height: int, width: int, polarity: Polarity, name: str) -> NDArray[np.uint8]:
    """Return the ink of a picture as in MNIST: light on black, its longer side 20 of 28 pixels, centred by its mass.

    Args:
        grey: uint8 (h, w), of any size.
        height: Height of the model's images.
        width: Width of the model's images.
        polarity: Known light and dark of the picture.
        name: Name of the picture for messages.

    Raises:
        ArtifactError: If it shows nothing, or no ink.
    """
    pillow = load_pillow()
    picture = pillow.fromarray(grey)
    # Averaging down to eight times the model's size removes a camera's noise.
    picture.thumbnail((8 * width, 8 * height), pillow.Resampling.BOX)
    ink = _ink(np.asarray(picture, np.float32), polarity, name)
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    box = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    factor = min(height, width) * _INK_SHARE / max(box.shape)
    size = (max(1, round(box.shape[1] * factor)), max(1, round(box.shape[0] * factor)))
    # LANCZOS averages over source pixels when shrinking, like the anti-aliasing with which MNIST was made.
    small = np.array(pillow.fromarray(box.astype(np.uint8)).resize(size, pillow.Resampling.LANCZOS), np.float32)
    small *= 255 / small.max()  # A thin stroke fades as it shrinks.
    top = _centred(small.sum(axis=1), height)
    left = _centred(small.sum(axis=0), width)
    fitted = np.zeros((height, width), np.uint8)
    fitted[top : top + small.shape[0], left : left + small.shape[1]] = small.astype(np.uint8)
    return fitted


def _ink(grey: Levels, polarity: Polarity, name: str) -> Levels:
    """Return the strength of the ink at each pixel, 0 to 255."""
    border = np.ones(grey.shape, bool)
    border[1:-1, 1:-1] = False
    lighter, darker = _sides(grey, border)
    # On grey paper the border does not show which is ink: the side that stands out more is.
    ground = polarity.background or ("dark" if lighter.max() >= darker.max() else "light")
    ink, other = (lighter, darker) if ground == "dark" else (darker, lighter)
    if polarity.background:
        sheet = _sheet(_strong(other)) if other.max() >= _CONTRAST_LEAST else None
        if sheet is not None:
            sheet = _shrunk(sheet, _SHEET_EDGE)
            lighter, darker = _sides(grey, sheet & ~_shrunk(sheet, 1))
            ink = np.where(sheet, lighter if ground == "dark" else darker, 0)
    strongest = ink.max()
    if strongest < _CONTRAST_LEAST:
        raise ArtifactError(f"{name} shows nothing on its background: name a picture with a digit")
    unclear = np.mean(other > strongest / _CLEARLY_MORE) > _SPECKS
    ink = _strong(ink)
    if np.count_nonzero(ink) > _INK_MOST * ink.size:
        raise ArtifactError(f"{name} has no even background behind the ink: crop it to one digit on plain paper")
    if polarity.background is None:
        if _sheet(ink) is not None:
            shade = "light" if ground == "dark" else "dark"
            polarity.on_doubt(f"{name} may be a {shade} sheet on a {ground} table, and was read as one large stroke")
        elif unclear:
            polarity.on_doubt(
                f"{name} has strokes lighter than its border and darker ones, and was read as on a {ground} background"
            )
    return ink


def _strong(ink: Levels) -> Levels:
    """Return ink scaled to 255, without weak pixels."""
    scaled: Levels = ink * np.float32(255 / ink.max())
    scaled[scaled < 255 * _INK_LEAST] = 0
    return scaled


def _sides(grey: Levels, paper: Mask) -> tuple[Levels, Levels]:
    """Return how much lighter and darker each pixel is than the paper, modelled as a plane: a lamp may light one side.

    Args:
        grey: The picture.
        paper: Pixels that are mostly paper.
    """
    height, width = grey.shape
    y, x = np.mgrid[0:height, 0:width].reshape(2, -1) / max(height, width)
    plane = np.stack([np.ones_like(x), x, y], axis=1)
    kept, values = paper.reshape(-1), grey.reshape(-1)
    # Least squares, then once more without outliers: a stroke that crosses the border is not paper.
    for _ in range(2):
        weights = np.linalg.lstsq(plane[kept], values[kept], rcond=None)[0]
        off = np.abs(values - plane @ weights)
        kept = paper.reshape(-1) & (off <= 2 * max(1.0, float(np.median(off[paper.reshape(-1)]))))
    contrast = (grey - (plane @ weights).reshape(grey.shape)).astype(np.float32)
    return np.clip(contrast, 0, None), np.clip(-contrast, 0, None)


def _sheet(ink: Levels) -> Mask | None:
    """Return the place of a sheet of paper, if the apparent ink is a sheet with something written on it; else None."""
    full = ink >= 128
    whole = _spanned(full) & _spanned(full.T).T
    rows = np.flatnonzero(whole.any(axis=1))
    ends = whole[rows].argmax(axis=1), whole.shape[1] - 1 - whole[rows, ::-1].argmax(axis=1)
    x, y = np.concatenate(ends), np.concatenate((rows, rows))
    along, across = x * np.cos(_ANGLES) + y * np.sin(_ANGLES), y * np.cos(_ANGLES) - x * np.sin(_ANGLES)
    sides = np.stack((np.ptp(along, axis=1), np.ptp(across, axis=1))) + 1
    short, long = sorted(sides[:, sides.prod(axis=0).argmin()])
    blank = np.count_nonzero(full) / np.count_nonzero(whole)
    filled = np.count_nonzero(whole) / (short * long)
    return whole if filled >= _SHEET_FILLS and short / long >= _SHEET_ASPECT and blank >= _SHEET_BLANK else None


def _spanned(mask: Mask) -> Mask:
    """Return each row filled from its first to its last pixel."""
    forward: Any = np.logical_or.accumulate
    spanned: Mask = forward(mask, axis=1) & forward(mask[:, ::-1], axis=1)[:, ::-1]
    return spanned


def _shrunk(mask: Mask, pixels: int) -> Mask:
    """Return a mask without its outermost pixels."""
    for _ in range(pixels):
        padded = np.pad(mask, 1)
        mask = padded[1:-1, 1:-1] & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask


def _centred(weights: Levels, length: int) -> int:
    """Return the start that puts the centre of mass in the middle, without leaving the picture."""
    centre = float((weights * np.arange(len(weights))).sum() / weights.sum()) + 0.5
    return int(np.clip(round(length / 2 - centre), 0, length - len(weights)))
