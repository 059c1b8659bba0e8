"""A folder of images by class: what is in it, its two parts, and how the files become a model's images."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convert.data_options import FolderOptions, ModelImages, read_labels
from edge.errors import ConfigError
from edge.images import image_header
from edge.splits import FileSplit, Labels, Shape

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
LABELS_NAME = "labels.txt"
TEST_SHARE = 0.2
SEED = 0
_PARTS = ("train", "test")
# A folder of these alone is taken as parts of a data set, never as classes.
_PART_NAMES = {*_PARTS, "val", "valid", "validation"}


@dataclass(frozen=True)
class Listing:
    """The files, none of them opened.

    Attributes:
        folder: The whole.
        classes: The names of the class folders of all parts, sorted.
        names: For each part, paths in `folder`, class by class and sorted in each.
        indices: For each part, int64, the class of each of these.
        test_share: Of the split, or None if the folder has parts.
        seed: Likewise.
        ignored: What else is there, without hidden files.
    """

    folder: Path
    classes: tuple[str, ...]
    names: dict[str, tuple[str, ...]]
    indices: dict[str, Labels]
    test_share: float | None
    seed: int | None
    ignored: tuple[str, ...]


@dataclass(frozen=True)
class ImageFolder:
    """The parts, each ready to be read, and what was decided for it."""

    class_names: tuple[str, ...]
    splits: dict[str, FileSplit]
    fit: str
    test_share: float | None
    seed: int | None


def load_image_folder(
    folder: Path, options: FolderOptions, model: ModelImages | None, parts: tuple[str, ...] = _PARTS
) -> ImageFolder:
    """Find the images of train/ and test/, or split those of one folder, and decide how they are read.

    Args:
        folder: It has train/ and test/ with a folder for each class, or a folder for each class.
        options: What the user says.
        model: What the model says, where there is one.
        parts: Which are wanted; a folder with test/ alone is enough for the test.

    Raises:
        ConfigError: If the folder is not one of the two, a class has no image, the sizes differ and none is given, or
            options contradict the folder or the model.
        ArtifactError: If a labels file or an image's header can't be read.
    """
    if model:
        model.require_agreement(options)
    listing = list_images(folder, options, parts)
    for part, indices in listing.indices.items():
        for number in np.setdiff1d(np.arange(len(listing.classes)), indices):
            raise ConfigError(
                f"{folder}: class {listing.classes[number]} has no image for {part}: add some, or remove the class everywhere"
            )
    ordered = ordered_classes(listing, options, model)
    numbers = np.array([ordered.index(name) for name in listing.classes])
    shape = model.shape if model else _shape(listing, options)
    fit = model.fit if model else options.fit or "letterbox"
    if fit == "digit" and shape[2] != 1:
        raise ConfigError(f"{folder} is in colour, --fit digit is for grey images: add --channels 1, or choose another fit")
    background = model.background if model else "any"
    splits = {
        part: FileSplit(folder, names, numbers[listing.indices[part]], shape, fit, background)
        for part, names in listing.names.items()
    }
    return ImageFolder(ordered, splits, fit, listing.test_share, listing.seed)


def has_parts(folder: Path, parts: Iterable[str] = _PARTS) -> bool:
    """Whether a folder of images has these parts, rather than classes that are to be split.

    Raises:
        ConfigError: If it has parts, but not these.
    """
    found = {path.name for path in _folders(folder)}
    missing = [part for part in parts if part not in found]
    if not missing:
        return True
    if found and {name.lower() for name in found} <= _PART_NAMES:
        raise ConfigError(
            f"{folder} has {_folder_names(found)}, but no {missing[0]}/: the parts are called train/ and test/; rename one, "
            f"or name a folder of classes, which is split"
        )
    return False


def split_of(options: FolderOptions) -> tuple[float, int]:
    """Return the share of the test images and the seed that choose them, where there is no test/."""
    share = TEST_SHARE if options.test_share is None else options.test_share
    return share, SEED if options.seed is None else options.seed


def list_images(folder: Path, options: FolderOptions, parts: tuple[str, ...] = _PARTS) -> Listing:
    """List the images of each part. Errors as `load_image_folder`, but a class without images is none."""
    if has_parts(folder, parts):
        if options.test_share is not None or options.seed is not None:
            raise ConfigError(f"{folder} has a test/ of its own: leave --test-share and --split-seed out")
        found = {part: _scan(folder, folder / part) for part in parts}
        classes = tuple(sorted({name for files, _ in found.values() for name in files}))
        ignored = [name for _, others in found.values() for name in others]
        ignored += [f"{path.name}/" for path in _folders(folder) if path.name not in _PARTS]
        ignored += [path.name for path in _visible(folder) if not path.is_dir() and path.name != LABELS_NAME]
        by_part = {part: files for part, (files, _) in found.items()}
        share = seed = None
    else:
        files, ignored = _scan(folder, folder)
        ignored = [name for name in ignored if name != LABELS_NAME]
        classes = tuple(files)
        share, seed = split_of(options)
        by_part = {part: names for part, names in _split(folder, files, share, seed, parts).items() if part in parts}
    if not classes:
        raise ConfigError(
            f"{folder} has neither IDX files nor a folder of images for each class: name another, docs/data.md shows both"
        )
    names = {part: tuple(name for label in classes for name in files.get(label, ())) for part, files in by_part.items()}
    indices = {
        part: np.repeat(np.arange(len(classes)), [len(files.get(label, ())) for label in classes])
        for part, files in by_part.items()
    }
    return Listing(folder, classes, names, indices, share, seed, tuple(sorted(ignored)))


def _split(
    folder: Path, files: dict[str, list[str]], share: float, seed: int, parts: tuple[str, ...]
) -> dict[str, dict[str, list[str]]]:
    """Draw the test images class by class, so that each has its share and at least one image on either side."""
    if share == 1:
        if "train" in parts:
            raise ConfigError("--test-share 1 leaves nothing to train on: give one below 1, as 0.2")
        return {"test": files}
    rng = np.random.default_rng(seed)
    split: dict[str, dict[str, list[str]]] = {"train": {}, "test": {}}
    for label, names in files.items():
        if len(names) == 1:
            raise ConfigError(f"{folder / label} has one image, for training and test it takes two: add some")
        count = min(max(round(share * len(names)), 1), len(names) - 1)
        drawn = np.zeros(len(names), bool)
        drawn[rng.permutation(len(names))[:count]] = True
        split["test"][label] = [name for name, test in zip(names, drawn, strict=True) if test]
        split["train"][label] = [name for name, test in zip(names, drawn, strict=True) if not test]
    return split


def _scan(folder: Path, root: Path) -> tuple[dict[str, list[str]], list[str]]:
    """Return the image files of each class folder in `root`, with those of its subfolders, and what else is there."""
    files: dict[str, list[str]] = {}
    others = [_name(path, folder) for path in _visible(root) if not path.is_dir()]
    for label in _folders(root):
        files[label.name] = []
        for parent, inside, names in os.walk(label):
            inside[:] = [name for name in inside if not name.startswith(".")]
            # os.walk does not follow them, and so does not come round again.
            others += [_name(Path(parent, name), folder) for name in inside if Path(parent, name).is_symlink()]
            for name in names:
                if not name.startswith("."):
                    found = files[label.name] if name.lower().endswith(SUFFIXES) else others
                    found.append(_name(Path(parent, name), folder))
        files[label.name].sort()
    return files, others


def ordered_classes(listing: Listing, options: FolderOptions, model: ModelImages | None = None) -> tuple[str, ...]:
    """Return all classes in the model's order: what the user says goes before the model, and that before the folder."""
    own = listing.folder / LABELS_NAME
    numbers = model is not None and model.class_names == tuple(map(str, range(len(model.class_names))))
    if model and not model.known and not options.labels and not own.exists() and _two_orders(listing, len(model.class_names)):
        raise ConfigError(
            f"{listing.folder} has folders that are numbers, and a model may have them as 0, 1, 2 or, as Keras sorts them, as "
            "0, 1, 10: say the model's order with --labels, a name a line"
        )
    if options.labels:
        names, origin = read_labels(options.labels), str(options.labels)
    elif model and not numbers:
        names, origin = model.class_names, "the model's classes"
    elif own.exists():
        names, origin = read_labels(own), str(own)
    elif model and set(listing.classes) <= set(model.class_names):
        names, origin = model.class_names, "the model's classes"
    else:  # As Keras's image_dataset_from_directory numbers them.
        names, origin = listing.classes, str(listing.folder)
    if model and len(names) != len(model.class_names):
        raise ConfigError(
            f"{origin} has {len(names)} class names, the model {len(model.class_names)}: give --labels, a name a line"
        )
    for label in listing.classes:
        if names.count(label) != 1:
            state = "twice in" if label in names else "not among"
            raise ConfigError(
                f"{listing.folder}: class {label} is {state} {origin} ({', '.join(names[:5])}{', ...' * (len(names) > 5)}): "
                "rename its folder, or give --labels, a name a line"
            )
    return names


def _two_orders(listing: Listing, classes: int) -> bool:
    """Tell whether the folders are numbers that count otherwise than they are sorted, here or in all that the model has."""
    found = listing.classes
    if not all(name.isdecimal() for name in found):
        return False
    return found != tuple(sorted(found, key=int)) or (max(map(int, found)) < classes and classes > 10)


def _shape(listing: Listing, options: FolderOptions) -> Shape:
    if options.size and options.channels:
        return *options.size, options.channels
    sizes, grey = set(), True
    remedy = f"remove or replace it (edgecnn data {listing.folder} lists all such files)"
    for names in listing.names.values():
        for name in names:
            height, width, is_grey = image_header(listing.folder / name, remedy)
            sizes.add((height, width))
            grey = grey and is_grey
    if not options.size and len(sizes) > 1:
        ordered = sorted(sizes, key=lambda size: (size[0] * size[1], size))
        raise ConfigError(
            f"{listing.folder} has images from {ordered[0][0]}x{ordered[0][1]} to {ordered[-1][0]}x{ordered[-1][1]} "
            "(height x width): make them one size with --size 96x96"
        )
    return *(options.size or sizes.pop()), options.channels or (1 if grey else 3)


def _folders(folder: Path) -> list[Path]:
    return [path for path in _visible(folder) if path.is_dir()]


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=lambda path: path.name)
    except OSError as error:
        raise ConfigError(f"{folder} can't be read ({error.strerror}): name another folder") from error


def _name(path: Path, folder: Path) -> str:
    name = path.relative_to(folder).as_posix()
    try:
        name.encode()
    except UnicodeEncodeError:
        shown = name.encode(errors="replace").decode()
        raise ConfigError(f"{folder} has a name that is not UTF-8 ({shown}): rename it") from None
    return name


def _folder_names(names: Iterable[str]) -> str:
    return " and ".join(f"{name}/" for name in sorted(names))
