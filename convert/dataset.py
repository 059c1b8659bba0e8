"""Images and labels: a folder of images, an .npz file, a folder of IDX files, or a data set that has a name."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from convert.data_options import NO_OPTIONS, ModelImages
from convert.data_options import FolderOptions as FolderOptions
from convert.data_options import read_labels as read_labels
from convert.idx import is_idx_folder, load_idx
from convert.image_folder import LABELS_NAME, has_parts, load_image_folder
from convert.npz import load_npz
from convert.registered import MNIST, REGISTERED, load_keras_set, load_shipped
from edge.bundle import SUFFIX as BUNDLE_SUFFIX
from edge.errors import ArtifactError, ConfigError
from edge.images import background
from edge.manifest import DatasetRecord
from edge.splits import Split

SHIPPED = "shipped"
KERAS = "keras"
IMAGES, IDX, NPZ = "images", "idx", "npz"
_SAMPLE = 1000
_NAMES_SHOWN = 20


@dataclass(frozen=True)
class ImageRule:
    """How an image file becomes an image like these: `fit` and `background` of `edge.manifest.Preprocessing`."""

    fit: str
    background: str


@dataclass(frozen=True)
class Dataset:
    """Train and test, and where they came from.

    Attributes:
        name: A registered name, or the folder's or file's.
        source: `shipped`, `keras`, or the absolute path of a folder or file.
        class_names: In the order of the labels.
        train: What a model may learn from.
        test: What it is measured on and must never learn from.
        fit: How image files were made into images of one size; None where the pixels came as an array.
        test_share: Share of each class that was split off for the test; None where the source has a test part.
        split_seed: Of that split; None likewise.
    """

    name: str
    source: str
    class_names: tuple[str, ...]
    train: Split
    test: Split
    fit: str | None = None
    test_share: float | None = None
    split_seed: int | None = None

    @cached_property
    def image_rule(self) -> ImageRule:
        """How any other image file is to be made into an image like these."""
        if self.fit:
            return ImageRule(self.fit, "any")
        if self.train.shape[2] == 3:
            return ImageRule("letterbox", "any")
        count = len(self.train.labels)
        sample = self.train.images(np.unique(np.linspace(0, count - 1, _SAMPLE).astype(np.int64)))
        return ImageRule("digit" if self.source == SHIPPED else "letterbox", background(sample))

    def record(self) -> DatasetRecord:
        """Return what it takes to load these images again. The first call reads all of them, for their hashes."""
        return DatasetRecord(
            self.name,
            self.source,
            self.train.sha256,
            self.test.sha256,
            self.train.shape if self.fit else None,
            self.fit,
            self.test_share,
            self.split_seed,
        )

    def describe(self) -> str:
        """Return what was loaded, in two lines."""
        names, more = ", ".join(self.class_names[:_NAMES_SHOWN]), len(self.class_names) - _NAMES_SHOWN
        rule = f", fitted by {self.fit}" if self.fit else ""
        split = f"; {self.test_share:.0%} of each class for the test, split seed {self.split_seed}" if self.test_share else ""
        return (
            f"{self.name} ({self.source}): {len(self.train.labels):,} training and {len(self.test.labels):,} test images "
            f"of {self.train.shape}{rule}{split}\n"
            f"{len(self.class_names)} labels: {names}{f', and {more} more' if more > 0 else ''}"
        )


def load_dataset(
    data: str | Path | None = None, options: FolderOptions = NO_OPTIONS, model: ModelImages | None = None
) -> Dataset:
    """Load both splits. Only the shipped MNIST and what Keras fetches are held in memory.

    Args:
        data: A registered name (text without a slash), or the path of a folder of images, an .npz file or a folder of
            IDX files. None is MNIST.
        options: How a folder of images is read, and class names.
        model: For which the images are; decides how a folder of images is read.

    Raises:
        ConfigError: If there is no such thing, or options do not fit it.
        ArtifactError: If a file is missing or broken; the message says which and how.
        MissingDependency: If Pillow or TensorFlow is needed and not installed.
    """
    found = find(data)
    if found.kind == IMAGES:
        folder = load_image_folder(found.path, options, model)
        if len(folder.class_names) < 2:
            raise ConfigError(f"{data} has one class only ({folder.class_names[0]}): give a folder for each class")
        _require_own_names(folder.class_names)
        parts = folder.splits["train"], folder.splits["test"]
        return Dataset(found.name, found.source, folder.class_names, *parts, folder.fit, folder.test_share, folder.seed)
    options.require_none(str(data or MNIST), model)
    if found.kind == KERAS:
        train, test, names = load_keras_set(found.name)
        return _checked(found, train, test, options, model, names)
    return _checked(found, _part(found, "train"), _part(found, "test"), options, model)


def load_test(data: str | Path | None = None, options: FolderOptions = NO_OPTIONS, model: ModelImages | None = None) -> Split:
    """Load the test part alone, as a device does: it needs neither the training images nor, without Keras's, TensorFlow.

    A folder of images with only a test/ is enough. Arguments and errors as `load_dataset`.
    """
    found = find(data)
    if found.kind == IMAGES:
        return load_image_folder(found.path, options, model, ("test",)).splits["test"]
    options.require_none(str(data or MNIST), model)
    return load_keras_set(found.name)[1] if found.kind == KERAS else _part(found, "test")


@dataclass(frozen=True)
class Found:
    """What a user's text stands for: its kind, its name, and its path as it was written (the current folder for a name)."""

    kind: str
    name: str
    path: Path

    @property
    def source(self) -> str:
        """As in `Dataset`."""
        return self.kind if self.kind in (SHIPPED, KERAS) else str(self.path.resolve())


def find(data: str | Path | None) -> Found:
    """Tell what `data` is. Errors as `load_dataset`."""
    if data is None or data == MNIST:
        return Found(SHIPPED, MNIST, Path())
    if isinstance(data, str) and data in REGISTERED:
        return Found(KERAS, data, Path())
    path = Path(data)
    if path.is_dir():
        return Found(IDX if is_idx_folder(path) else IMAGES, path.resolve().name, path)
    if path.is_file() and path.suffix in (".npz", BUNDLE_SUFFIX):  # A bundle has the test part of an .npz.
        return Found(NPZ, path.stem, path)
    raise ConfigError(f"{data} is not a folder, an .npz file or one of {', '.join(REGISTERED)}: name one of these with --data")


def recorded_source(
    record: DatasetRecord | None, data: str | Path | None = None, options: FolderOptions = NO_OPTIONS
) -> tuple[str | Path | None, FolderOptions]:
    """Return from where, and how, to load the images of a record: from `data` if given, else from where it says.

    What `options` leaves open for a folder of images is as recorded, wherever the folder is now.

    Raises:
        ConfigError: If the recorded folder or file is not on this machine.
    """
    if record is None:
        return data, options
    if data is None:
        data = record.name if record.source in (SHIPPED, KERAS) else Path(record.source)
        if isinstance(data, Path) and not data.exists():
            raise ConfigError(
                f"the model's images ({record.name}, {record.source}) are not here: name their folder with --data"
            )
    found = find(data)
    if found.kind == IMAGES and record.shape:
        height, width, channels = record.shape
        options = replace(
            options,
            size=options.size or (height, width),
            channels=options.channels or channels,
            fit=options.fit or record.fit,
        )
        if not has_parts(found.path, ("test",)):
            options = replace(
                options,
                test_share=record.test_share if options.test_share is None else options.test_share,
                seed=record.split_seed if options.seed is None else options.seed,
            )
    return data, options


def recorded_model(record: DatasetRecord, class_names: tuple[str, ...]) -> ModelImages | None:
    """Return how a record's folder of images was read, given its classes; None where the pixels came as an array."""
    if record.shape is None or record.fit is None:
        return None
    height, width, channels = record.shape
    return ModelImages((height, width, channels), record.fit, record.background, class_names)


def require_recorded(record: DatasetRecord, test: Split) -> None:
    """Check that these are the test images that a manifest records.

    Raises:
        ConfigError: If they are others.
    """
    if test.sha256 != record.test_sha256:
        raise ConfigError(f"these are not the model's test images ({record.name}, {record.source}): name theirs with --data")


def _part(found: Found, part: str) -> Split:
    if found.kind == SHIPPED:
        return load_shipped(part)
    return load_idx(found.path, part) if found.kind == IDX else load_npz(found.path, part)


def _checked(
    found: Found,
    train: Split,
    test: Split,
    options: FolderOptions,
    model: ModelImages | None,
    names: tuple[str, ...] = (),
) -> Dataset:
    if train.shape != test.shape:
        raise ArtifactError(f"{found.path}: training images are {train.shape}, test images {test.shape}: make them alike")
    classes = int(train.labels.max()) + 1
    if int(test.labels.max()) >= classes:
        raise ArtifactError(
            f"{found.path}: the test labels have class {test.labels.max()}, the training labels end at {classes - 1}: "
            "give training images of each"
        )
    if classes < 2:
        raise ArtifactError(f"{found.path}: the training labels have one class only: give at least two")
    if classes > len(train.labels):
        raise ArtifactError(
            f"{found.path}: the training labels go up to {classes - 1} in {len(train.labels)} images: number the classes from 0"
        )
    own = found.path / LABELS_NAME
    if options.labels or (found.kind == IDX and own.exists() and not model):
        path = options.labels or own
        names = read_labels(path)
        if len(names) != classes:
            raise ArtifactError(f"{path} names {len(names)} classes, the training labels have {classes}: a name a line")
        _require_own_names(names)
    elif model:
        names = model.class_names
        if len(names) < classes:
            raise ConfigError(
                f"{found.path} has {classes} classes, the model {len(names)}: name the model's own images with --data"
            )
    return Dataset(found.name, found.source, names or tuple(map(str, range(classes))), train, test)


def _require_own_names(names: tuple[str, ...]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ArtifactError(f"the class name {twice} is given twice: give each class a name of its own")
