"""A photo of a digit: what is written on which sheet, the light on it, and the camera."""

from collections.abc import Callable
from io import BytesIO
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from tests.digit_photos import lights, papers
from tests.digit_photos.handwriting import Mask, of_mnist, written

Rng = np.random.Generator
Size = tuple[int, int]
_SIZES = ((200, 200), (240, 320), (480, 640), (640, 480), (600, 800), (1080, 1080), (1280, 720), (3000, 4000))
_OFTEN = (0.1, 0.15, 0.2, 0.2, 0.1, 0.1, 0.1, 0.05)
# A scene is made at most this high, and enlarged: a larger photo shows nothing more.
_MOST = 640


class Photo(NamedTuple):
    """A JPEG file of a digit.

    Attributes:
        jpeg: The file.
        label: The digit.
        about: What it shows, for people.
        written: The digit alone, black on white, uint8 (h, w).
    """

    jpeg: bytes
    label: int
    about: str
    written: NDArray[np.uint8]


class Kinds(NamedTuple):
    """The sheets and the light that may be drawn."""

    papers: dict[str, papers.Paper]
    lights: dict[str, Callable[[Size, Rng], lights.Light]]


TUNED = Kinds(papers.TUNED, lights.TUNED)
HELD_OUT = Kinds(papers.HELD_OUT, lights.HELD_OUT)


def photo(seed: int, kinds: Kinds = TUNED, mnist: bool = False) -> Photo:
    """Return the photo of a seed: always the same one.

    Args:
        seed: The seed. A digit of MNIST is the test image of this number, modulo their number.
        kinds: Sheets and light to draw from.
        mnist: Whether the digit is one of MNIST's test images; default: each third one is.
    """
    rng = np.random.default_rng((seed, mnist))
    final = _SIZES[rng.choice(len(_SIZES), p=_OFTEN)]
    factor = min(1, _MOST / max(final))
    size = (round(final[0] * factor), round(final[1] * factor))
    paper_name, light_name = (str(rng.choice(list(names))) for names in kinds)
    paper = kinds.papers[paper_name]
    scene = paper.make(size, rng)
    share = float(rng.uniform(0.1, 0.9))
    height = max(14, round(size[0] * share))
    pen = float(rng.uniform(0.04, 0.15))
    if mnist or seed % 3 == 0:
        mask, label = of_mnist(seed % 10000, height, rng)
    else:
        label = int(rng.integers(10))
        mask = written(label, height, max(pen, 1.6 / height), rng)
    if mask.shape[1] > 0.8 * size[1]:
        smaller = 0.8 * size[1] / mask.shape[1]
        shape = (max(8, int(mask.shape[1] * smaller)), max(8, int(mask.shape[0] * smaller)))
        mask = np.asarray(Image.fromarray(mask).resize(shape, Image.Resampling.BOX))
    desk = rng.random() < 0.25
    margin = float(rng.uniform(0.02, 0.12)) if desk else 0.0
    colour = paper.pens[rng.integers(len(paper.pens))]
    where = _place(scene, mask, colour, margin, rng)
    extras = _extras(scene, where, colour, rng)
    if desk:
        _lay_on_desk(scene, margin, rng)
    picture = _seen(scene * kinds.lights[light_name](size, rng)[..., np.newaxis], rng)
    about = f"{label}: {paper_name}, {light_name}, {final[1]}x{final[0]}, {mask.shape[0] / size[0]:.0%} high, pen {colour}"
    about += f"{', on a desk' if desk else ''}{''.join(', ' + extra for extra in extras)}"
    alone = np.pad(255 - (255 * mask).astype(np.uint8), max(mask.shape) // 2, constant_values=255)
    return Photo(_taken(picture, final, rng), label, about, alone)


def _place(
    scene: papers.Colours, mask: Mask, colour: tuple[float, float, float], margin: float, rng: Rng
) -> tuple[int, int, int, int]:
    """Write a digit anywhere on the sheet, and return its box: top, left, bottom, right."""
    (height, width), (tall, wide) = scene.shape[:2], mask.shape
    spare = (height - tall, width - wide)
    # As far from the edge as the camera's turn may cut off.
    edge = [min(space / 2, (margin + 0.06) * side) for space, side in zip(spare, (height, width), strict=True)]
    top, left = (int(rng.uniform(low, max(low, space - low))) for low, space in zip(edge, spare, strict=True))
    part = scene[top : top + tall, left : left + wide]
    flow = rng.uniform(0.85, 1)
    alpha = (mask * flow)[..., np.newaxis]
    if colour[0] == colour[1] or sum(colour) > 1.5 * float(scene.mean()) * 3:
        # Graphite and chalk leave the paper's hollows free.
        alpha = alpha * rng.uniform(0.72, 1, alpha.shape).astype(np.float32)
    part[:] = part * (1 - alpha) + np.array(colour, np.float32) * alpha
    return top, left, top + tall, left + wide


def _extras(scene: papers.Colours, box: tuple[int, int, int, int], colour: tuple[float, float, float], rng: Rng) -> list[str]:
    """Add specks, punch holes and neighbours that the border cuts, outside the digit's box; return what was added."""
    height, width = scene.shape[:2]
    picture = Image.new("L", (width, height), 0)
    draw, added = ImageDraw.Draw(picture), []
    if rng.random() < 0.4:
        added.append("specks")
        for _ in range(rng.integers(2, 12)):
            x, y, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.001, 0.006) * max(height, width)
            draw.ellipse((x - r, y - r, x + r, y + r), fill=255)
    gap = 0.25 * (box[2] - box[0])
    left_free, right_free = box[1] > 0.12 * width + gap, box[3] < 0.88 * width - gap
    if rng.random() < 0.15 and left_free:
        added.append("punch holes")
        for y in (0.25, 0.75):
            r = 0.025 * min(height, width)
            draw.ellipse((0.06 * width - r, y * height - r, 0.06 * width + r, y * height + r), fill=255)
    if rng.random() < 0.2 and right_free:
        added.append("a neighbour cut by the border")
        tall = box[2] - box[0]
        piece = Image.fromarray((written(int(rng.integers(10)), tall, 0.08, rng) * 255).astype(np.uint8))
        picture.paste(piece, (width - max(2, min(piece.width // 3, int(0.1 * width))), box[0]), piece)
    alpha = np.asarray(picture, np.float32)[..., np.newaxis] / 255
    scene[:] = scene * (1 - alpha) + np.array(colour, np.float32) * alpha
    return added


def _lay_on_desk(scene: papers.Colours, margin: float, rng: Rng) -> None:
    """Show the desk at some sides of the sheet."""
    height, width = scene.shape[:2]
    desk = np.array(((0.12, 0.09, 0.07), (0.3, 0.2, 0.12), (0.05, 0.05, 0.06))[rng.integers(3)], np.float32)
    sides = rng.random(4) < 0.7
    rows, columns = int(margin * height), int(margin * width)
    for side, part in enumerate((scene[:rows], scene[height - rows :], scene[:, :columns], scene[:, width - columns :])):
        if sides[side]:
            part[:] = desk * rng.uniform(0.85, 1.15, (*part.shape[:2], 1)).astype(np.float32)


def _seen(scene: papers.Colours, rng: Rng) -> NDArray[np.uint8]:
    """Return a scene as a camera that is not quite straight sees it: turned, in perspective, blurred, with its tone curve."""
    height, width = scene.shape[:2]
    picture = Image.fromarray((255 * (scene.clip(0, 1) ** np.float32(rng.uniform(0.6, 1)))).astype(np.uint8))
    turn, squeeze = np.radians(rng.uniform(-6, 6)), rng.uniform(-0.05, 0.05, 2)
    corners = np.array(((0, 0), (width, 0), (width, height), (0, height)), float)
    middle = np.array((width, height)) / 2
    turned = (corners - middle) @ np.array(((np.cos(turn), np.sin(turn)), (-np.sin(turn), np.cos(turn))))
    turned *= 1 + (corners - middle)[:, ::-1] / middle[::-1] * squeeze
    # The scene goes on beyond what the camera sees of it.
    around = round(0.15 * max(height, width))
    wide = Image.fromarray(np.pad(np.asarray(picture), ((around, around), (around, around), (0, 0)), "edge"))
    warp = _perspective(corners, turned + middle + around)
    picture = wide.transform((width, height), Image.Transform.PERSPECTIVE, warp, Image.Resampling.BICUBIC)
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.0022) * max(height, width))))


def _perspective(to: NDArray[np.float64], source: NDArray[np.float64]) -> list[float]:
    """Return the eight coefficients that take four points of the new picture to four of the old one."""
    rows = []
    for (x, y), (u, v) in zip(to, source, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    solved: list[float] = np.linalg.solve(np.array(rows), source.reshape(-1)).tolist()
    return solved


def _taken(picture: NDArray[np.uint8], size: Size, rng: Rng) -> bytes:
    """Return what the camera writes: a JPEG of a size, with the sensor's noise."""
    noise = rng.normal(0, rng.uniform(0.5, 7), (*picture.shape[:2], 1)).astype(np.float32)
    noisy = Image.fromarray((picture + noise).clip(0, 255).astype(np.uint8))
    stream = BytesIO()
    noisy.resize(size[::-1], Image.Resampling.BICUBIC).save(stream, "JPEG", quality=int(rng.integers(60, 96)))
    return stream.getvalue()
