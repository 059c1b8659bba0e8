"""Light that falls on a scene, as a factor of each pixel, float32 (h, w)."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Light = NDArray[np.float32]
Rng = np.random.Generator
Size = tuple[int, int]


def _places(size: Size) -> tuple[Light, Light]:
    y, x = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32)
    return y / size[0], x / size[1]


def even(size: Size, rng: Rng) -> Light:
    """The same everywhere."""
    return np.full(size, rng.uniform(0.7, 1), np.float32)


def gradient(size: Size, rng: Rng) -> Light:
    """A window at one side."""
    y, x = _places(size)
    angle, low = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.7)
    along = (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle)
    light: Light = low + (1 - low) * ((along + 0.7) / 1.4)
    return light


def lamp(size: Size, rng: Rng) -> Light:
    """A lamp near the sheet, whose light falls off with the distance."""
    y, x = _places(size)
    centre = rng.uniform(-0.2, 1.2, 2)
    far = (y - centre[0]) ** 2 + (x - centre[1]) ** 2
    light = 1 / (1 + far * rng.uniform(0.5, 1.8))
    return np.asarray(light / light.max(), np.float32)


def vignette(size: Size, rng: Rng) -> Light:
    """A lens that darkens its corners."""
    y, x = _places(size)
    far = ((y - 0.5) ** 2 + (x - 0.5) ** 2) * 2
    return (1 - rng.uniform(0.3, 0.7) * far**1.3).astype(np.float32) * np.float32(rng.uniform(0.75, 1))


def _shadow(size: Size, rng: Rng, points: list[tuple[float, float]], soft: float) -> Light:
    height, width = size
    mask = Image.new("L", (width, height), 0)
    ImageDraw.Draw(mask).polygon([(x * width, y * height) for x, y in points], fill=255)
    shade = np.asarray(mask.filter(ImageFilter.GaussianBlur(soft * max(size))), np.float32) / 255
    return (1 - shade * rng.uniform(0.25, 0.6)).astype(np.float32)


def shadow_edge(size: Size, rng: Rng) -> Light:
    """The straight edge of a shadow, sharp or soft, over a part of the sheet."""
    first, second = rng.uniform(0.1, 0.9, 2)
    points = [(-0.2, -0.2), (first, -0.2), (second, 1.2), (-0.2, 1.2)]
    rng.integers(4)  # Nothing needs this draw, but without it the photo of each seed would be another one.
    kind = int(rng.integers(4))
    placed = [[(x, y), (y, x), (1 - x, y), (y, 1 - x)][kind] for x, y in points]
    return _shadow(size, rng, placed, rng.uniform(0.001, 0.04)) * gradient(size, rng) ** 0.5


def finger(size: Size, rng: Rng) -> Light:
    """A finger's shadow that comes in from the edge."""
    tip, base, thick = rng.uniform(0.2, 0.8, 2), rng.uniform(0, 1), rng.uniform(0.04, 0.1)
    points = [
        (base - 1.6 * thick, 1.1),
        (tip[0] - thick, tip[1]),
        (tip[0], tip[1] - thick),
        (tip[0] + thick, tip[1]),
        (base + 1.6 * thick, 1.1),
    ]
    kind = int(rng.integers(4))
    placed = [[(x, y), (y, x), (x, 1 - y), (1 - y, x)][kind] for x, y in points]
    return _shadow(size, rng, placed, rng.uniform(0.004, 0.03)) * even(size, rng)


def blinds(size: Size, rng: Rng) -> Light:
    """Stripes of a window's blinds."""
    y, x = _places(size)
    angle, count = rng.uniform(-0.5, 0.5), rng.uniform(2, 5)
    wave = np.sin(2 * np.pi * count * (y * np.cos(angle) + x * np.sin(angle)) + rng.uniform(0, 6))
    return np.asarray(1 - rng.uniform(0.1, 0.2) * (1 + np.tanh(2.5 * wave)), np.float32)


def two_lamps(size: Size, rng: Rng) -> Light:
    """Two lamps."""
    both = lamp(size, rng) + lamp(size, rng)
    return np.asarray(both / both.max(), np.float32)


def spot(size: Size, rng: Rng) -> Light:
    """A torch's cone."""
    y, x = _places(size)
    centre, wide = rng.uniform(0.3, 0.7, 2), rng.uniform(0.35, 0.6)
    far = np.sqrt((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / wide
    return np.asarray(0.4 + 0.6 / (1 + np.exp(6 * (far - 1))), np.float32)


def phone(size: Size, rng: Rng) -> Light:
    """The shadow of the phone that takes the photo, and of the hand that holds it."""
    x, y, wide, high = rng.uniform(0.1, 0.7), rng.uniform(0.2, 0.7), rng.uniform(0.25, 0.45), rng.uniform(0.5, 0.8)
    points = [(x, y), (x + wide, y + 0.05), (x + wide, y + high), (x + 0.6 * wide, 1.1), (x + 0.2 * wide, 1.1), (x, y + high)]
    return _shadow(size, rng, points, rng.uniform(0.01, 0.04))


TUNED: dict[str, Callable[[Size, Rng], Light]] = {
    "even": even,
    "gradient": gradient,
    "lamp": lamp,
    "vignette": vignette,
    "shadow edge": shadow_edge,
    "finger": finger,
}
HELD_OUT: dict[str, Callable[[Size, Rng], Light]] = {
    "blinds": blinds,
    "two lamps": two_lamps,
    "spot": spot,
    "phone": phone,
}
