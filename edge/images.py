"""An image file of any size -> the uint8 image that a model takes, by the rule that its manifest records."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
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
# A JPEG is decoded at no less than this many times the wanted size, so that the resampling that follows looks the same.
_SPARE = 3
_ORIENTATION = 0x0112
_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
_QUARTER_TURNS = (5, 6, 7, 8)
_SHADES = " ░▒▓█"


def read_image(path: Path, shape: tuple[int, int, int], preprocessing: Preprocessing) -> Images:
    """Read a PNG, JPEG or other file that Pillow knows, as uint8 (h, w, c), by the rule of a model's preprocessing.

    Errors as `read_fitted`.
    """
    return read_fitted(path, shape, preprocessing.fit, preprocessing.background)


def read_fitted(
    path: Path, shape: tuple[int, int, int], fit: str, trained_on: str = "any", remedy: str = "name a PNG or JPEG file"
) -> Images:
    """Read an image file as uint8 (h, w, c): the one code that reads images to train on and images to predict.

    The camera's orientation is applied, transparency becomes white, and colour becomes grey for a model of one channel.
    The picture is inverted if its border (median of the outermost pixels) is light and the training images' is dark, or
    the other way round. A picture of the model's size with the border of the training images is then taken as it is; any
    other is fitted. docs/image-files.md tells the whole rule.

    Args:
        path: The file.
        shape: (h, w, c) of the model's images, c being 1 or 3.
        fit: One of `edge.manifest.FITS`.
        trained_on: The training images' background: `dark`, `light`, or `any` to invert nothing.
        remedy: The end of the message about a file that can't be read.

    Raises:
        ArtifactError: If the file is missing, is no image, or shows nothing.
        MissingDependency: If Pillow is not installed.
    """
    height, width, channels = shape
    digit = fit == "digit" and channels == 1
    pixels, _ = _open(path, "L" if channels == 1 else "RGB", remedy, None if digit else (height, width, fit))
    return _by_rule(pixels, height, width, fit, trained_on, str(path))


def fit_image(pixels: Images, shape: tuple[int, int, int], preprocessing: Preprocessing, name: str = "the picture") -> Images:
    """Make a picture in memory, as a camera gives it, uint8 (h, w, c), by the rule that `read_image` has for files.

    Args:
        pixels: uint8 (any height, any width, 1 or 3), colours as RGB.
        shape: (h, w, c) of the model's images, c being 1 or 3.
        preprocessing: The model's.
        name: What messages call the picture.

    Raises:
        ValueError: If dtype or shape are others.
        ArtifactError: If the picture shows nothing, of a model that takes digits.
        MissingDependency: If Pillow is not installed.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3):
        raise ValueError(f"pixels must be uint8 (height, width, 1 or 3), got {pixels.dtype} {pixels.shape}")
    height, width, channels = shape
    if channels < pixels.shape[2]:
        pillow, _ = _pillow()
        pixels = np.array(pillow.fromarray(pixels).convert("L"))[..., np.newaxis]
    elif channels > pixels.shape[2]:
        pixels = np.repeat(pixels, channels, axis=2)
    return _by_rule(pixels, height, width, preprocessing.fit, preprocessing.background, name)


def read_pixels(path: Path, remedy: str) -> tuple[Images, bool]:
    """Return a picture in its full size as RGB, uint8 (h, w, 3), and whether the file is grey. Errors as `read_fitted`."""
    return _open(path, "RGB", remedy)


def image_header(path: Path, remedy: str) -> tuple[int, int, bool]:
    """Return height, width and whether the picture is grey from a file's first bytes, without decoding it.

    Errors as `read_fitted`. A file that is cut off is not noticed.
    """
    with _pictures(path, remedy) as file:
        turned = _orientation(file) in _QUARTER_TURNS
        return *(file.size if turned else file.size[::-1]), _is_grey(file)


def fitted(pixels: Images, height: int, width: int, fit: str) -> Images:
    """Return a picture (h, w, 1 or 3) in another size; one that has it is returned as it is.

    Args:
        pixels: uint8.
        height: Wanted.
        width: Wanted.
        fit: `crop` scales and cuts the middle out, `stretch` ignores the proportions, any other keeps the whole picture
            and pads it with the border's colour.
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    pillow, ops = _pillow()
    channels = pixels.shape[2]
    picture = pillow.fromarray(pixels if channels == 3 else pixels[..., 0])
    if fit == "crop":
        picture = ops.fit(picture, (width, height), pillow.Resampling.LANCZOS)
    elif fit == "stretch":
        picture = picture.resize((width, height), pillow.Resampling.LANCZOS)
    else:
        border = np.median(np.concatenate((pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])), axis=0).astype(int).tolist()
        colour = tuple(border) if channels == 3 else border[0]
        picture = ops.pad(picture, (width, height), pillow.Resampling.LANCZOS, color=colour)
    return np.array(picture).reshape(height, width, channels)


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


def _by_rule(pixels: Images, height: int, width: int, fit: str, trained_on: str, name: str) -> Images:
    digit = fit == "digit" and pixels.shape[2] == 1
    border = background(pixels[np.newaxis])
    if {border, trained_on} == {"dark", "light"}:
        pixels, border = 255 - pixels, trained_on
    if digit and (pixels.shape[:2] != (height, width) or border != trained_on):
        return _fit_digit(pixels[..., 0], height, width, name)[..., np.newaxis]
    return pixels if digit else fitted(pixels, height, width, fit)


def _open(path: Path, mode: str, remedy: str, target: tuple[int, int, str] | None = None) -> tuple[Images, bool]:
    pillow, _ = _pillow()
    with _pictures(path, remedy) as file:
        grey = _is_grey(file)
        if target:
            _decode_smaller(file, *target)
        file.load()
        # ImageOps.exif_transpose would also write the EXIF data anew, and refuse pictures whose other tags are odd.
        turn = _TURNS.get(file.getexif().get(_ORIENTATION))
        picture = file.transpose(pillow.Transpose[turn]) if turn else file
        if picture.mode.startswith("I"):  # 16 bits a pixel: convert() would clip at 255.
            picture = pillow.fromarray((np.asarray(picture) >> 8).clip(0, 255).astype(np.uint8))
        if "A" in picture.getbands() or "transparency" in picture.info:
            picture = picture.convert("RGBA")
            white = pillow.new("RGBA", picture.size, "white")
            picture = pillow.alpha_composite(white, picture)
        pixels = np.array(picture.convert(mode))
    return (pixels if pixels.ndim == 3 else pixels[..., np.newaxis]), grey


@contextmanager
def _pictures(path: Path, remedy: str) -> Iterator[Any]:
    """Open an image file with Pillow, which reads its header; what goes wrong in the block is said with the file's name."""
    pillow, _ = _pillow()
    if path.is_dir():
        raise ArtifactError(f"{path} is a folder: name the PNG or JPEG files in it")
    if not path.is_file():
        raise ArtifactError(f"{path} does not exist: {remedy}")
    try:
        with pillow.open(path) as file:
            yield file
    except (OSError, SyntaxError, ValueError, pillow.DecompressionBombError) as error:
        raise ArtifactError(f"{path} is not an image that Pillow reads ({error}): {remedy}") from error


def _decode_smaller(file: Any, height: int, width: int, fit: str) -> None:
    """Let libjpeg decode a JPEG at a half, a quarter or an eighth where that is still `_SPARE` times what is needed."""
    columns, rows = file.size[::-1] if _orientation(file) in _QUARTER_TURNS else file.size
    factors = (width / columns, height / rows)
    factor = max(factors) if fit in ("crop", "stretch") else min(factors)
    if factor < 1:
        file.draft(None, tuple(math.ceil(_SPARE * factor * side) for side in file.size))


def _orientation(file: Any) -> int:
    # PngImageFile's own getexif() decodes the whole picture to look for EXIF data behind it.
    pillow, _ = _pillow()
    orientation: int = pillow.Image.getexif(file).get(_ORIENTATION, 1)
    return orientation


def _is_grey(file: Any) -> bool:
    return file.mode in ("1", "L", "LA", "La") or file.mode.startswith("I")


def _fit_digit(grey: NDArray[np.uint8], height: int, width: int, name: str) -> NDArray[np.uint8]:
    pillow, _ = _pillow()
    picture = pillow.fromarray(grey)
    # Averaging down to eight times the model's size takes out a camera's noise.
    picture.thumbnail((8 * width, 8 * height), pillow.Resampling.BOX)
    contrast = _without_paper(np.asarray(picture, np.float32))
    # On grey paper the border does not tell which is ink: the side that stands out more is.
    ink = np.clip(contrast if contrast.max() >= -contrast.min() else -contrast, 0, None)
    if ink.max() < 16:
        raise ArtifactError(f"{name} shows nothing on its background: name a picture with a digit")
    ink *= 255 / ink.max()
    ink[ink < 255 * _INK_LEAST] = 0
    if np.count_nonzero(ink) > _INK_MOST * ink.size:
        raise ArtifactError(f"{name} has no even background to tell ink from: crop it to one digit on plain paper")
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


def _pillow() -> tuple[Any, Any]:
    try:
        from PIL import Image, ImageOps
    except ModuleNotFoundError as error:
        raise MissingDependency("Pillow, which reads image files, is not installed: pip install 'edgecnn[image]'") from error
    return Image, ImageOps
