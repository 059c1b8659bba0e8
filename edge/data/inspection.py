"""What is in a dataset: counts, sizes, broken files, duplicate images, pixel values."""

from collections.abc import Iterator, Sized
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.data.dataset import IMAGES, Dataset, find, load_dataset, unread_pictures
from edgecnn.edge.data.folder_options import NO_OPTIONS, FolderOptions
from edgecnn.edge.data.image_file import read_pixels
from edgecnn.edge.data.image_folder import VALIDATION_NAMES, Listing, list_images, ordered_classes
from edgecnn.edge.data.near_duplicates import comparable, near_groups
from edgecnn.edge.data.pixel_digests import Pixels, SeenPictures, Sizes
from edgecnn.edge.data.splits import Labels, Part, Split, chunks
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.manifest import SplitOff
from edgecnn.edge.model.preprocess import Images
from edgecnn.edge.model.preprocess import counts as class_counts
from edgecnn.edge.records import inlined, to_value
from edgecnn.edge.result import SILENT, Progress, Result

_REMEDY = "replace or remove it"
# A class may well be called train.
_LIKE_PARTS = ("test", "testing", "training", *VALIDATION_NAMES)


@dataclass(frozen=True)
class ClassCount:
    """Number of readable images of a class in each part; `val` is None if there are no validation images."""

    name: str
    train: int
    test: int
    val: int | None = None


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
        leaked: The same pixels in several parts: accuracy on these proves nothing.
        conflicting: The same pixels in several classes.
        repeated: The same pixels twice in one part and class.
        near: Near-duplicates, not all of the same pixels: in several parts, or anywhere in a folder that is split.
        compared: Number of images among which these were looked for: of at least 32x32 pixels, and at most 100,000.
        problems: What should be mended before training, a sentence each; empty where nothing is wrong.
        split_off: How the test images are drawn; None where there is a test part.
        val_share: Share of each class's training images that are drawn as validation images; None if none are drawn.
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
    val_share: float | None = None
    near: tuple[Same, ...] = ()
    compared: int = 0

    def rows(self) -> list[dict[str, Any]]:
        """Return one dict per class, with its number of images in each part."""
        return [to_value(count) for count in self.classes]


def inspect_images(data: str | Path | None, options: FolderOptions = NO_OPTIONS, progress: Progress = SILENT) -> Inspection:
    """Decode every image once, one at a time, and report what the dataset holds.

    Args:
        data: A dataset, as in `load_dataset`.
        options: For a folder without train/ and test/, how to split it; class names for arrays; the share for validation.
        progress: Receives the number of images examined, and the search for near-duplicates.

    Raises:
        ConfigError: If there is no such dataset, or the options do not fit it.
        ArtifactError: If something other than an image file is broken.
        MissingDependency: If Pillow or TensorFlow is needed but not installed.
    """
    found = find(data)
    in_folder = found.kind == IMAGES
    images = _images_of_folder(found.path, options, progress) if in_folder else _images_of_arrays(load_dataset(data, options))
    seen = SeenPictures(len(images.labels))
    for number, picture in enumerate(images.pictures):
        seen.add(number, picture, number < images.parts["train"])
        progress.step(number + 1, len(images.labels), "examining images")

    classes = _counts(images, seen.readable)
    broken = tuple(Broken(images.place(number), reason) for number, reason in seen.broken.items())
    groups = [Same(tuple(images.place(number) for number in group)) for group in seen.groups()]
    leaked = tuple(group for group in groups if len({item.part for item in group.places}) > 1)
    conflicting = tuple(group for group in groups if len({item.label for item in group.places}) > 1)
    near = _near(images, seen, progress)
    near_leaked = tuple(group for group in near if {"test"} < {item.part for item in group.places})
    return Inspection(
        near=near,
        compared=int(comparable(seen.thumbnails, seen.large).sum()),
        data=str(data or found.name),
        split_off=images.split_off,
        val_share=options.drawn_share,
        classes=classes,
        channels=seen.channels(),
        sizes=seen.sizes(),
        pixels=seen.pixels(),
        broken=broken,
        ignored=images.ignored,
        leaked=leaked,
        conflicting=conflicting,
        repeated=tuple(group for group in groups if len({(item.part, item.label) for item in group.places}) == 1),
        problems=_problems(classes, broken, leaked, near_leaked, conflicting, images.ignored),
    )


def _near(images: "_Images", seen: SeenPictures, progress: Progress) -> tuple[Same, ...]:
    """Return near-duplicates in several parts, or anywhere in a folder that is split, which keeps them together."""
    groups = images.together
    if groups is None:
        parts = None if images.split_off and images.split_off.test_share < 1 else images.part_numbers()
        on_progress = partial(progress.step, text="looking for near-duplicates")
        groups = near_groups(seen.thumbnails, seen.large, on_progress, parts)
    return tuple(Same(tuple(images.place(number) for number in group)) for group in seen.differing(groups))


@dataclass(frozen=True)
class _Images:
    """The images to examine, part by part and training images first.

    Attributes:
        classes: Names by label.
        labels: Class of each image, int64 (n,).
        parts: Number of images in each part.
        pictures: Each picture in full size, or a text that says what is wrong with it.
        files: Paths in the folder; empty for arrays.
        split_off: As in `Inspection`.
        ignored: As in `Inspection`.
        together: Near-duplicates that the split has found, as numbers of images; None if it did not look for them.
    """

    classes: tuple[str, ...]
    labels: Labels
    parts: dict[Part, int]
    pictures: Iterator[Images | str]
    files: tuple[str, ...] = ()
    split_off: SplitOff | None = None
    ignored: tuple[str, ...] = ()
    together: list[NDArray[np.int64]] | None = None

    def part_numbers(self) -> NDArray[np.int64]:
        """Return the number of each image's part, int64 (n,)."""
        return np.repeat(np.arange(len(self.parts)), list(self.parts.values()))

    def place(self, number: int) -> Place:
        """Return the place of the image with this number."""
        starts = np.cumsum([0, *self.parts.values()])
        at = int(np.searchsorted(starts, number, "right")) - 1
        file = self.files[number] if self.files else str(number - starts[at])
        return Place([*self.parts][at], self.classes[self.labels[number]], file)


def _images_of_folder(folder: Path, options: FolderOptions, progress: Progress) -> _Images:
    listing = list_images(folder, options, progress=progress)
    classes = ordered_classes(listing, options)
    numbers = np.array([classes.index(name) for name in listing.classes])
    files = tuple(name for names in listing.names.values() for name in names)
    place = {name: number for number, name in enumerate(files)}
    together = None
    if listing.together is not None:
        together = [np.sort([place[name] for name in group]) for group in listing.together]
    return _Images(
        classes=classes,
        labels=numbers[np.concatenate([listing.indices[part] for part in listing.names])],
        parts={part: len(names) for part, names in listing.names.items()},
        pictures=_decoded(listing),
        files=files,
        split_off=listing.split_off,
        ignored=listing.ignored,
        together=together,
    )


def _images_of_arrays(dataset: Dataset) -> _Images:
    splits: dict[Part, Split] = {"train": dataset.train, "test": dataset.test}
    if dataset.val:
        splits["val"] = dataset.val
    return _Images(
        classes=dataset.class_names,
        labels=np.concatenate([split.labels for split in splits.values()]),
        parts={part: len(split.labels) for part, split in splits.items()},
        pictures=(image for split in splits.values() for images in chunks(split) for image in images),
    )


def _counts(images: _Images, readable: NDArray[np.bool_]) -> tuple[ClassCount, ...]:
    """Return the number of readable images of each class in each part."""
    parts, counts = images.part_numbers(), dict[Part, list[int]]()
    for number, part in enumerate(images.parts):
        counts[part] = class_counts(images.labels[readable & (parts == number)], len(images.classes)).tolist()
    return tuple(
        ClassCount(name, **{part: of_part[label] for part, of_part in counts.items()})
        for label, name in enumerate(images.classes)
    )


def _problems(
    classes: tuple[ClassCount, ...],
    broken: tuple[Broken, ...],
    leaked: tuple[Same, ...],
    near_leaked: tuple[Same, ...],
    conflicting: tuple[Same, ...],
    ignored: tuple[str, ...],
) -> tuple[str, ...]:
    like_parts = [count for count in classes if count.name.lower() in _LIKE_PARTS]
    found: tuple[tuple[str, Sized, str], ...] = (
        ("only one class", classes if len(classes) == 1 else (), "add a folder for each class"),
        ("classes named like a part of a dataset", like_parts, "call the parts train/, test/ and val/, or rename the class"),
        ("files that can't be read", broken, "remove or replace them"),
        ("pictures of a kind that is not read", unread_pictures(ignored), "save them as JPEG or PNG"),
        (f"pictures in {several_parts(classes)}", leaked, "remove them from one: accuracy on them proves nothing"),
        (f"groups of near-duplicates in {several_parts(classes)}", near_leaked, "keep each in one: accuracy proves little"),
        ("pictures in several classes", conflicting, "keep each in the right class only"),
        ("classes without training images", [count for count in classes if not count.train], "add images, or remove the class"),
        ("classes without test images", [count for count in classes if not count.test], "add images, or remove the class"),
        ("classes without validation images", [item for item in classes if item.val == 0], "add images, or remove the class"),
    )
    return tuple(f"{what}: {len(items):,}; {remedy}" for what, items, remedy in found if items)


def several_parts(classes: tuple[ClassCount, ...]) -> str:
    """Return words for the parts that should have no picture in common."""
    return "both train and test" if classes[0].val is None else "several of train, val and test"


def _decoded(listing: Listing) -> Iterator[Images | str]:
    """Yield each picture in full size, RGB or one channel if grey; or a text that says what is wrong with it."""
    for names in listing.names.values():
        for name in names:
            path = listing.folder / name
            try:
                pixels, grey = read_pixels(path, _REMEDY)
            except ArtifactError as error:
                yield str(error).replace(f"{path} ", "").replace(f"'{path}'", "it").removesuffix(f": {_REMEDY}")
            else:
                yield pixels[..., :1] if grey else pixels
