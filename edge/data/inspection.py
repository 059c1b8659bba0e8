"""What is in a dataset: counts, sizes, broken files, duplicate images, pixel values."""

from collections.abc import Callable, Iterator, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.data.dataset import IMAGES, Dataset, find, load_dataset
from edgecnn.edge.data.folder_options import NO_OPTIONS, FolderOptions
from edgecnn.edge.data.image_file import read_pixels
from edgecnn.edge.data.image_folder import Listing, list_images, ordered_classes
from edgecnn.edge.data.seen_pictures import Pixels, SeenPictures, Sizes
from edgecnn.edge.data.splits import PARTS, Labels, Part, chunks
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.manifest import SplitOff
from edgecnn.edge.model.preprocess import Images
from edgecnn.edge.records import inlined, to_value
from edgecnn.edge.result import Result
from edgecnn.edge.text import WIDTH

_REMEDY = "replace or remove it"


@dataclass(frozen=True)
class ClassCount:
    """Number of readable images of a class in each part."""

    name: str
    train: int
    test: int


@dataclass(frozen=True)
class Place:
    """One image: its part, its class, and its path in the folder, or its number in the part if it is not a file."""

    part: Part
    label: str
    image: str


@dataclass(frozen=True)
class Broken:
    """An image file that can't be read, and why."""

    place: Place
    reason: str


@dataclass(frozen=True)
class Same:
    """Images with exactly the same pixels."""

    places: tuple[Place, ...]


@dataclass(frozen=True, repr=False)
class Inspection(Result):
    """The contents of a dataset. Every image was decoded once.

    Attributes:
        data: What was inspected.
        classes: All of them.
        channels: 1 if every image is grey, else 3.
        sizes: Image sizes; None if no image can be read.
        pixels: Pixel values; None if no training image can be read.
        broken: Image files that can't be read; no other count includes them.
        ignored: Files that are not images, except hidden ones.
        leaked: The same pixels in the training and the test part: accuracy on these proves nothing.
        conflicting: The same pixels in several classes.
        repeated: The same pixels twice in one part and class.
        problems: What should be mended before training, a sentence each; empty where nothing is wrong.
        split_off: How the test images are drawn; None where there is a test part.
    """

    data: str
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
    split_off: SplitOff | None = inlined(SplitOff)

    def to_text(self, width: int = WIDTH) -> str:
        """Return what is wrong, then what was found."""
        from edgecnn.edge.data.inspection_text import inspection_text  # noqa: PLC0415 - It imports this module.

        return inspection_text(self, width)

    def rows(self) -> list[dict[str, Any]]:
        """Return one dict per class, with its number of training and test images."""
        classes: list[dict[str, Any]] = to_value(self.classes)
        return classes


def inspect_images(
    data: str | Path | None,
    options: FolderOptions = NO_OPTIONS,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Inspection:
    """Decode every image once, one at a time, and report what the dataset holds.

    Args:
        data: A dataset, as in `load_dataset`.
        options: For a folder without train/ and test/, how to split it; class names for arrays.
        on_progress: Called with the number of images examined and their total.

    Raises:
        ConfigError: If there is no such dataset, or the options do not fit it.
        ArtifactError: If something other than an image file is broken.
        MissingDependency: If Pillow or TensorFlow is needed but not installed.
    """
    found = find(data)
    images = _images_of_folder(found.path, options) if found.kind == IMAGES else _images_of_arrays(load_dataset(data, options))
    seen = SeenPictures(len(images.labels))
    for number, picture in enumerate(images.pictures):
        seen.add(number, picture, number < images.training)
        on_progress(number + 1, len(images.labels))

    def counts(part: NDArray[np.bool_]) -> list[int]:
        labels = images.labels[seen.readable & part]
        count: list[int] = np.bincount(labels, minlength=len(images.classes)).tolist()
        return count

    first = np.arange(len(images.labels)) < images.training
    classes = tuple(ClassCount(*row) for row in zip(images.classes, counts(first), counts(~first), strict=True))
    broken = tuple(Broken(images.place(number), reason) for number, reason in seen.broken.items())
    groups = [Same(tuple(images.place(number) for number in group)) for group in seen.groups()]
    leaked = tuple(group for group in groups if len({item.part for item in group.places}) > 1)
    conflicting = tuple(group for group in groups if len({item.label for item in group.places}) > 1)
    return Inspection(
        data=str(data or found.name),
        split_off=images.split_off,
        classes=classes,
        channels=seen.channels(),
        sizes=seen.sizes(),
        pixels=seen.pixels(),
        broken=broken,
        ignored=images.ignored,
        leaked=leaked,
        conflicting=conflicting,
        repeated=tuple(group for group in groups if len({(item.part, item.label) for item in group.places}) == 1),
        problems=_problems(classes, broken, leaked, conflicting),
    )


@dataclass(frozen=True)
class _Images:
    """The images to examine, training images first.

    Attributes:
        classes: Names by label.
        labels: Class of each image, int64 (n,).
        training: Number of training images.
        pictures: Each picture in full size, or a text that says what is wrong with it.
        files: Paths in the folder; empty for arrays.
        split_off: As in `Inspection`.
        ignored: As in `Inspection`.
    """

    classes: tuple[str, ...]
    labels: Labels
    training: int
    pictures: Iterator[Images | str]
    files: tuple[str, ...] = ()
    split_off: SplitOff | None = None
    ignored: tuple[str, ...] = ()

    def place(self, number: int) -> Place:
        """Return the place of the image with this number."""
        first = number < self.training
        file = self.files[number] if self.files else str(number if first else number - self.training)
        return Place("train" if first else "test", self.classes[self.labels[number]], file)


def _images_of_folder(folder: Path, options: FolderOptions) -> _Images:
    listing = list_images(folder, options)
    ordered_classes(listing, options)  # Raises if a labels file does not fit.
    return _Images(
        classes=listing.classes,
        labels=np.concatenate([listing.indices[part] for part in PARTS]),
        training=len(listing.indices["train"]),
        pictures=_decoded(listing),
        files=(*listing.names["train"], *listing.names["test"]),
        split_off=listing.split_off,
        ignored=listing.ignored,
    )


def _images_of_arrays(dataset: Dataset) -> _Images:
    splits = (dataset.train, dataset.test)
    return _Images(
        classes=dataset.class_names,
        labels=np.concatenate([split.labels for split in splits]),
        training=len(dataset.train.labels),
        pictures=(image for split in splits for images in chunks(split) for image in images),
    )


def _problems(
    classes: tuple[ClassCount, ...], broken: tuple[Broken, ...], leaked: tuple[Same, ...], conflicting: tuple[Same, ...]
) -> tuple[str, ...]:
    found: tuple[tuple[str, Sized, str], ...] = (
        ("only one class", classes if len(classes) == 1 else (), "add a folder for each class"),
        ("files that can't be read", broken, "remove or replace them"),
        ("pictures in both train and test", leaked, "remove them from one: accuracy on them proves nothing"),
        ("pictures in several classes", conflicting, "keep each in the right class only"),
        ("classes without training images", [count for count in classes if not count.train], "add images, or remove the class"),
        ("classes without test images", [count for count in classes if not count.test], "add images, or remove the class"),
    )
    return tuple(f"{what}: {len(items):,}; {remedy}" for what, items, remedy in found if items)


def _decoded(listing: Listing) -> Iterator[Images | str]:
    """Yield each picture in full size, RGB or one channel if grey; or a text that says what is wrong with it."""
    for part in PARTS:
        for name in listing.names[part]:
            path = listing.folder / name
            try:
                pixels, grey = read_pixels(path, _REMEDY)
            except ArtifactError as error:
                yield str(error).replace(f"{path} ", "").replace(f"'{path}'", "it").removesuffix(f": {_REMEDY}")
            else:
                yield pixels[..., :1] if grey else pixels
