"""A folder of images by class: its contents, its parts, and how the files become a model's images."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.data import near_duplicates
from edgecnn.edge.data.folder_options import FolderOptions, ModelImages, read_labels, read_lines
from edgecnn.edge.data.image_file import image_header
from edgecnn.edge.data.splits import PARTS, FileSplit, Labels, Part, Shape, drawn_evenly
from edgecnn.edge.errors import ConfigError, field, parsing
from edgecnn.edge.manifest import Fit, SplitOff
from edgecnn.edge.result import SILENT, Progress
from edgecnn.edge.text import counted, has_controls

_PHOTOS = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp")
SUFFIXES = (*_PHOTOS, ".bmp", ".gif", ".tif", ".tiff", ".apng", ".ppm", ".pgm", ".pnm")
UNREAD = (".heic", ".heif", ".avif", ".jxl", ".dng")
"""Phones and cameras write them, and they are not read."""
LABELS_NAME = "labels.txt"
VALIDATION_NAMES = ("val", "valid", "validation")
# A manifest, which repeats the list of test images, has at most 16 MiB.
_MOST_LIST_BYTES = 2**22
ROUND_SIDES = (16, 24, 32, 48, 64, 96)
_LARGEST_OWN = 128
# A folder with only these is read as the parts of a dataset, never as classes.
_PART_NAMES = {*PARTS, *VALIDATION_NAMES, "training", "testing"}


@dataclass(frozen=True)
class Listing:
    """The files of a folder of images; none is opened.

    Attributes:
        folder: The whole.
        classes: The names of the class folders of all parts, sorted.
        names: For each part, paths in `folder`, class by class and sorted in each.
        indices: For each part, int64, the class of each of these.
        split_off: How the test images are drawn; None if the folder has parts, or a list names them.
        ignored: What else is there, without hidden files.
        listed: Parts whose images a list names, or of which near-duplicates changed which are drawn.
        together: Groups of near-duplicates that the draw kept on one side, by name; None if none were looked for.
    """

    folder: Path
    classes: tuple[str, ...]
    names: dict[Part, tuple[str, ...]]
    indices: dict[Part, Labels]
    split_off: SplitOff | None
    ignored: tuple[str, ...]
    listed: tuple[Part, ...] = ()
    together: tuple[tuple[str, ...], ...] | None = None

    def drawn(
        self, part: Literal["test", "val"], share: float, seed: int, groups: Sequence[NDArray[np.int64]] | None = None
    ) -> "Listing":
        """Move a share of each class's training images to another part. Arguments and errors are those of `drawn_evenly`."""
        together = self.together
        if groups is not None and part == "test":
            together = tuple(tuple(self.names["train"][place] for place in group) for group in groups)
        indices, named = self.indices["train"], [f"{label} of {self.folder}" for label in self.classes]
        chosen = drawn_evenly(indices, part, share, seed, named, groups or ())
        changed = bool(groups) and not np.array_equal(chosen, drawn_evenly(indices, part, share, seed, named))
        return replace(self.moved(part, chosen, changed), together=together)

    def tested(self, named: Path | tuple[str, ...]) -> "Listing":
        """Make the images that a list names test images.

        Raises:
            ArtifactError: If the list can't be read.
            ConfigError: If it is empty, or names what is no image of the folder.
        """
        read = read_lines(named, "test images", _MOST_LIST_BYTES) if isinstance(named, Path) else named
        wanted = {Path(name).as_posix() for name in read}  # ./cat/1.jpg is cat/1.jpg.
        chosen = np.array([name in wanted for name in self.names["train"]], bool)
        origin = named if isinstance(named, Path) else field("test_list")
        if missing := sorted(wanted - {*self.names["train"]}):
            raise ConfigError(
                f"{origin} names {counted(missing, 'file')} not among the images in the class folders of {self.folder}, "
                f"such as {missing[0]}: give paths relative to the folder, as in cat/1.jpg"
            )
        if not wanted:
            raise ConfigError(f"{origin} names no test image: give one path per line, relative to {self.folder}")
        return self.moved("test", chosen, True)

    def validated(self, options: FolderOptions, progress: Progress) -> "Listing":
        """Make a share of each class's training images validation images, or those that a record names.

        Near-duplicates stay on one side: a model that learned one knows the other, and an epoch or a network would be chosen by
        that.

        Raises:
            ConfigError: If a class has only one training image.
        """
        names = self.names["train"]
        wanted = {*(options.val_list or ())}
        if wanted and wanted <= {*names}:
            return self.moved("val", np.array([name in wanted for name in names], bool), True)
        groups: Sequence[NDArray[np.int64]] | None = None
        if self.together is not None and options.val_list != ():  # As a record has it, if nothing changed the draw.
            place = {name: number for number, name in enumerate(names)}
            left = ([place[name] for name in group if name in place] for group in self.together)
            groups = [np.array(group) for group in left if len(group) > 1]
        elif options.keep_together is not False and options.val_list != ():
            groups = near_duplicates.in_folder(self.folder, names, progress)
        return self.drawn("val", options.drawn_share or 0, options.seed, groups)

    def moved(self, part: Part, chosen: NDArray[np.bool_], listed: bool) -> "Listing":
        """Move training images (n,) to another part; `listed` if no share and seed alone give them."""
        names, indices = self.names["train"], self.indices["train"]
        kept, taken = (tuple(names[place] for place in np.flatnonzero(places)) for places in (~chosen, chosen))
        return replace(
            self,
            names={**self.names, "train": kept, part: taken},
            indices={**self.indices, "train": indices[~chosen], part: indices[chosen]},
            listed=(*self.listed, part) if listed else self.listed,
        )

    def only(self, parts: Iterable[Part]) -> "Listing":
        """Return a copy with these parts alone."""
        return replace(
            self,
            names={part: self.names[part] for part in parts},
            indices={part: self.indices[part] for part in parts},
        )


@dataclass(frozen=True)
class ImageFolder:
    """The parts, each ready to be read, the settings chosen for them, what else is in the folder, and `Dataset.sized`."""

    class_names: tuple[str, ...]
    splits: dict[Part, FileSplit]
    fit: Fit
    split_off: SplitOff | None
    ignored: tuple[str, ...]
    sized: str = ""


def load_image_folder(
    folder: Path,
    options: FolderOptions,
    model: ModelImages | None,
    parts: tuple[Part, ...] = PARTS,
    progress: Progress = SILENT,
) -> ImageFolder:
    """Find the images of train/, test/ and perhaps val/, or split those of one folder, and choose how they are read.

    Args:
        folder: A folder with train/ and test/, each with one folder per class; or a folder with one folder per class.
        options: The user's options.
        model: The model's settings, if there is a model.
        parts: The wanted parts; a folder with only test/ is enough for testing. With train come the validation images, if any.
        progress: Receives the search for near-duplicates before a folder is split.

    Raises:
        ConfigError: If the folder is neither of the two, a class has no image, or the options contradict the folder or the
            model.
        ArtifactError: If a labels file or an image's header can't be read.
    """
    if model:
        model.require_agreement(options)
    listing = list_images(folder, options, parts, progress)
    for part, indices in listing.indices.items():
        for number in np.setdiff1d(np.arange(len(listing.classes)), indices):
            raise ConfigError(
                f"{folder}: class {listing.classes[number]} has no image for {part}: add some, or remove the class everywhere"
            )
    ordered = ordered_classes(listing, options, model)
    numbers = np.array([ordered.index(name) for name in listing.classes])
    shape, sized = (model.shape, "") if model else _shape(listing, options)
    fit = model.fit if model else options.fit or "letterbox"
    if fit == "digit" and shape[2] != 1:
        raise ConfigError(
            f"{folder} has colours, but {field('fit')}=digit needs grey: add {field('channels')}=1, or choose another fit"
        )
    background = model.background if model else "any"
    splits = {
        part: FileSplit(folder, names, numbers[listing.indices[part]], shape, fit, background, part in listing.listed)
        for part, names in listing.names.items()
    }
    return ImageFolder(ordered, splits, fit, listing.split_off, listing.ignored, sized)


def has_parts(folder: Path, parts: Iterable[Part] = PARTS) -> bool:
    """Return whether a folder of images has these parts, rather than classes to split.

    Raises:
        ConfigError: If it has other parts.
    """
    found = {path.name for path in _folders(folder)}
    missing = [part for part in parts if part not in found]
    if not missing:
        return True
    if found and {name.lower() for name in found} <= _PART_NAMES:
        raise ConfigError(
            f"{folder} has {_folder_names(found)}, but no {missing[0]}/: the parts are called train/, test/ and val/; rename "
            "one, or name a folder of classes, which edgecnn splits"
        )
    if "test" in found:
        raise ConfigError(f"{folder} has a test/ among its classes, where test images would be looked for: rename it")
    return False


def validation_folder(folder: Path) -> str | None:
    """Return the name of the folder of validation images in a folder with parts; None without one.

    Raises:
        ConfigError: If there are several.
    """
    found = [path.name for path in _folders(folder) if path.name in VALIDATION_NAMES]
    if len(found) > 1:
        raise ConfigError(f"{folder} has {_folder_names(found)}: keep one for the validation images")
    return found[0] if found else None


def list_images(folder: Path, options: FolderOptions, parts: tuple[Part, ...] = PARTS, progress: Progress = SILENT) -> Listing:
    """List the images of each part. Arguments and errors are those of `load_image_folder`, except that a class may be empty."""
    split_off = None
    by_part: dict[Part, dict[str, list[str]]]
    if has_parts(folder, parts):
        if options.test_share is not None or (options.split_seed is not None and options.drawn_share is None):
            raise ConfigError(f"{folder} has its own test/: omit {field('test_share')} and {field('split_seed')}")
        if options.test_list is not None:
            raise ConfigError(f"{folder} has its own test/: omit {field('test_list')}")
        own = validation_folder(folder) if "train" in parts else None
        if own and options.drawn_share is not None:
            raise ConfigError(f"{folder} has its own {own}/: omit {field('val_share')}")
        roots: dict[Part, str] = {part: part for part in parts} | ({"val": own} if own else {})
        found = {part: _scan(folder, folder / name) for part, name in roots.items()}
        classes = tuple(sorted({name for files, _ in found.values() for name in files}))
        ignored = [name for _, others in found.values() for name in others]
        ignored += [f"{path.name}/" for path in _folders(folder) if path.name not in {*PARTS, own}]
        ignored += [path.name for path in _visible(folder) if not path.is_dir() and path.name != LABELS_NAME]
        by_part = {part: files for part, (files, _) in found.items()}
    else:
        files, ignored = _scan(folder, folder)
        ignored = [name for name in ignored if name != LABELS_NAME]
        classes = tuple(files)
        split_off = options.split_off()
        by_part = {"test" if split_off and split_off.test_share == 1 else "train": files}
    if not classes:
        raise ConfigError(
            f"{folder} has neither IDX files nor a folder of images for each class: name one with a folder a class, as in "
            "cat/1.jpg, or with train/ and test/ that have such folders"
        )
    for label in classes:
        if has_controls(label):
            raise ConfigError(f"{folder}: the class name {label} has control characters: rename its folder")
    names = {part: tuple(name for label in classes for name in files.get(label, ())) for part, files in by_part.items()}
    indices = {
        part: np.repeat(np.arange(len(classes)), [len(files.get(label, ())) for label in classes])
        for part, files in by_part.items()
    }
    listing = Listing(folder, classes, names, indices, split_off, tuple(sorted(ignored)))
    if options.test_list is not None:
        listing = listing.tested(options.test_list).only(parts)
    elif split_off and split_off.test_share < 1:
        groups = None if options.keep_together is False else near_duplicates.in_folder(folder, listing.names["train"], progress)
        listing = listing.drawn("test", split_off.test_share, options.seed, groups).only(parts)
    elif split_off and "train" in parts:
        raise ConfigError(f"{field('test_share')}=1 leaves no training images: give a share below 1, for example 0.2")
    if options.drawn_share is not None and "train" in parts:
        listing = listing.validated(options, progress)
    return listing


def _scan(folder: Path, root: Path) -> tuple[dict[str, list[str]], list[str]]:
    """Return the image files of each class folder in `root`, including its subfolders, and everything else found there."""
    files: dict[str, list[str]] = {}
    others = [_name(path, folder) for path in _visible(root) if not path.is_dir()]
    for label in _folders(root):
        files[label.name] = []
        for path in walked(label):
            is_image = path.name.lower().endswith(SUFFIXES) and not path.is_dir()
            (files[label.name] if is_image else others).append(_name(path, folder))
        files[label.name].sort()
    return files, others


def walked(folder: Path, into_links: bool = False) -> Iterator[Path]:
    """Yield what is in a folder, sorted, and then in its subfolders, except what is hidden; of folders, only links to them.

    Links are not followed, so that this can't loop; with `into_links` those in the folder itself that lead out of it are.

    Raises:
        ConfigError: If a folder can't be read.
    """
    found = _visible(folder)
    whole = folder.resolve()
    inside = {
        path: None
        for path in found
        if path.is_dir() and (not path.is_symlink() or (into_links and not path.resolve().is_relative_to(whole)))
    }
    yield from (path for path in found if path not in inside)
    for path in inside:
        yield from walked(path)


def ordered_classes(listing: Listing, options: FolderOptions, model: ModelImages | None = None) -> tuple[str, ...]:
    """Return all classes in the model's order: from the user if given, else from the model, else from the folder."""
    own = listing.folder / LABELS_NAME
    numbers = model is not None and model.class_names == tuple(map(str, range(len(model.class_names))))
    if model and not model.known and not options.labels and not own.exists() and _two_orders(listing, len(model.class_names)):
        raise ConfigError(
            f"{listing.folder} has folders named by numbers. A model may order them 0, 1, 2 or, as Keras sorts them, "
            f"0, 1, 10: give the model's order with {field('labels')}, one name per line"
        )
    if options.labels:
        names, origin = read_labels(options.labels, listing.classes), str(options.labels)
    elif model and not numbers:
        names, origin = model.class_names, "the model's classes"
    elif own.exists():
        names, origin = read_labels(own, listing.classes), str(own)
    elif model and set(listing.classes) <= set(model.class_names):
        names, origin = model.class_names, "the model's classes"
    else:  # As Keras's image_dataset_from_directory numbers them.
        names, origin = listing.classes, str(listing.folder)
    if model and len(names) != len(model.class_names):
        raise ConfigError(
            f"{origin} has {len(names)} names, the model {len(model.class_names)}: give {field('labels')}, one name per line"
        )
    for label in listing.classes:
        if names.count(label) != 1:
            state = "twice in" if label in names else "not among"
            raise ConfigError(
                f"{listing.folder}: class {label} is {state} {origin} ({', '.join(names[:5])}{', ...' * (len(names) > 5)}): "
                f"rename its folder, or give {field('labels')}, one name per line"
            )
    return names


def _two_orders(listing: Listing, classes: int) -> bool:
    """Return whether the folders are numbers whose numeric order differs from their sorted order, here or in the model."""
    found = listing.classes
    if not all(name.isdecimal() for name in found):
        return False
    return found != tuple(sorted(found, key=int)) or (max(map(int, found)) < classes and classes > 10)


def _shape(listing: Listing, options: FolderOptions) -> tuple[Shape, str]:
    """Return the shape of the images, and why they have this size if it was chosen."""
    if options.size and options.channels:
        height, width = map(int, options.size)  # numpy's would be another record.
        return (height, width, options.channels), ""
    sizes, grey = Counter[tuple[int, int]](), True
    remedy = f"remove or replace it (edgecnn data {listing.folder} lists all such files)"
    for names in listing.names.values():
        for name in names:
            height, width, is_grey = image_header(listing.folder / name, remedy)
            sizes[height, width] += 1
            grey = grey and is_grey
    channels = options.channels or (1 if grey else 3)
    size, sized = (options.size, "") if options.size else _suitable(sizes)
    return (int(size[0]), int(size[1]), channels), sized


def _suitable(sizes: Counter[tuple[int, int]]) -> tuple[tuple[int, int], str]:
    """Return the files' own size or, if they have several or a large one, a round one and why."""
    (height, width), *others = ordered = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    if not others and max(height, width) <= _LARGEST_OWN:
        return (height, width), ""
    # The median file need not be scaled up, and most of what it shows is kept.
    shorter = int(np.median(np.repeat([min(size) for size in sizes], list(sizes.values()))))
    side = max((round_side for round_side in ROUND_SIDES if round_side <= shorter), default=ROUND_SIDES[0])
    several = f"{height}x{width} to {ordered[-1][0]}x{ordered[-1][1]}" if others else f"all {height}x{width}"
    return (side, side), f"{side}x{side} (files are {several}, median of the shorter side {shorter})"


def _folders(folder: Path) -> list[Path]:
    return [path for path in _visible(folder) if path.is_dir()]


def _visible(folder: Path) -> list[Path]:
    with parsing(f"{folder} can't be read", "name another folder", ConfigError):
        return sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=lambda path: path.name)


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
