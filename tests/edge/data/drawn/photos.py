"""Photos made of noise, and what people do to photos."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps


def photo(seed: int, size: tuple[int, int] = (200, 150)) -> Image.Image:
    """Return a picture whose amplitudes fall with the frequency, as those of photos do."""
    rng = np.random.default_rng(seed)
    total = np.zeros((size[1], size[0], 3), np.float32)
    for cells in (3, 6, 12, 24, 48):
        noise = rng.normal(0, 100 / cells**0.8, (cells, cells, 1)) + rng.normal(0, 30 / cells, (cells, cells, 3))
        scaled = [Image.fromarray(noise[..., channel].astype(np.float32)) for channel in range(3)]
        total += np.stack([np.asarray(one.resize(size, Image.Resampling.BICUBIC)) for one in scaled], -1)
    return Image.fromarray((128 + total).clip(0, 255).astype(np.uint8))


def compressed(picture: Image.Image, quality: int = 40) -> Image.Image:
    """Return what a JPEG of this quality shows."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file)


def cropped(picture: Image.Image, left: float, top: float, part: float = 0.9) -> Image.Image:
    """Return a part of both sides, that far from the left and the top."""
    width, height = picture.size
    x, y = round(left * width), round(top * height)
    return picture.crop((x, y, x + round(part * width), y + round(part * height)))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "compressed": compressed,
    "resized": lambda picture: picture.resize((90, 64)),
    "cropped": lambda picture: cropped(picture, 0.1, 0.02),
    "mirrored": ImageOps.mirror,
    "brighter": lambda picture: ImageEnhance.Brightness(picture).enhance(1.3),
    "of less contrast": lambda picture: ImageEnhance.Contrast(picture).enhance(0.6),
    "grey": lambda picture: picture.convert("L"),
    "all of it": lambda picture: compressed(
        ImageEnhance.Brightness(ImageOps.mirror(cropped(picture, 0.0, 0.1)).resize((120, 100))).enhance(1.1)
    ),
}


def save(picture: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
