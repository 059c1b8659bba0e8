"""Images and labels: a folder of images, an .npz file, a folder of IDX files, or a dataset with a name."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from edgecnn.edge.data.folder_options import NO_OPTIONS, FolderOptions, ModelImages, read_labels
from edgecnn.edge.data.idx import idx_labels, is_idx_folder, load_idx
from edgecnn.edge.data.image_file import ImageRule, background
from edgecnn.edge.data.image_folder import (
    LABELS_NAME,
    ROUND_SIDES,
    UNREAD,
    has_parts,
    list_images,
    load_image_folder,
    validation_folder,
)
from edgecnn.edge.data.named_sets import MNIST, REGISTERED, load_keras_set, load_shipped
from edgecnn.edge.data.npz import has_validation_arrays, load_npz, npz_labels
from edgecnn.edge.data.pixel_digests import learnt_images
from edgecnn.edge.data.splits import PARTS, FileSplit, Labels, Part, Split, Subset, drawn_evenly
from edgecnn.edge.errors import ArtifactError, ConfigError, field
from edgecnn.edge.manifest import BUNDLE_SUFFIX, DatasetRecord, Fit, Fitted, SplitOff, Validation
from edgecnn.edge.option import no_path
from edgecnn.edge.result import SILENT, Progress
from edgecnn.edge.text import counted, printable

Kind = Literal["shipped", "keras", "images", "idx", "npz"]
SHIPPED: Final = "shipped"
KERAS: Final = "keras"
IMAGES: Final = "images"
IDX: Final = "idx"
NPZ: Final = "npz"
_SAMPLE = 1000
_SMALLER = 2
_NAMES_SHOWN = 20


@dataclass(frozen=True, repr=False)
class Dataset:
    """Training and test images, and where they came from.

    Attributes:
        name: A registered name, or the name of the folder or file.
        source: `shipped`, `keras`, or the absolute path of a folder or file.
        class_names: Class names in the order of the labels.
        train: Training images: what a model may learn from.
        test: Test images: what a model is measured on and must never learn from.
        fit: How image files were made into images of one size; None if the pixels came as an array.
        split_off: How the test images were drawn; None if the source has a test part, or a list names them.
        val: Validation images: what a model is measured on after each epoch of training, to choose one; None if there are none.
        val_share: Share of each class's training images that became them; None if the source has a validation part, or no
            images were to be validation images.
        val_seed: Seed of that draw.
        unread: Pictures in its folder that are not among its images, since edgecnn does not read their kind.
        sized: Size that was chosen for image files, and why, as text; empty if it was stated, or is their own.
        earlier: Other images that the model has been trained on before; None if there are none, or they are not here.
        may_be_learnt: As in `edgecnn.edge.manifest.DatasetRecord`, for a model whose training begins with a file; None if
            that is not known yet.
        val_may_be_learnt: As in `edgecnn.edge.manifest.Validation`.
    """

    name: str
    source: str
    class_names: tuple[str, ...]
    train: Split
    test: Split
    fit: Fit | None = None
    split_off: SplitOff | None = None
    val: Split | None = None
    val_share: float | None = None
    val_seed: int | None = None
    unread: tuple[str, ...] = ()
    sized: str = ""
    earlier: Split | None = None
    may_be_learnt: bool | None = None
    val_may_be_learnt: bool = False

    def __repr__(self) -> str:
        return f"<Dataset {self.describe().splitlines()[0]}>"

    @cached_property
    def image_rule(self) -> ImageRule:
        """How to fit any other image file to these images."""
        if self.fit:
            return ImageRule(self.fit)
        if self.train.shape[2] == 3:
            return ImageRule("letterbox")
        count = len(self.train.labels)
        sample = self.train.images(np.unique(np.linspace(0, count - 1, _SAMPLE).astype(np.int64)))
        return ImageRule("digit" if self.source == SHIPPED else "letterbox", background(sample))

    @cached_property
    def learnt(self) -> tuple[int, ...]:
        """Places of the test images that are exact copies of training or validation images, earlier ones too."""
        own = () if self.source == SHIPPED else (self.train, self.val)  # MNIST has none.
        parts = [part for part in (*own, self.earlier) if part]
        return tuple(sorted({place for part in parts for place in learnt_images(part, self.test)}))

    def record(self) -> DatasetRecord:
        """Return what is needed to load these images again. The first call reads all of them to hash them."""
        return DatasetRecord(
            self.name,
            self.source,
            self.train.sha256,
            self.test.sha256,
            Fitted(self.train.shape, self.fit) if self.fit else None,
            self.split_off,
            Validation(self.val.sha256, self.val_share, self.val_seed, self.val_may_be_learnt, listed_names(self.val))
            if self.val
            else None,
            self.learnt,
            bool(self.may_be_learnt),
            listed_names(self.test),
        )

    def describe(self) -> str:
        """Return a description of the dataset in two lines, and one about pictures that are not read."""
        names, more = ", ".join(self.class_names[:_NAMES_SHOWN]), len(self.class_names) - _NAMES_SHOWN
        rule = f", fitted by {self.fit}" if self.fit else ""
        drawn = self.split_off
        split = f"; {drawn.of_each_class} for testing, split seed {drawn.split_seed}" if drawn else ""
        split = split or ("; the test images are those of a list" if listed_names(self.test) else "")
        validation = f", {len(self.val.labels):,} validation" if self.val else ""
        if self.val_share:
            split += f"; {100 * self.val_share:g}% of each class's training images for validation, split seed {self.val_seed}"
        return (
            f"{self.name} ({self.source}): {len(self.train.labels):,} training{validation} and {len(self.test.labels):,} test "
            f"images of {self.train.shape}{rule}{split}\n"
            f"{len(self.class_names)} labels: {names}{f', and {more} more' if more > 0 else ''}{self._unread()}"
        )

    def _unread(self) -> str:
        if not self.unread:
            return ""
        many, first = counted(self.unread, "picture"), printable(self.unread[0])
        return f"\npassed over: {many} of a kind that is not read, such as {first}: save them as JPEG or PNG"


def load_dataset(
    data: str | Path | None = None,
    options: FolderOptions = NO_OPTIONS,
    model: ModelImages | None = None,
    progress: Progress = SILENT,
) -> Dataset:
    """Load all splits. Only the shipped MNIST and the datasets that Keras downloads are held in memory.

    Args:
        data: A registered name (text without a slash), or the path of a folder of images, an .npz file or a folder of
            IDX files. None is MNIST.
        options: How to read a folder of images, class names, and the share of validation images.
        model: The model that the images are for; it decides how a folder of images is read.
        progress: Receives the search for near-duplicates before a folder is split.

    Raises:
        ConfigError: If there is no such dataset, or the options do not fit it.
        ArtifactError: If a file is missing or broken; the message says which and how.
        MissingDependency: If Pillow or TensorFlow is needed but not installed.
    """
    found = find(data)
    if found.kind == IMAGES:
        folder = load_image_folder(found.path, options, model, progress=progress)
        if len(folder.class_names) < 2:
            raise ConfigError(f"{data} has only one class ({folder.class_names[0]}): give a folder for each class")
        _require_own_names(folder.class_names)
        parts = folder.splits["train"], folder.splits["test"]
        dataset = Dataset(found.name, found.source, folder.class_names, *parts, folder.fit, folder.split_off)
        seed, unread = None if options.drawn_share is None else options.seed, unread_pictures(folder.ignored)
        val, sized = folder.splits.get("val"), folder.sized
        return replace(dataset, val=val, val_share=options.drawn_share, val_seed=seed, unread=unread, sized=sized)
    options.require_none(str(data or MNIST), model)
    if found.kind == KERAS:
        splits, names = load_keras_set(found.name)
        dataset = _checked(found, splits["train"], splits["test"], options, model=model, names=names)
    else:
        train, test = (_load_part(found, part, options, model) for part in PARTS)
        dataset = _checked(found, train, test, options, model=model)
    return _with_validation(dataset, found, options)


def smaller_sizes(dataset: Dataset) -> tuple[tuple[int, int], ...]:
    """Return the next two smaller round sizes that square image files can be fitted to; none of other images."""
    height, width, _ = dataset.train.shape
    if not isinstance(dataset.train, FileSplit) or height != width:
        return ()
    return tuple((side, side) for side in reversed(ROUND_SIDES) if side < height)[:_SMALLER]


def resized(dataset: Dataset, size: tuple[int, int]) -> Dataset:
    """Return a folder's image files fitted to another size (height, width)."""
    parts: dict[str, Any] = {
        name: replace(split, shape=(*size, split.shape[2]))
        for name in ("train", "test", "val")
        if isinstance(split := getattr(dataset, name), FileSplit)
    }
    return replace(dataset, **parts)


def listed_names(split: Split) -> tuple[str, ...]:
    """Return the names of test or validation images that no share and seed alone give; none of others."""
    return split.names if isinstance(split, FileSplit) and split.listed else ()


def unread_pictures(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names that are those of pictures of a kind that is not read."""
    return tuple(name for name in names if name.lower().endswith(UNREAD))


def _with_validation(dataset: Dataset, found: "Found", options: FolderOptions) -> Dataset:
    """Return arrays with their validation images: those of the source, or drawn from the training images."""
    if has_validation(found):
        if options.drawn_share is not None:
            raise ConfigError(f"{found.path} has its own x_val: omit {field('val_share')}")
        own = load_npz(found.path, "val")
        _require_fitting(found.path, "validation", own, dataset.train)
        return replace(dataset, val=own)
    if options.drawn_share is None:
        return dataset
    drawn = drawn_evenly(dataset.train.labels, "val", options.drawn_share, options.seed, dataset.class_names)
    train, val = (Subset(dataset.train, np.flatnonzero(chosen)) for chosen in (~drawn, drawn))
    return replace(dataset, train=train, val=val, val_share=options.drawn_share, val_seed=options.seed)


def has_validation(found: "Found") -> bool:
    """Return whether a source has its own validation part."""
    if found.kind == IMAGES:
        return has_parts(found.path, ("test",)) and validation_folder(found.path) is not None
    return found.kind == NPZ and has_validation_arrays(found.path)


def training_labels(found: "Found", options: FolderOptions) -> Labels:
    """Return the labels of a source's training images, int64 (n,), as far as possible without its images.

    Arguments and errors are those of `load_dataset`.
    """
    if found.kind == IMAGES:
        # Looking for near-duplicates decodes all images, and hardly changes how many a class has.
        return list_images(found.path, replace(options, keep_together=False)).indices["train"]
    if found.kind in (IDX, NPZ):
        return (idx_labels if found.kind == IDX else npz_labels)(found.path, "train")
    return _load_part(found, "train", options, None).labels


def load_test(
    data: str | Path | None = None,
    options: FolderOptions = NO_OPTIONS,
    model: ModelImages | None = None,
    progress: Progress = SILENT,
) -> Split:
    """Load the test images only, as a device does. It needs no training images and, except for Keras's datasets, no TensorFlow.

    A folder of images with only a test/ is enough. Arguments and errors are those of `load_dataset`.
    """
    found = find(data)
    if found.kind != IMAGES:
        options.require_none(str(data or MNIST), model)
    return _load_part(found, "test", options, model, progress)


def load_train(data: str | Path | None, options: FolderOptions, model: ModelImages | None) -> Split:
    """Load the training images only. Arguments and errors are those of `load_dataset`."""
    return _load_part(find(data), "train", options, model)


@dataclass(frozen=True)
class Found:
    """The dataset that a user's text names: its kind, its name, and its path as written (the current folder for a name)."""

    kind: Kind
    name: str
    path: Path

    @property
    def called(self) -> str:
        """What messages call it."""
        return self.name if self.kind in (SHIPPED, KERAS) else str(self.path)

    @property
    def source(self) -> str:
        """Source as in `Dataset`."""
        return self.kind if self.kind in (SHIPPED, KERAS) else str(self.path.resolve())


def find(data: str | Path | None) -> Found:
    """Return the dataset that `data` names. Errors are those of `load_dataset`."""
    if data is None or data == MNIST:
        return Found(SHIPPED, MNIST, Path())
    if isinstance(data, str) and data in REGISTERED:
        return Found(KERAS, data, Path())
    if data == "":
        raise ConfigError(no_path("data"))
    path = Path(data)
    if path.is_dir():
        return Found(IDX if is_idx_folder(path) else IMAGES, path.resolve().name, path)
    if path.is_file() and path.suffix in (".npz", BUNDLE_SUFFIX):  # A bundle holds the test part of an .npz.
        return Found(NPZ, path.stem, path)
    raise ConfigError(
        f"{data} is not a folder, an .npz file or one of {', '.join(REGISTERED)}: name one of these with {field('data')}"
    )


def _load_part(
    found: Found, part: Part, options: FolderOptions, model: ModelImages | None, progress: Progress = SILENT
) -> Split:
    if found.kind == IMAGES:
        return load_image_folder(found.path, options, model, (part,), progress).splits[part]
    if found.kind == KERAS:
        return load_keras_set(found.name)[0][part]
    if found.kind == SHIPPED:
        return load_shipped(part)
    return load_idx(found.path, part) if found.kind == IDX else load_npz(found.path, part)


def _checked(
    found: Found,
    train: Split,
    test: Split,
    options: FolderOptions,
    *,
    model: ModelImages | None,
    names: tuple[str, ...] = (),
) -> Dataset:
    _require_fitting(found.path, "test", test, train)
    classes = int(train.labels.max()) + 1
    if classes < 2:
        raise ArtifactError(f"{found.path}: the training labels have only one class: give at least two")
    if classes > len(train.labels):
        raise ArtifactError(
            f"{found.path}: the training labels go up to {classes - 1} for {len(train.labels)} images: number classes from 0"
        )
    own = found.path / LABELS_NAME
    if options.labels or (found.kind == IDX and own.exists() and not model):
        path = options.labels or own
        names = read_labels(path)
        if len(names) != classes:
            raise ArtifactError(
                f"{path} has {counted(names, 'class name')}, the training labels have {classes} classes: give one name per line"
            )
        _require_own_names(names)
    elif model:
        names = model.class_names
        if len(names) < classes:
            raise ConfigError(
                f"{found.called} has {classes} classes, the model {len(names)}: name the model's own images with "
                f"{field('data')}"
            )
    return Dataset(found.name, found.source, names or tuple(map(str, range(classes))), train, test)


def _require_fitting(path: Path, name: str, split: Split, train: Split) -> None:
    """Check that test or validation images have the training images' shape and classes."""
    if train.shape != split.shape:
        raise ArtifactError(f"{path}: training images are {train.shape}, {name} images {split.shape}: make them equal")
    if split.labels.max() > train.labels.max():
        raise ArtifactError(
            f"{path}: the {name} labels go up to class {split.labels.max()}, the training labels to {train.labels.max()}: "
            "give training images of each class"
        )


def _require_own_names(names: tuple[str, ...]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ArtifactError(f"the class name {twice} appears twice: give each class a different name")
