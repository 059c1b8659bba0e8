"""Turns an image file of any size into a model's uint8 input image, by the rule in the model's manifest."""

import math
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edgecnn.edge.data.digit import UNSTATED, Polarity, fit_digit
from edgecnn.edge.errors import ArtifactError, parsing
from edgecnn.edge.manifest import Background, Fit, Preprocessing
from edgecnn.edge.model.preprocess import Images, deep_bits, eight_bits
from edgecnn.edge.packages import load_pillow

# A JPEG is decoded to at least this many times the wanted size, so that the later resampling gives the same picture.
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
# Formats that Pillow decodes itself; for EPS, for example, it would start a program.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
# As a telephone of 50 megapixels gives: grey PNG takes 0.2 GB to read, colour 0.5, transparency 1.1; a JPEG is decoded smaller.
MOST_PIXELS = 8192 * 6144


class ImageRule(NamedTuple):
    """How pictures become a model's images.

    Attributes:
        fit: One of `edgecnn.edge.manifest.Fit`.
        background: The training images' background: `dark`, `light`, or `any` to invert nothing, the rule for training.
    """

    fit: Fit
    background: Background = "any"


def read_image(
    file: Path | bytes,
    shape: tuple[int, int, int],
    rule: ImageRule | Preprocessing,
    polarity: Polarity = UNSTATED,
    name: str | None = None,
    remedy: str = "name a PNG or JPEG file",
) -> Images:
    """Read a PNG, JPEG or other file that Pillow knows as uint8 (h, w, c), both for training and for prediction.

    The camera's orientation is applied, transparency becomes white, and colour becomes grey for a model of one channel.
    It is inverted if its border (median of the outermost pixels) is light and the training images' is dark, or the reverse.
    A picture of the model's size with that border is then used as it is, any other is fitted: docs/reference/image-files.md.

    Args:
        file: Its path, or its bytes.
        shape: (h, w, c) of the model's images, c being 1 or 3.
        rule: The model's.
        polarity: What is known of the picture's light and dark.
        name: What messages call it. Default: its path.
        remedy: End of the message about a file that can't be read.

    Raises:
        ArtifactError: If the file is missing, is not an image, or shows nothing.
        MissingDependency: If Pillow is not installed.
    """
    height, width, channels = shape
    name = name or str(file)
    target = None if rule.fit == "digit" and channels == 1 else (height, width, rule.fit)
    pixels, _ = _open(file, name, "L" if channels == 1 else "RGB", remedy, target)
    return _by_rule(pixels, (height, width), rule, name, polarity)


def fit_image(
    pixels: Images,
    shape: tuple[int, int, int],
    rule: ImageRule | Preprocessing,
    name: str = "the picture",
    polarity: Polarity = UNSTATED,
) -> Images:
    """Turn a picture in memory, such as a camera's, into uint8 (h, w, c), by the rule that `read_image` applies to files.

    Args:
        pixels: uint8 (any height, any width, 1 or 3), with colours as RGB.
        shape: (h, w, c) of the model's images, c being 1 or 3.
        rule: The model's.
        name: Name of the picture for messages.
        polarity: What is known of its light and dark.

    Raises:
        ValueError: If the dtype or shape is wrong.
        ArtifactError: If the picture shows nothing and the model reads digits.
        MissingDependency: If Pillow is not installed.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3):
        raise ValueError(f"pixels must be uint8 (height, width, 1 or 3), got {pixels.dtype} {pixels.shape}")
    height, width, channels = shape
    if channels < pixels.shape[2]:
        pixels = np.array(load_pillow().fromarray(pixels).convert("L"))[..., np.newaxis]
    elif channels > pixels.shape[2]:
        pixels = np.repeat(pixels, channels, axis=2)
    return _by_rule(pixels, (height, width), rule, name, polarity)


def read_pixels(path: Path, remedy: str) -> tuple[Images, bool]:
    """Return a picture in full size as RGB, uint8 (h, w, 3), and whether the file is grey. Errors as in `read_image`."""
    return _open(path, str(path), "RGB", remedy)


def image_header(path: Path, remedy: str) -> tuple[int, int, bool]:
    """Return height, width and whether the picture is grey, from the file's first bytes without decoding it.

    Errors are those of `read_image`. A truncated file is not noticed.
    """
    with _pictures(path, str(path), remedy) as file:
        turned = _orientation(file) in _QUARTER_TURNS
        return *(file.size if turned else file.size[::-1]), _is_grey(file)


def fitted(pixels: Images, height: int, width: int, fit: Fit) -> Images:
    """Return a picture (h, w, 1 or 3) in another size; a picture of that size is returned unchanged.

    `crop` scales and cuts out the middle, `stretch` ignores the proportions, any other rule keeps the whole picture and pads it
    with the border's colour.
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    pillow = load_pillow()
    from PIL import ImageOps  # A prediction of a picture of the model's size waits for none.

    channels = pixels.shape[2]
    picture = pillow.fromarray(pixels if channels == 3 else pixels[..., 0])
    if fit == "crop":
        picture = ImageOps.fit(picture, (width, height), pillow.Resampling.LANCZOS)
    elif fit == "stretch":
        picture = picture.resize((width, height), pillow.Resampling.LANCZOS)
    else:
        border = np.median(np.concatenate((pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])), axis=0).astype(int).tolist()
        colour = tuple(border) if channels == 3 else border[0]
        # Some releases of Pillow refuse a strip of which less than half a pixel would be left.
        scale = min(width / picture.width, height / picture.height)
        if round(scale * min(picture.size)) == 0:
            picture = picture.resize(
                (max(1, round(scale * picture.width)), max(1, round(scale * picture.height))), pillow.Resampling.LANCZOS
            )
        picture = ImageOps.pad(picture, (width, height), pillow.Resampling.LANCZOS, color=colour)
    return np.array(picture).reshape(height, width, channels)


def background(images: Images) -> Background:
    """Return `dark`, `light` or `any` by which third holds the median of the outermost pixels of images (n, h, w, c)."""
    edges = (images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1])
    median = np.median(np.concatenate([edge.reshape(-1) for edge in edges]))
    return "dark" if median < 256 / 3 else "light" if median >= 512 / 3 else "any"


def _by_rule(pixels: Images, size: tuple[int, int], rule: ImageRule | Preprocessing, name: str, polarity: Polarity) -> Images:
    fit, trained_on = rule.fit, rule.background
    border = polarity.background or background(pixels[np.newaxis])
    is_reverse = {border, trained_on} == {"dark", "light"}
    is_fitted = pixels.shape[:2] == size and (is_reverse or border == trained_on)
    if fit == "digit" and pixels.shape[2] == 1 and not is_fitted:
        return fit_digit(pixels[..., 0], *size, polarity, name)[..., np.newaxis]
    if is_reverse:
        pixels = 255 - pixels
    elif border == "any" != trained_on:
        polarity.on_doubt(
            f"{name} has a border that is neither light nor dark, and was read as on a {trained_on} background: "
            f"crop it so that its border is background alone{polarity.or_stated}"
        )
    return fitted(pixels, *size, fit)


def _open(
    file: Path | bytes, name: str, mode: str, remedy: str, target: tuple[int, int, Fit] | None = None
) -> tuple[Images, bool]:
    with _pictures(file, name, remedy) as opened:
        grey = _is_grey(opened)
        if target:
            _decode_smaller(opened, *target)
        return pil_pixels(opened, mode, name), grey


def pil_pixels(file: Any, mode: str, name: str) -> Images:
    """Return a PIL image as uint8 (h, w, 1 for `L` or 3 for `RGB`), upright; transparency becomes white."""
    pillow, bits = load_pillow(), deep_bits(file)
    file.load()
    picture = eight_bits(file, bits, name) if bits > 8 else file
    # ImageOps.exif_transpose would also write the EXIF data again, and refuse pictures whose other tags are odd.
    turn = _TURNS.get(_orientation(file))
    picture = picture.transpose(pillow.Transpose[turn]) if turn else picture
    if "A" in picture.getbands() or "transparency" in picture.info:
        picture = picture if picture.mode == "RGBA" else picture.convert("RGBA")
        white = pillow.new("RGBA", picture.size, "white")
        picture = pillow.alpha_composite(white, picture)
    # Each copy of a large picture costs memory: convert copies even if nothing changes, and np.array copies a whole picture.
    pixels = np.asarray(picture if picture.mode == mode else picture.convert(mode))
    return pixels if pixels.ndim == 3 else pixels[..., np.newaxis]


@contextmanager
def _pictures(source: Path | bytes, name: str, remedy: str) -> Iterator[Any]:
    """Open an image file with Pillow, which reads its header; what goes wrong in the block is said with the file's name."""
    pillow = load_pillow()
    if isinstance(source, Path) and source.is_dir():
        raise ArtifactError(f"{name} is a folder: name the PNG or JPEG files in it")
    if isinstance(source, Path) and not source.is_file():
        raise ArtifactError(f"{name} {'is a pipe or a device' if source.exists() else 'does not exist'}: {remedy}")
    with ExitStack() as stack:
        stack.enter_context(parsing(f"{name} is not an image that can be read", remedy))
        # Pillow warns of large pictures and odd tags on standard error, in words for programmers.
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", module=r"PIL\.")
        try:
            file = stack.enter_context(pillow.open(BytesIO(source) if isinstance(source, bytes) else source, formats=_FORMATS))
        except pillow.DecompressionBombError as error:
            raise ArtifactError(f"{name} has more than {MOST_PIXELS:,} pixels: make it smaller, or {remedy}") from error
        if file.size[0] * file.size[1] > MOST_PIXELS:
            raise ArtifactError(
                f"{name} has {file.size[0]}x{file.size[1]} pixels, more than {MOST_PIXELS:,}: make it smaller, or {remedy}"
            )
        yield file


def _decode_smaller(file: Any, height: int, width: int, fit: Fit) -> None:
    """Let libjpeg decode a JPEG at a half, a quarter or an eighth if that is still `_SPARE` times the wanted size."""
    columns, rows = file.size[::-1] if _orientation(file) in _QUARTER_TURNS else file.size
    factors = (width / columns, height / rows)
    factor = max(factors) if fit in ("crop", "stretch") else min(factors)
    if factor < 1:
        file.draft(None, tuple(math.ceil(_SPARE * factor * side) for side in file.size))


def _orientation(file: Any) -> int:
    try:
        # PngImageFile's own getexif() decodes the whole picture to look for EXIF data behind it.
        return int(load_pillow().Image.getexif(file).get(_ORIENTATION, 1))
    except Exception:  # Pillow raises what it likes for odd EXIF data; programs that show pictures pass it over.
        return 1


def _is_grey(file: Any) -> bool:
    return file.mode in ("1", "L", "LA", "La") or file.mode.startswith(("I", "F"))
