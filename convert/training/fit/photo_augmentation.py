"""Varies photos during training: crop, mirror image, colours.

TensorFlow's operators do it for a whole batch at once, without Python's lock, so that it goes on during the training step.
"""

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.keras.load import load_tensorflow
from edgecnn.edge.model.preprocess import Images

# As Szegedy and others (Going Deeper with Convolutions, 2014) crop, but at least half of the area, not 8 %: a small
# network that is trained for a few epochs learns little from a corner of the picture.
_LEAST_AREA = 0.5
_MOST_ASPECT = 4 / 3
_BRIGHTNESS = _CONTRAST = _SATURATION = 0.2
_INSET = 1e-5
# Rec. 601 luma, as in Pillow's conversion to grey.
_LUMA = np.array([[0.299], [0.587], [0.114]], np.float32)


def vary_photos(images: Images, rng: np.random.Generator) -> Images:
    """Return photos uint8 (n, h, w, c), each cropped, mirrored by a chance of one half, and changed in its colours.

    The crop has 50 to 100 % of the area and up to 4:3 more of one side, and is scaled to the image's size. Brightness, contrast
    and saturation are each 80 to 120 %. All amounts are uniform, the logarithm of the crop's proportions too.

    Args:
        images: The photos; c is 1 or 3. Saturation changes nothing in grey ones.
        rng: Draws the amounts.
    """
    count, height, width, channels = images.shape
    tf = load_tensorflow()
    # A third of the time of the operator that rotates digits.
    cropped = tf.raw_ops.CropAndResize(
        image=images, boxes=_crops(count, rng), box_ind=np.arange(count, dtype=np.int32), crop_size=(height, width)
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


def _crops(count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return (n, 4): top, left, bottom and right of the crops in shares of the sides, left and right swapped to mirror."""
    area = rng.uniform(_LEAST_AREA, 1, count)
    aspect = np.exp(rng.uniform(-np.log(_MOST_ASPECT), np.log(_MOST_ASPECT), count))
    shares = np.minimum(np.sqrt([area / aspect, area * aspect]), 1)
    starts = rng.uniform(0, 1, (2, count)) * (1 - shares)
    # Rounding may reach beyond the last pixel, which the operator takes for black.
    (top, left), (bottom, right) = np.clip(starts, _INSET, None), np.clip(starts + shares, None, 1 - _INSET)
    mirrored = rng.random(count) < 0.5
    sides = top, np.where(mirrored, right, left), bottom, np.where(mirrored, left, right)
    return np.stack(sides, axis=1).astype(np.float32)
