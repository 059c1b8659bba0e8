"""Handwritten digits as masks of any size: strokes of several ways to write each digit, and MNIST's own test images."""

from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from edgecnn.edge.data.named_sets import ShippedSplit, load_shipped

Mask = NDArray[np.float32]
Point = tuple[float, float]
_ROUND = 24
_SUPERSAMPLED = 3


def _arc(x: float, y: float, across: float, down: float, start: float, end: float) -> list[Point]:
    """Points of an ellipse around (x, y); angles in degrees, clockwise from the right, as the y axis points down."""
    angles = np.radians(np.linspace(start, end, max(4, int(abs(end - start) / 360 * _ROUND))))
    return [(x + across * float(np.cos(angle)), y + down * float(np.sin(angle))) for angle in angles]


# Each way to write a digit is some strokes in a box of 1 by 1.
_WAYS: dict[int, list[list[list[Point]]]] = {
    0: [[_arc(0.5, 0.5, 0.36, 0.5, -80, 285)], [_arc(0.5, 0.5, 0.42, 0.5, -60, 300)], [_arc(0.5, 0.5, 0.3, 0.5, -110, 240)]],
    1: [[[(0.5, 0), (0.5, 1)]], [[(0.56, 0), (0.46, 1)]], [[(0.3, 0.22), (0.55, 0), (0.53, 1)]]],
    2: [
        [[*_arc(0.5, 0.27, 0.36, 0.27, -170, 20), (0.7, 0.55), (0.12, 1), (0.9, 0.98)]],
        [[*_arc(0.5, 0.26, 0.34, 0.26, -150, 40), (0.45, 0.75), (0.15, 0.95), (0.3, 0.88), (0.6, 1), (0.92, 0.95)]],
    ],
    3: [
        [[*_arc(0.45, 0.25, 0.36, 0.25, -150, 80), *_arc(0.45, 0.74, 0.42, 0.26, -85, 150)]],
        [[(0.15, 0.02), (0.8, 0.02), (0.45, 0.42), *_arc(0.45, 0.7, 0.4, 0.3, -80, 150)]],
    ],
    4: [
        [[(0.25, 0), (0.12, 0.55), (0.9, 0.55)], [(0.68, 0.1), (0.66, 1)]],
        [[(0.65, 1), (0.67, 0), (0.08, 0.66), (0.95, 0.66)]],
        [[(0.2, 0.03), (0.18, 0.5), (0.75, 0.48)], [(0.8, 0), (0.72, 1)]],
    ],
    5: [
        [[(0.85, 0.02), (0.25, 0.02), (0.2, 0.42), *_arc(0.45, 0.68, 0.38, 0.3, -110, 140)]],
        [[(0.25, 0.04), (0.2, 0.44), *_arc(0.45, 0.69, 0.38, 0.3, -110, 140)], [(0.25, 0.03), (0.88, 0)]],
    ],
    6: [
        [[(0.7, 0), (0.35, 0.3), *_arc(0.5, 0.72, 0.34, 0.28, 180, -180)]],
        [[(0.55, 0), (0.22, 0.45), *_arc(0.48, 0.74, 0.32, 0.25, 190, -150)]],
    ],
    7: [
        [[(0.1, 0.03), (0.88, 0.02), (0.4, 1)]],
        [[(0.12, 0.1), (0.14, 0.02), (0.85, 0), (0.55, 0.5), (0.45, 1)]],
        [[(0.1, 0.03), (0.88, 0.02), (0.38, 1)], [(0.3, 0.5), (0.78, 0.48)]],
    ],
    8: [
        [[*_arc(0.5, 0.25, 0.3, 0.25, -60, -270), *_arc(0.5, 0.74, 0.36, 0.26, -90, 250), (0.62, 0.45), (0.7, 0.1)]],
        [_arc(0.5, 0.25, 0.3, 0.25, -90, 280), _arc(0.5, 0.75, 0.38, 0.26, -95, 270)],
    ],
    9: [
        [[*_arc(0.48, 0.28, 0.34, 0.28, -20, -370), (0.8, 0.5), (0.72, 1)]],
        [[*_arc(0.46, 0.27, 0.34, 0.27, -20, -360), (0.78, 0.6), *_arc(0.45, 0.76, 0.33, 0.24, 0, 130)]],
    ],
}  # fmt: skip


def written(digit: int, height: int, pen: float, rng: np.random.Generator) -> Mask:
    """Return a digit in a hand of its own, 0 to 1, (height, some width).

    Args:
        digit: 0 to 9.
        height: Height in pixels, with the pen's width.
        pen: Width of the pen as a share of the height.
        rng: Draws the way to write it, its slant, proportions and the tremor of the hand.
    """
    ways = _WAYS[digit]
    strokes = [np.array(stroke) for stroke in ways[rng.integers(len(ways))]]
    slant, aspect = rng.normal(0.08, 0.13), rng.uniform(0.5, 0.85)
    shift = np.cumsum(rng.normal(0, 0.012, (40, 2)), axis=0)
    shaken = []
    for stroke in strokes:
        stroke = stroke + rng.normal(0, 0.012, stroke.shape) + np.resize(shift, stroke.shape)
        x, y = stroke[:, 0] - 0.5 + slant * (0.5 - stroke[:, 1]), stroke[:, 1]
        shaken.append(_smooth(np.stack((x * aspect, y), axis=1)))
    every = np.concatenate(shaken)
    scale = _SUPERSAMPLED * height
    inner = (1 - pen) * scale / np.ptp(every[:, 1])
    low = every.min(axis=0)
    width = int(np.ptp(every[:, 0]) * inner + pen * scale) + 2
    picture = Image.new("L", (width, scale), 0)
    draw, radius = ImageDraw.Draw(picture), pen * scale / 2
    for stroke in shaken:
        path = [tuple(point) for point in (stroke - low) * inner + radius]
        draw.line(path, 255, max(1, round(2 * radius)))
        for x, y in path:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), 255)
    small = picture.resize((max(2, width // _SUPERSAMPLED), height), Image.Resampling.BOX)
    mask: Mask = np.asarray(small, np.float32) / np.float32(255)
    return mask


def _smooth(stroke: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round corners a little and add points: Chaikin's corner cutting, twice."""
    for _ in range(2):
        first, second = 0.85 * stroke[:-1] + 0.15 * stroke[1:], 0.15 * stroke[:-1] + 0.85 * stroke[1:]
        middle = np.stack((first, second), axis=1).reshape(-1, 2)
        stroke = np.concatenate((stroke[:1], middle, stroke[-1:]))
    steps = [np.linspace(a, b, 6, endpoint=False) for a, b in pairwise(stroke)]
    return np.concatenate((*steps, stroke[-1:]))


@cache
def _mnist() -> ShippedSplit:
    return load_shipped("test")


def of_mnist(index: int, height: int, rng: np.random.Generator) -> tuple[Mask, int]:
    """Return a test image of MNIST drawn with a pen, 0 to 1, (height, some width), and its label."""
    test = _mnist()
    image = test.images([index])[0, ..., 0]
    rows, columns = np.flatnonzero(image.max(axis=1) > 60), np.flatnonzero(image.max(axis=0) > 60)
    box = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    width = max(2, round(height * box.shape[1] / box.shape[0]))
    large = np.asarray(Image.fromarray(np.pad(box, 1)).resize((width, height), Image.Resampling.BICUBIC), np.float32) / 255
    # A pen's edge is sharp: what MNIST's anti-aliasing blurred becomes an edge of about a twentieth of a stroke.
    sharp = 1 / (1 + np.exp(-14 * (large - rng.uniform(0.36, 0.5))))
    return sharp.astype(np.float32), int(test.labels[index])
