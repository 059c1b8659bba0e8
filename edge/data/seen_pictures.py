"""What is kept of each examined picture, and the totals over all."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.model.preprocess import Images

_PIXELS = 1 << 16  # Pixels counted at a time.
_SHADES = np.arange(256) / 255


@dataclass(frozen=True)
class Sizes:
    """(height, width) of the smallest, the median and the largest image by area, and the number of different sizes."""

    smallest: tuple[int, ...]
    median: tuple[int, ...]
    largest: tuple[int, ...]
    distinct: int


@dataclass(frozen=True)
class Pixels:
    """Pixel values of the training images; every image has the same weight.

    Attributes:
        lowest: Lowest value, 0 to 255.
        highest: Highest value, 0 to 255.
        mean: Mean of pixel / 255, per channel.
        std: Standard deviation of pixel / 255, per channel, over all pixels and not over the images' means.
    """

    lowest: int
    highest: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


class SeenPictures:
    """The size and pixel hash of each image, and sums over the training images."""

    def __init__(self, count: int) -> None:
        self.readable = np.zeros(count, bool)
        self.broken: dict[int, str] = {}
        self._shapes = np.zeros((count, 3), np.int32)
        self._digests = np.zeros(count, "S16")
        self._values = np.zeros((3, 256), np.int64)
        self._moments = np.zeros((2, 3))
        self._training = 0

    def add(self, number: int, picture: Images | str, training: bool) -> None:
        """Add the picture with this number, or what is wrong with it."""
        if isinstance(picture, str):
            self.broken[number] = picture
            return
        self.readable[number] = True
        self._shapes[number] = picture.shape
        # A grey picture saved in colour is still the same picture.
        colour = picture if picture.shape[2] == 3 else picture.repeat(3, axis=2)
        self._digests[number] = hashlib.sha256(f"{colour.shape}".encode() + colour.tobytes()).digest()[:16]
        if training:
            values = _histogram(colour)
            self._values += values
            self._moments += np.stack([values @ _SHADES, values @ _SHADES**2]) / colour[..., 0].size
            self._training += 1

    def channels(self) -> int:
        """Return 1 if every picture is grey, else 3."""
        return 1 if (self._shapes[self.readable, 2] == 1).all() else 3

    def sizes(self) -> Sizes | None:
        """Return the sizes of the readable pictures; None if no picture is readable."""
        found, counts = np.unique(self._shapes[self.readable, :2], axis=0, return_counts=True)
        if not len(found):
            return None
        order = np.argsort(found.prod(axis=1, dtype=np.int64), kind="stable")
        found, counts = found[order], counts[order]
        middle = int(np.searchsorted(counts.cumsum(), counts.sum() / 2))
        smallest, median, largest = (tuple(found[index].tolist()) for index in (0, middle, -1))
        return Sizes(smallest, median, largest, len(found))

    def pixels(self) -> Pixels | None:
        """Return the pixel values of the training pictures; None if no training picture is readable."""
        if not self._training:
            return None
        mean, square = self._moments[:, : self.channels()] / self._training
        # Rounding may give slightly less than zero if all pixels are equal.
        std = np.sqrt(np.maximum(square - mean**2, 0))
        values = np.flatnonzero(self._values.any(axis=0))
        return Pixels(int(values[0]), int(values[-1]), tuple(mean.tolist()), tuple(std.tolist()))

    def groups(self) -> list[NDArray[np.int64]]:
        """Return groups of image numbers with the same pixels, in the order of the first of each group."""
        numbers = np.flatnonzero(self.readable)
        numbers = numbers[np.argsort(self._digests[numbers], kind="stable")]
        digests = self._digests[numbers]
        starts = np.flatnonzero(np.append(True, digests[1:] != digests[:-1])) if len(numbers) else numbers
        ends = np.append(starts[1:], len(numbers))
        several = [numbers[start:end] for start, end in zip(starts, ends, strict=False) if end - start > 1]
        return sorted(several, key=lambda group: int(group[0]))


def _histogram(picture: Images) -> NDArray[np.int64]:
    """Return the count of each of the 256 values per channel; counted in parts, since counting widens the pixels."""
    flat = picture.reshape(-1, picture.shape[2])
    counts = np.zeros((picture.shape[2], 256), np.int64)
    for start in range(0, len(flat), _PIXELS):
        for channel, values in zip(counts, flat[start : start + _PIXELS].T, strict=True):
            channel += np.bincount(values, minlength=256)
    return counts
