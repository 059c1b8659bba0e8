"""Varies images during training: shifts and turns of drawings; crop, colours and, if asked, mirror image of photos."""

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.keras.load import load_tensorflow
from edgecnn.convert.training.recipes import Augment
from edgecnn.edge.model.preprocess import Images

# As Szegedy and others (Going Deeper with Convolutions, 2014) crop, but at least half of the area, not 8 %: a small
# network that is trained for a few epochs learns little from a corner of the picture.
_LEAST_AREA = 0.5
_MOST_ASPECT = 4 / 3
_BRIGHTNESS = _CONTRAST = _SATURATION = 0.2
_INSET = 1e-5
# Rec. 601 luma, as in Pillow's conversion to grey.
_LUMA = np.array([[0.299], [0.587], [0.114]], np.float32)


def vary_photos(images: Images, rng: np.random.Generator, mirror: bool = False) -> Images:
    """Return photos uint8 (n, h, w, c), each cropped and changed in its colours; `mirror` mirrors each by a chance of one half.

    The crop has 50 to 100 % of the area and up to 4:3 more of one side, and is scaled to the image's size. Brightness, contrast
    and saturation are each 80 to 120 %. All amounts are uniform, the logarithm of the crop's proportions too. Saturation
    changes nothing in grey photos, whose c is 1.
    """
    count, height, width, channels = images.shape
    tf = load_tensorflow()
    # A third of the time of the operator that rotates digits.
    cropped = tf.raw_ops.CropAndResize(
        image=images, boxes=_crops(count, rng, mirror), box_ind=np.arange(count, dtype=np.int32), crop_size=(height, width)
    )
    pixels = tf.reshape(cropped, (count, height * width, channels))
    luma = _LUMA if channels == 3 else np.ones((channels, 1), np.float32) / channels
    brightness, contrast, saturation = (
        rng.uniform(1 - most, 1 + most, (count, 1, 1)).astype(np.float32) for most in (_BRIGHTNESS, _CONTRAST, _SATURATION)
    )
    # They mix the pixel with black, with the image's mean grey and with the pixel's own grey: together they are linear.
    mixed = brightness * contrast * (saturation * np.eye(channels, dtype=np.float32) + (1 - saturation) * luma)
    grey = tf.reduce_mean(pixels, axis=1, keepdims=True) @ luma
    coloured = pixels @ mixed + (brightness * (1 - contrast) * grey + 0.5)
    # The cast cuts off what the half has rounded.
    varied: Images = tf.reshape(tf.cast(tf.clip_by_value(coloured, 0.0, 255.0), tf.uint8), images.shape).numpy()
    return varied


def _crops(count: int, rng: np.random.Generator, mirror: bool) -> NDArray[np.float32]:
    """Return (n, 4): top, left, bottom and right of the crops in shares of the sides, left and right swapped to mirror."""
    area = rng.uniform(_LEAST_AREA, 1, count)
    aspect = np.exp(rng.uniform(-np.log(_MOST_ASPECT), np.log(_MOST_ASPECT), count))
    shares = np.minimum(np.sqrt([area / aspect, area * aspect]), 1)
    starts = rng.uniform(0, 1, (2, count)) * (1 - shares)
    # Rounding may reach beyond the last pixel, which the operator takes for black.
    (top, left), (bottom, right) = np.clip(starts, _INSET, None), np.clip(starts + shares, None, 1 - _INSET)
    mirrored = mirror & (rng.random(count) < 0.5)
    sides = top, np.where(mirrored, right, left), bottom, np.where(mirrored, left, right)
    return np.stack(sides, axis=1).astype(np.float32)


# What is said of each.
VARIATIONS: dict[Augment, str] = {
    "photo": "as a photo, by crop, brightness, contrast and saturation",
    "photo-mirror": "as a photo, by crop, mirror image, brightness, contrast and saturation",
    "digit": "as a digit, by rotation, scale and shift",
}


def variation_notes(augment: Augment) -> list[str]:
    """Return how training varies images by that word, a sentence each; nothing if it does not."""
    if augment not in VARIATIONS:
        return []
    notes = [f"Each training image is varied, differently in each epoch: {VARIATIONS[augment]}"]
    if augment == "photo":
        notes.append("No mirror images are made: the variation photo-mirror adds them, if they show the same class")
    return notes


# Chosen on the last 5,000 training images of MNIST, never on test images: docs/explanation/training.md.
_ROTATION_DEGREES = 10.0
_ZOOM = 0.1
_SHIFT = 2 / 28


def varied(augment: Augment, images: Images, rng: np.random.Generator) -> Images:
    """Return images uint8 (n, h, w, c), each varied as that word says; what is drawn follows from `rng` alone."""
    if augment in ("photo", "photo-mirror"):
        return vary_photos(images, rng, mirror=augment == "photo-mirror")
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
