"""An image file of any size -> the uint8 image that a model takes, by the rule that its manifest records."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ArtifactError, MissingDependency
from edge.manifest import Preprocessing
from edge.preprocess import Images

# MNIST's own rule: the ink fits a 20 x 20 box of the 28 x 28 image.
_INK_SHARE = 20 / 28
# Weaker than this share of the strongest ink is paper, shadow or JPEG noise.
_INK_LEAST = 0.25
# Ink that covers more of the picture is no ink.
_INK_MOST = 0.5
_SHADES = " ░▒▓█"


def read_image(path: Path, shape: tuple[int, int, int], preprocessing: Preprocessing) -> Images:
    """Read a PNG, JPEG or other file that Pillow knows, as uint8 (h, w, c).

    The camera's orientation is applied, transparency becomes white, and colour becomes grey for a model of one channel.
    The picture is inverted if its border (median of the outermost pixels) is light and the training images' is dark, or
    the other way round. A picture of the model's size with the border of the training images is then taken as it is; any
    other is fitted by `preprocessing.fit`. docs/image-files.md tells the whole rule.

    Raises:
        ArtifactError: If the file is missing, is no image, or shows nothing.
        MissingDependency: If Pillow is not installed.
    """
    height, width, channels = shape
    pixels = _open(path, "L" if channels == 1 else "RGB")
    border = background(pixels[np.newaxis])
    if {border, preprocessing.background} == {"dark", "light"}:
        pixels, border = 255 - pixels, preprocessing.background
    digit = preprocessing.fit == "digit" and channels == 1
    if pixels.shape[:2] != (height, width) or (digit and border != preprocessing.background):
        pixels = (
            _fit_digit(pixels[..., 0], height, width, path)[..., np.newaxis] if digit else _letterbox(pixels, height, width)
        )
    return pixels


def background(images: Images) -> str:
    """Return `dark`, `light` or `any` from the outermost pixels of images (n, h, w, c): their median, in thirds."""
    edges = (images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1])
    median = np.median(np.concatenate([edge.reshape(-1) for edge in edges]))
    return "dark" if median < 256 / 3 else "light" if median >= 512 / 3 else "any"


def to_text(image: Images) -> str:
    """Draw an image (h, w, c) with block characters, at most 64 columns; a character stands for twice its width in height."""
    grey = image.mean(axis=2)
    step = -(-grey.shape[1] // 64)
    rows, columns = -(-grey.shape[0] // (2 * step)), -(-grey.shape[1] // step)
    padded = np.zeros((rows * 2 * step, columns * step))
    padded[: grey.shape[0], : grey.shape[1]] = grey
    cells = padded.reshape(rows, 2 * step, columns, step).mean(axis=(1, 3))
    shades = (cells / 256 * len(_SHADES)).astype(int)
    return "\n".join("".join(_SHADES[shade] for shade in row).rstrip() for row in shades)


def _open(path: Path, mode: str) -> Images:
    pillow, ops = _pillow()
    if path.is_dir():
        raise ArtifactError(f"{path} is a folder: name the PNG or JPEG files in it")
    if not path.is_file():
        raise ArtifactError(f"{path} does not exist: name a PNG or JPEG file")
    try:
        with pillow.open(path) as file:
            picture = ops.exif_transpose(file)
            if picture.mode.startswith("I"):  # 16 bits a pixel: convert() would clip at 255.
                picture = pillow.fromarray((np.asarray(picture) >> 8).clip(0, 255).astype(np.uint8))
            if "A" in picture.getbands() or "transparency" in picture.info:
                picture = picture.convert("RGBA")
                white = pillow.new("RGBA", picture.size, "white")
                picture = pillow.alpha_composite(white, picture)
            pixels = np.array(picture.convert(mode))
    except (OSError, SyntaxError, ValueError, pillow.DecompressionBombError) as error:
        raise ArtifactError(f"{path} is not an image that Pillow reads ({error}): name a PNG or JPEG file") from error
    return pixels if pixels.ndim == 3 else pixels[..., np.newaxis]


def _fit_digit(grey: NDArray[np.uint8], height: int, width: int, path: Path) -> NDArray[np.uint8]:
    pillow, _ = _pillow()
    picture = pillow.fromarray(grey)
    # Averaging down to eight times the model's size takes out a camera's noise.
    picture.thumbnail((8 * width, 8 * height), pillow.Resampling.BOX)
    contrast = _without_paper(np.asarray(picture, np.float32))
    # On grey paper the border does not tell which is ink: the side that stands out more is.
    ink = np.clip(contrast if contrast.max() >= -contrast.min() else -contrast, 0, None)
    if ink.max() < 16:
        raise ArtifactError(f"{path} shows nothing on its background: name a picture with a digit")
    ink *= 255 / ink.max()
    ink[ink < 255 * _INK_LEAST] = 0
    if np.count_nonzero(ink) > _INK_MOST * ink.size:
        raise ArtifactError(f"{path} has no even background to tell ink from: crop it to one digit on plain paper")
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    box = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    factor = min(height, width) * _INK_SHARE / max(box.shape)
    size = (max(1, round(box.shape[1] * factor)), max(1, round(box.shape[0] * factor)))
    # LANCZOS averages over the source pixels when it shrinks, as anti-aliasing did when MNIST was made.
    small = np.array(pillow.fromarray(box.astype(np.uint8)).resize(size, pillow.Resampling.LANCZOS), np.float32)
    small *= 255 / small.max()  # A thin stroke fades as it shrinks.
    top = _centred(small.sum(axis=1), height)
    left = _centred(small.sum(axis=0), width)
    fitted = np.zeros((height, width), np.uint8)
    fitted[top : top + small.shape[0], left : left + small.shape[1]] = small.astype(np.uint8)
    return fitted


def _without_paper(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how much each pixel differs from the paper: a plane through the border, as a lamp on one side lights it."""
    height, width = grey.shape
    y, x = np.mgrid[0:height, 0:width].reshape(2, -1) / max(height, width)
    plane = np.stack([np.ones_like(x), x, y], axis=1)
    border = np.zeros(grey.shape, bool)
    border[[0, -1]] = border[:, [0, -1]] = True
    kept, values = border.reshape(-1), grey.reshape(-1)
    # Least squares, then once more without what is far off: a stroke that crosses the border is no paper.
    for _ in range(2):
        weights = np.linalg.lstsq(plane[kept], values[kept], rcond=None)[0]
        off = np.abs(values - plane @ weights)
        kept = border.reshape(-1) & (off <= 2 * max(1.0, float(np.median(off[border.reshape(-1)]))))
    contrast: NDArray[np.float32] = (grey - (plane @ weights).reshape(grey.shape)).astype(np.float32)
    return contrast


def _centred(weights: NDArray[np.float32], length: int) -> int:
    """Return where to begin so that the centre of mass falls on the middle, without leaving the picture."""
    centre = float((weights * np.arange(len(weights))).sum() / weights.sum()) + 0.5
    return int(np.clip(round(length / 2 - centre), 0, length - len(weights)))


def _letterbox(pixels: Images, height: int, width: int) -> Images:
    pillow, ops = _pillow()
    edges = (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])
    border = np.median(np.concatenate(edges), axis=0).astype(int)
    colour = tuple(border.tolist()) if len(border) == 3 else int(border[0])
    picture = pillow.fromarray(pixels if len(border) == 3 else pixels[..., 0])
    padded = np.asarray(ops.pad(picture, (width, height), pillow.Resampling.LANCZOS, color=colour))
    return padded.reshape(height, width, len(border))


def _pillow() -> tuple[Any, Any]:
    try:
        from PIL import Image, ImageOps
    except ModuleNotFoundError as error:
        raise MissingDependency("Pillow, which reads image files, is not installed: pip install 'edgecnn[image]'") from error
    return Image, ImageOps
