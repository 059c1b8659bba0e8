"""Varies images during training."""

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.keras.load import load_tensorflow
from edgecnn.convert.training.fit.photo_augmentation import vary_photos
from edgecnn.convert.training.recipes import Augment
from edgecnn.edge.model.preprocess import Images

# What the progress says of each.
VARIATIONS: dict[Augment, str] = {
    "photo": "as a photo, by crop, mirror image, brightness, contrast and saturation",
    "digit": "as a digit, by rotation, scale and shift",
}

# Chosen on the last 5,000 training images of MNIST, never on test images: docs/explanation/training.md.
_ROTATION_DEGREES = 10.0
_ZOOM = 0.1
_SHIFT = 2 / 28


def varied(augment: Augment, images: Images, rng: np.random.Generator) -> Images:
    """Return images uint8 (n, h, w, c), each varied as that word says; what is drawn follows from `rng` alone."""
    if augment == "photo":
        return vary_photos(images, rng)
    return vary_digits(images, rng) if augment == "digit" else images


def vary_digits(images: Images, rng: np.random.Generator) -> Images:
    """Return images uint8 (n, h, w, c), each rotated, scaled and shifted a little.

    The amounts are uniform up to 10 degrees, 10 %, and 7 % of a side. Pixels from outside repeat the border.
    """
    count, height, width, _ = images.shape
    moved = load_tensorflow().raw_ops.ImageProjectiveTransformV3(
        images=images.astype(np.float32),  # For uint8 the op would drop fractions.
        transforms=_transforms(count, height, width, rng),
        output_shape=(height, width),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )
    rounded: Images = np.rint(moved.numpy()).astype(np.uint8)
    return rounded


def _transforms(count: int, height: int, width: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return (n, 8): the transform from output to input pixels, about the middle, in the form of the TensorFlow op."""
    angle = np.deg2rad(rng.uniform(-_ROTATION_DEGREES, _ROTATION_DEGREES, count))
    scale = rng.uniform(1 - _ZOOM, 1 + _ZOOM, count)
    right, down = rng.uniform(-_SHIFT, _SHIFT, (2, count)) * np.array([[width], [height]])
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    x, y = (width - 1) / 2, (height - 1) / 2
    transforms = np.zeros((count, 8), np.float32)
    transforms[:, 0], transforms[:, 1], transforms[:, 2] = cos, -sin, x - cos * x + sin * y + right
    transforms[:, 3], transforms[:, 4], transforms[:, 5] = sin, cos, y - sin * x - cos * y + down
    return transforms
