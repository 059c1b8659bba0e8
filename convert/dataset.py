"""Images and labels: the MNIST that ships with the package, or a folder of IDX files. numpy alone."""

import gzip
import hashlib
import struct
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.errors import ArtifactError, ConfigError
from edge.files import read_bytes, sha256
from edge.manifest import DatasetRecord
from edge.preprocess import Images

Labels = NDArray[np.int64]

MNIST = "mnist"
SHIPPED = "shipped"
_MNIST_FOLDER = Path(__file__).parent / "data" / "mnist"
_MNIST_SHA256 = {
    "train-images-idx3-ubyte.gz": "0b367032e93c5d0cea0925647cfdb18614af8ee15f83e6f2fc2ad904a6835971",
    "train-labels-idx1-ubyte.gz": "1787548bbe0bff1ec2ecdc0ef292b02df999e2d1a6002d27500982c652b17203",
    "t10k-images-idx3-ubyte.gz": "1a1a05eab793c14bb050b398624a11b0ffd1a2953baed553b1b9bd079e2a20be",
    "t10k-labels-idx1-ubyte.gz": "b91679a0acfe4ba0e50a2437a903084cba1f5f92592b016a25a7dfd00455798b",
}
_PREFIX = {"train": "train", "test": "t10k"}
_IMAGES_MAGIC = 0x00000803  # unsigned bytes, 3 dimensions
_LABELS_MAGIC = 0x00000801  # unsigned bytes, 1 dimension


@dataclass(frozen=True)
class Split:
    """The training or the test part.

    Attributes:
        images: uint8 (n, h, w, c), 0 to 255.
        labels: int64 (n,), from 0.
    """

    images: Images
    labels: Labels

    @cached_property
    def sha256(self) -> str:
        """Of the pixels and the labels; tells two splits apart whatever file they came from."""
        digest = hashlib.sha256(self.images.tobytes())
        digest.update(self.labels.astype("<i8").tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Dataset:
    """Train and test, and where they came from.

    Attributes:
        name: `mnist`, or the folder's name.
        source: `shipped`, or the folder's absolute path.
        class_names: From the folder's `labels.txt` (a name a line), or the class numbers.
        train: What a model may learn from.
        test: What it is measured on and must never learn from.
    """

    name: str
    source: str
    class_names: tuple[str, ...]
    train: Split
    test: Split

    def describe(self) -> str:
        """Return what was loaded, in two lines."""
        shape = tuple(self.train.images.shape[1:])
        names = ", ".join(self.class_names)
        return (
            f"{self.name} ({self.source}): {len(self.train.images):,} training and {len(self.test.images):,} test images "
            f"of {shape}\n{len(self.class_names)} labels: {names}"
        )


def load_dataset(folder: Path | None) -> Dataset:
    """Load both splits: of the shipped MNIST, or of an IDX folder.

    Raises:
        ConfigError: If the folder does not exist.
        ArtifactError: If a file is missing or broken; the message says which and how.
    """
    train, test = load_split(folder, "train"), load_split(folder, "test")
    if train.images.shape[1:] != test.images.shape[1:]:
        raise ArtifactError(
            f"{folder}: training images are {train.images.shape[1:]}, test images {test.images.shape[1:]}: make them alike"
        )
    classes = int(train.labels.max()) + 1
    if int(test.labels.max()) >= classes:
        raise ArtifactError(
            f"{folder}: the test labels have class {test.labels.max()}, the training labels end at {classes - 1}"
        )
    if classes < 2:
        raise ArtifactError(f"{folder}: the training labels have one class only: give at least two")
    name, source = (MNIST, SHIPPED) if folder is None else (folder.resolve().name, str(folder.resolve()))
    return Dataset(name, source, _class_names(folder, classes), train, test)


def load_split(folder: Path | None, part: str) -> Split:
    """Load `train` or `test` alone. Errors as `load_dataset`."""
    if folder is not None and not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder: give --data a folder of IDX files")
    images_path, labels_path = _find(folder, f"{_PREFIX[part]}-images", 3), _find(folder, f"{_PREFIX[part]}-labels", 1)
    images = _read_idx(images_path, _IMAGES_MAGIC)[..., np.newaxis]
    labels = _read_idx(labels_path, _LABELS_MAGIC)
    if len(images) != len(labels):
        raise ArtifactError(f"{labels_path} has {len(labels)} labels for the {len(images)} images of {images_path.name}")
    if images.size == 0:
        raise ArtifactError(f"{images_path} has no images (shape {images.shape}): give a folder with some")
    return Split(images, labels.astype(np.int64))


def recorded_folder(record: DatasetRecord | None, folder: Path | None) -> Path | None:
    """Return where to load the images from: `folder` where one is named, else what a manifest records, else MNIST (None).

    Raises:
        ConfigError: If the recorded folder is not on this machine.
    """
    if folder is not None or record is None or record.source == SHIPPED:
        return folder
    if not Path(record.source).is_dir():
        raise ConfigError(f"the model's images ({record.name}, {record.source}) are not here: name their folder with --data")
    return Path(record.source)


def require_recorded(record: DatasetRecord, test: Split) -> None:
    """Check that these are the test images that a manifest records.

    Raises:
        ConfigError: If they are others.
    """
    if test.sha256 != record.test_sha256:
        raise ConfigError(f"these are not the model's test images ({record.name}, {record.source}): name theirs with --data")


def _find(folder: Path | None, stem: str, dimensions: int) -> Path:
    if folder is None:
        return _MNIST_FOLDER / f"{stem}-idx{dimensions}-ubyte.gz"
    names = [f"{stem}{mark}idx{dimensions}-ubyte{suffix}" for mark in "-." for suffix in ("", ".gz")]
    found = [folder / name for name in names if (folder / name).exists()]
    if not found:
        raise ArtifactError(f"{folder / names[1]} does not exist: an IDX folder has it, gzipped or plain")
    if len(found) > 1:
        raise ArtifactError(f"{folder} has both {found[0].name} and {found[1].name}: keep one")
    return found[0]


def _read_idx(path: Path, magic: int) -> NDArray[np.uint8]:
    data = read_bytes(path)
    if path.parent == _MNIST_FOLDER and sha256(data) != _MNIST_SHA256[path.name]:
        raise ArtifactError(f"{path} is altered (its SHA-256 is not MNIST's): install edgecnn again")
    if path.suffix == ".gz":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise ArtifactError(f"{path} is not a whole gzip file ({error}): copy it again") from error
    dimensions = magic & 0xFF
    header = 4 + 4 * dimensions
    if len(data) < header:
        raise ArtifactError(f"{path} is truncated: {len(data)} bytes, the IDX header alone has {header}: copy it again")
    found, *shape = struct.unpack(f">{1 + dimensions}I", data[:header])
    if found != magic:
        raise ArtifactError(
            f"{path} is not an IDX file of this kind: magic 0x{found:08x}, expected 0x{magic:08x}: check the names"
        )
    expected = header + int(np.prod(shape, dtype=object))
    if len(data) != expected:
        state = "truncated" if len(data) < expected else "too long"
        raise ArtifactError(
            f"{path} is {state}: {len(data)} bytes, its header says {expected} (shape {tuple(shape)}): copy it again"
        )
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def _class_names(folder: Path | None, classes: int) -> tuple[str, ...]:
    path = None if folder is None else folder / "labels.txt"
    if path is None or not path.exists():
        return tuple(str(index) for index in range(classes))
    try:
        text = read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise ArtifactError(f"{path} is not UTF-8 text: save it as that, a name a line") from error
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if len(names) != classes:
        raise ArtifactError(f"{path} names {len(names)} classes, the training labels have {classes}: a name a line")
    if len(set(names)) < classes:
        raise ArtifactError(f"{path} names a class twice: give each a name of its own")
    return names
