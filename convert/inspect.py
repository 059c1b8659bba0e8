"""What is in a set of images: counts, sizes, broken files, images that are there twice, pixel values."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.data_options import NO_OPTIONS, FolderOptions
from convert.dataset import IMAGES, find, load_dataset
from convert.image_folder import Listing, list_images, ordered_classes
from edge.errors import ArtifactError
from edge.images import read_pixels
from edge.preprocess import Images
from edge.splits import chunks

_REMEDY = "replace or remove it"
_PARTS = ("train", "test")
_PIXELS = 1 << 16  # counted at a time
_SHADES = np.arange(256) / 255


@dataclass(frozen=True)
class ClassCount:
    """How many readable images of a class each part has."""

    name: str
    train: int
    test: int


@dataclass(frozen=True)
class Place:
    """One image: its part, its class, and a file's path in the folder or else its number in the part."""

    part: str
    label: str
    image: str


@dataclass(frozen=True)
class Broken:
    """An image file that can't be read, and why."""

    place: Place
    reason: str


@dataclass(frozen=True)
class Same:
    """Images with the very same pixels."""

    places: tuple[Place, ...]


@dataclass(frozen=True)
class Sizes:
    """(height, width) of the smallest, the median and the largest image by area, and how many sizes there are."""

    smallest: tuple[int, ...]
    median: tuple[int, ...]
    largest: tuple[int, ...]
    distinct: int


@dataclass(frozen=True)
class Pixels:
    """Values of the training images, each image counting the same.

    Attributes:
        lowest: Of 0 to 255.
        highest: Likewise.
        mean: Of pixel / 255, for each channel.
        std: Likewise; over all pixels, not over the images' means.
    """

    lowest: int
    highest: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Inspection:
    """What was found. Every image was decoded once.

    Attributes:
        data: What was inspected.
        test_share: Share of each class that is split off for the test; None where there is a test part.
        split_seed: Of that split; None likewise.
        classes: All of them.
        channels: 1 if every image is grey, else 3.
        sizes: None if nothing can be read.
        pixels: None if no training image can be read.
        broken: Image files that can't be read; they are in no other count.
        ignored: What is no image file, without hidden files.
        leaked: The same pixels in train and test: the accuracy on these is no evidence.
        conflicting: The same pixels under several classes.
        repeated: The same pixels twice in one part and class.
        problems: What should be mended before training, a sentence each; empty where nothing is wrong.
    """

    data: str
    test_share: float | None
    split_seed: int | None
    classes: tuple[ClassCount, ...]
    channels: int
    sizes: Sizes | None
    pixels: Pixels | None
    broken: tuple[Broken, ...]
    ignored: tuple[str, ...]
    leaked: tuple[Same, ...]
    conflicting: tuple[Same, ...]
    repeated: tuple[Same, ...]
    problems: tuple[str, ...]


def inspect_images(
    data: str | Path | None,
    options: FolderOptions = NO_OPTIONS,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Inspection:
    """Decode every image once, one at a time, and tell what there is.

    Args:
        data: As in `load_dataset`.
        options: For a folder without train/ and test/, how it is split; class names of arrays.
        on_progress: Gets how many images of how many were looked at.

    Raises:
        ConfigError: If there is no such thing, or options do not fit it.
        ArtifactError: If something else than an image file is broken.
        MissingDependency: If Pillow or TensorFlow is needed and not installed.
    """
    found = find(data)
    if found.kind == IMAGES:
        listing = list_images(found.path, options)
        files = [*listing.names["train"], *listing.names["test"]]
        ordered_classes(listing, options)  # Refuses a labels file that does not fit.
        classes, indices = listing.classes, listing.indices
        pictures = _decoded(listing)
        share, seed, ignored = listing.test_share, listing.seed, listing.ignored
    else:
        dataset = load_dataset(data, options)
        files = []
        classes, indices = dataset.class_names, {"train": dataset.train.labels, "test": dataset.test.labels}
        pictures = (image for split in (dataset.train, dataset.test) for images in chunks(split) for image in images)
        share, seed, ignored = None, None, ()
    labels = np.concatenate([indices[part] for part in _PARTS])
    training = len(indices["train"])
    seen = _Seen(len(labels))
    for number, picture in enumerate(pictures):
        seen.add(number, picture, number < training)
        on_progress(number + 1, len(labels))

    def place(number: int) -> Place:
        part, index = ("train", number) if number < training else ("test", number - training)
        return Place(part, classes[labels[number]], files[number] if files else str(index))

    def counts(part: NDArray[np.bool_]) -> list[int]:
        count: list[int] = np.bincount(labels[seen.readable & part], minlength=len(classes)).tolist()
        return count

    first = np.arange(len(labels)) < training
    counted = tuple(ClassCount(*row) for row in zip(classes, counts(first), counts(~first), strict=True))
    broken = tuple(Broken(place(number), reason) for number, reason in seen.broken.items())
    groups = [Same(tuple(place(number) for number in group)) for group in seen.groups()]
    leaked = tuple(group for group in groups if len({item.part for item in group.places}) > 1)
    conflicting = tuple(group for group in groups if len({item.label for item in group.places}) > 1)
    repeated = tuple(group for group in groups if len({(item.part, item.label) for item in group.places}) == 1)
    problems = (
        ("one class is none to tell apart", counted if len(counted) == 1 else (), "add a folder for each class"),
        ("files that can't be read", broken, "remove or replace them"),
        ("pictures in train and in test", leaked, "a test of them proves nothing, remove them from one"),
        ("pictures in several classes", conflicting, "keep each where it belongs"),
        ("classes without training images", [count for count in counted if not count.train], "add some, or remove the class"),
        ("classes without test images", [count for count in counted if not count.test], "add some, or remove the class"),
    )
    return Inspection(
        data=str(data or found.name),
        test_share=share,
        split_seed=seed,
        classes=counted,
        channels=seen.channels(),
        sizes=seen.sizes(),
        pixels=seen.pixels(),
        broken=broken,
        ignored=ignored,
        leaked=leaked,
        conflicting=conflicting,
        repeated=repeated,
        problems=tuple(f"{what}: {len(items):,}; {remedy}" for what, items, remedy in problems if items),
    )


def _decoded(listing: Listing) -> Iterator[Images | str]:
    """Give each picture in its full size, RGB or, of a grey file, one channel; or what is wrong with it."""
    for part in _PARTS:
        for name in listing.names[part]:
            path = listing.folder / name
            try:
                pixels, grey = read_pixels(path, _REMEDY)
            except ArtifactError as error:
                yield str(error).replace(f"{path} ", "").replace(f"'{path}'", "it").removesuffix(f": {_REMEDY}")
            else:
                yield pixels[..., :1] if grey else pixels


class _Seen:
    """What is kept of each image, its size and the hash of its pixels, and sums over the training images."""

    def __init__(self, count: int) -> None:
        self.readable = np.zeros(count, bool)
        self.broken: dict[int, str] = {}
        self._shapes = np.zeros((count, 3), np.int32)
        self._digests = np.zeros(count, "S16")
        self._values = np.zeros((3, 256), np.int64)
        self._moments = np.zeros((2, 3))
        self._training = 0

    def add(self, number: int, picture: Images | str, training: bool) -> None:
        if isinstance(picture, str):
            self.broken[number] = picture
            return
        self.readable[number] = True
        self._shapes[number] = picture.shape
        # A grey picture that is saved in colour is still the same picture.
        colour = picture if picture.shape[2] == 3 else picture.repeat(3, axis=2)
        self._digests[number] = hashlib.sha256(f"{colour.shape}".encode() + colour.tobytes()).digest()[:16]
        if training:
            values = _histogram(colour)
            self._values += values
            self._moments += np.stack([values @ _SHADES, values @ _SHADES**2]) / colour[..., 0].size
            self._training += 1

    def channels(self) -> int:
        return 1 if (self._shapes[self.readable, 2] == 1).all() else 3

    def sizes(self) -> Sizes | None:
        found, counts = np.unique(self._shapes[self.readable, :2], axis=0, return_counts=True)
        if not len(found):
            return None
        order = np.argsort(found.prod(axis=1, dtype=np.int64), kind="stable")
        found, counts = found[order], counts[order]
        middle = int(np.searchsorted(counts.cumsum(), counts.sum() / 2))
        smallest, median, largest = (tuple(found[index].tolist()) for index in (0, middle, -1))
        return Sizes(smallest, median, largest, len(found))

    def pixels(self) -> Pixels | None:
        if not self._training:
            return None
        mean, square = self._moments[:, : self.channels()] / self._training
        # Rounding may leave a hair below zero where all pixels are alike.
        std = np.sqrt(np.maximum(square - mean**2, 0))
        values = np.flatnonzero(self._values.any(axis=0))
        return Pixels(int(values[0]), int(values[-1]), tuple(mean.tolist()), tuple(std.tolist()))

    def groups(self) -> list[NDArray[np.int64]]:
        """Return the numbers of images that share their pixels, in the order of the first of each."""
        numbers = np.flatnonzero(self.readable)
        numbers = numbers[np.argsort(self._digests[numbers], kind="stable")]
        digests = self._digests[numbers]
        starts = np.flatnonzero(np.append(True, digests[1:] != digests[:-1])) if len(numbers) else numbers
        ends = np.append(starts[1:], len(numbers))
        several = [numbers[start:end] for start, end in zip(starts, ends, strict=False) if end - start > 1]
        return sorted(several, key=lambda group: int(group[0]))


def _histogram(picture: Images) -> NDArray[np.int64]:
    """Return how often each of the 256 values is there, for each channel; a part at a time, as counting widens them."""
    flat = picture.reshape(-1, picture.shape[2])
    counts = np.zeros((picture.shape[2], 256), np.int64)
    for start in range(0, len(flat), _PIXELS):
        for channel, values in zip(counts, flat[start : start + _PIXELS].T, strict=True):
            channel += np.bincount(values, minlength=256)
    return counts
