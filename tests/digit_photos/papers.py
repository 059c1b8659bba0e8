"""What a digit is written on, and what is around it: reflectance of each colour, 0 to 1, float32 (h, w, 3)."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Colours = NDArray[np.float32]
Rng = np.random.Generator
Size = tuple[int, int]


class Paper(NamedTuple):
    """A sheet and the pens that write on it, as reflectances of red, green and blue."""

    make: Callable[[Size, Rng], Colours]
    pens: tuple[tuple[float, float, float], ...]


_BLACK, _BLUE, _PENCIL, _FELT, _RED = (
    (0.06, 0.06, 0.07),
    (0.12, 0.17, 0.5),
    (0.42, 0.42, 0.44),
    (0.03, 0.03, 0.03),
    (0.6, 0.1, 0.12),
)
_PENS = (_BLACK, _BLUE, _PENCIL, _FELT)


def _plain(size: Size, rng: Rng, colour: tuple[float, float, float], grain: float = 0.01) -> Colours:
    """Paper of one colour with fibres: noise of several scales."""
    height, width = size
    sheet = np.empty((height, width, 3), np.float32)
    sheet[:] = np.array(colour) * rng.uniform(0.94, 1.03)
    for step in (1, 4, 16):
        noise = rng.normal(0, grain, (height // step + 1, width // step + 1)).astype(np.float32)
        large = Image.fromarray(noise).resize((width, height), Image.Resampling.BILINEAR)
        sheet *= (1 + np.asarray(large))[..., np.newaxis]
    return sheet.clip(0, 1)


def _lines(sheet: Colours, rng: Rng, colour: tuple[float, float, float], across: bool, spacing: float, strength: float) -> None:
    """Draw printed lines, straight and parallel, over a sheet."""
    height, width = sheet.shape[:2]
    thick = max(1, round(spacing * rng.uniform(0.02, 0.05)))
    length = height if across else width
    mask = np.zeros(length, np.float32)
    for place in np.arange(rng.uniform(0, spacing), length - thick, spacing):
        mask[int(place) : int(place) + thick] = strength
    alpha = mask[:, np.newaxis, np.newaxis] if across else mask[np.newaxis, :, np.newaxis]
    sheet *= 1 - alpha * (1 - np.array(colour, np.float32))


def _line_colour(rng: Rng) -> tuple[float, float, float]:
    choices = ((0.45, 0.6, 0.85), (0.6, 0.6, 0.62), (0.7, 0.5, 0.6), (0.45, 0.7, 0.55), (0.35, 0.45, 0.7))
    return choices[rng.integers(len(choices))]


def ruled(size: Size, rng: Rng) -> Colours:
    """Horizontal lines, sometimes with a margin line."""
    sheet = _plain(size, rng, (0.9, 0.9, 0.88))
    spacing = size[0] * rng.uniform(0.05, 0.3)
    _lines(sheet, rng, _line_colour(rng), True, spacing, rng.uniform(0.5, 1))
    if rng.random() < 0.5:
        place, thick = int(size[1] * rng.uniform(0.08, 0.2)), max(1, round(spacing * 0.04))
        sheet[:, place : place + thick] *= np.array((0.95, 0.5, 0.5), np.float32)
    return sheet


def squared(size: Size, rng: Rng) -> Colours:
    """Squares."""
    sheet = _plain(size, rng, (0.9, 0.9, 0.88))
    spacing, colour, strength = size[0] * rng.uniform(0.04, 0.2), _line_colour(rng), rng.uniform(0.4, 1)
    for across in (True, False):
        _lines(sheet, rng, colour, across, spacing, strength)
    return sheet


def blackboard(size: Size, rng: Rng) -> Colours:
    """A board with wiped chalk."""
    board = _plain(size, rng, (0.1, 0.14, 0.12), 0.03)
    height, width = size
    dust = Image.fromarray(rng.normal(0, 1, (8, 8)).astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    return (board + 0.02 * np.asarray(dust)[..., np.newaxis].clip(0, 3)).clip(0, 1)


def dotted(size: Size, rng: Rng) -> Colours:
    """A dot grid."""
    sheet = _plain(size, rng, (0.9, 0.89, 0.85))
    spacing = max(5, int(size[0] * rng.uniform(0.05, 0.12)))
    thick = max(1, spacing // 10)
    for row in range(spacing // 2, size[0] - thick, spacing):
        for y in range(row, row + thick):
            for x in range(thick):
                sheet[y, spacing // 2 + x :: spacing] *= 0.65
    return sheet


def graph(size: Size, rng: Rng) -> Colours:
    """Millimetre paper: thin lines, and each fifth one stronger."""
    sheet = _plain(size, rng, (0.92, 0.9, 0.86))
    spacing, colour = size[0] * rng.uniform(0.02, 0.05), (0.9, 0.6, 0.5)
    for across in (True, False):
        _lines(sheet, rng, colour, across, spacing, 0.5)
        _lines(sheet, rng, colour, across, 5 * spacing, 0.9)
    return sheet


def legal(size: Size, rng: Rng) -> Colours:
    """A yellow pad with blue lines and a red double margin."""
    sheet = _plain(size, rng, (0.93, 0.86, 0.5))
    _lines(sheet, rng, (0.4, 0.55, 0.8), True, size[0] * rng.uniform(0.08, 0.25), 0.9)
    place = int(size[1] * 0.15)
    for x in (place, place + max(3, size[1] // 60)):
        sheet[:, x : x + max(1, size[1] // 250)] *= np.array((0.9, 0.45, 0.4), np.float32)
    return sheet


def sticky(size: Size, rng: Rng) -> Colours:
    """A pink or yellow note."""
    return _plain(size, rng, ((0.95, 0.6, 0.65), (0.95, 0.88, 0.45))[rng.integers(2)])


def whiteboard(size: Size, rng: Rng) -> Colours:
    """A glossy board with a reflected lamp and wiped strokes."""
    board = _plain(size, rng, (0.8, 0.81, 0.83), 0.004)
    height, width = size
    wiped = Image.new("L", (width, height), 0)
    for _ in range(4):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        ImageDraw.Draw(wiped).line((x, y, x + width * rng.normal(0, 0.3), y + height * rng.normal(0, 0.1)), 255, height // 20)
    soft = np.asarray(wiped.filter(ImageFilter.GaussianBlur(height / 50)), np.float32) / 255
    return (board * (1 - 0.06 * soft[..., np.newaxis])).astype(np.float32)


def slate(size: Size, rng: Rng) -> Colours:
    """A slate with a printed grid, for chalk."""
    board = _plain(size, rng, (0.16, 0.16, 0.18), 0.03)
    for across in (True, False):
        _lines(board, rng, (1.6, 1.6, 1.6), across, size[0] * rng.uniform(0.1, 0.2), 1)
    return board.clip(0, 1)


_CHALK = ((0.85, 0.85, 0.82), (0.8, 0.78, 0.5), (0.55, 0.55, 0.55))
_GLOWING = ((0.95, 0.95, 0.95), (0.5, 0.85, 0.6))
TUNED: dict[str, Paper] = {
    "white": Paper(partial(_plain, colour=(0.9, 0.9, 0.9)), (*_PENS, _RED)),  # Copy paper.
    "cream": Paper(partial(_plain, colour=(0.88, 0.83, 0.68)), _PENS),  # A notebook's yellowish paper.
    "grey": Paper(partial(_plain, colour=(0.62, 0.61, 0.58), grain=0.02), (_BLACK, _BLUE, _FELT)),  # Recycled.
    "ruled": Paper(ruled, _PENS),
    "squared": Paper(squared, _PENS),
    "envelope": Paper(partial(_plain, colour=(0.65, 0.5, 0.34), grain=0.025), (_BLACK, _BLUE, _FELT)),  # Brown paper.
    "blackboard": Paper(blackboard, _CHALK),
    "screen": Paper(partial(_plain, colour=(0.07, 0.07, 0.09), grain=0.005), _GLOWING),  # In dark mode.
}
HELD_OUT: dict[str, Paper] = {
    "dotted": Paper(dotted, (*_PENS, _RED)),
    "graph": Paper(graph, _PENS),
    "legal": Paper(legal, (*_PENS, _RED)),
    "sticky": Paper(sticky, (_BLACK, _BLUE, _FELT)),
    "whiteboard": Paper(whiteboard, (_BLACK, (0.1, 0.35, 0.2), (0.15, 0.2, 0.6), (0.7, 0.12, 0.12))),
    "slate": Paper(slate, _CHALK[:2]),
}
