"""Datasets with a name: MNIST, which ships with the package, and those that Keras downloads."""

import gzip
import io
import math
import struct
import sys
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from threading import Lock

import numpy as np

from edgecnn.edge.data.idx import PREFIX
from edgecnn.edge.data.splits import PARTS, ArraySplit, Indices, Labels, Part, Shape
from edgecnn.edge.errors import ArtifactError, ConfigError, field, why
from edgecnn.edge.files import read_bytes, sha256
from edgecnn.edge.model.preprocess import Images
from edgecnn.edge.runtimes import opener_for

MNIST = "mnist"
# For each name, Keras's module and the names of the classes, which Keras does not have.
_KERAS = {
    "fashion-mnist": (
        "fashion_mnist",
        ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    "cifar10": (
        "cifar10",
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    ),
    "cifar100": ("cifar100", tuple(str(number) for number in range(100))),
}
REGISTERED = (MNIST, *_KERAS)
_HEADER_BYTES = 16  # Of an IDX file of images.
_FOLDER = Path(__file__).parent / "mnist"
_SHA256 = {
    "train-images-idx3-ubyte.gz": "0b367032e93c5d0cea0925647cfdb18614af8ee15f83e6f2fc2ad904a6835971",
    "train-labels-idx1-ubyte.gz": "1787548bbe0bff1ec2ecdc0ef292b02df999e2d1a6002d27500982c652b17203",
    "t10k-images-idx3-ubyte.gz": "1a1a05eab793c14bb050b398624a11b0ffd1a2953baed553b1b9bd079e2a20be",
    "t10k-labels-idx1-ubyte.gz": "b91679a0acfe4ba0e50a2437a903084cba1f5f92592b016a25a7dfd00455798b",
    # Of what is in these files, as `Split.sha256`.
    "train": "d18cfd466eb143ac1097fde604dba9eec4116885869d04cc648b510949f9e88c",
    "test": "a0863a96c44e5666edbb30c4071ee79ca0514c621e6349c5967fc78e7305c891",
}

_HOW_TO_HAVE: dict[Part, str] = {
    "train": "this may be the device's edgecnn, which has no training images: train on the workstation",
    "test": "install edgecnn again",
}


class ShippedSplit:
    """A part of the shipped MNIST, unpacked into memory as far as it was asked for: a prediction needs one image.

    Attributes:
        labels: int64 (n,).
        shape: (28, 28, 1).
        sha256: Hash of the pixels and the labels.
    """

    def __init__(self, images: bytes, labels: bytes, sha256: str) -> None:
        """Take both files as they are, gzipped, and the hash of what is in them."""
        self.labels: Labels = np.frombuffer(gzip.decompress(labels), np.uint8, offset=8).astype(np.int64)
        self._stream = gzip.open(io.BytesIO(images))  # noqa: SIM115 - It is read as long as there is the split.
        _, count, height, width = struct.unpack(">4I", self._stream.read(_HEADER_BYTES))
        self.shape: Shape = (height, width, 1)
        self.sha256 = sha256
        self._pixels = np.empty((count, *self.shape), np.uint8)
        self._unpacked = 0
        self._lock = Lock()

    def images(self, indices: Indices) -> Images:
        """See `Split`."""
        rows = np.asarray(indices, np.int64)
        if rows.min(initial=0) < 0:
            raise IndexError(f"indices must be from 0, got {rows.min()}")
        self._unpack(int(rows.max(initial=-1)) + 1)
        return self._pixels[rows]

    def _unpack(self, count: int) -> None:
        with self._lock:  # Keras may ask from a thread of its own.
            if count > self._unpacked:
                # It is there already, unless Ctrl-C ended the last call.
                self._stream.seek(_HEADER_BYTES + self._unpacked * math.prod(self.shape))
                left = self._pixels[self._unpacked : count].reshape(-1).data
                while left:
                    left = left[self._stream.readinto(left) :]
                self._unpacked = count


def load_shipped(part: Part) -> ShippedSplit:
    """Load `train` or `test` of the shipped MNIST. In memory it takes 47 MB and 8 MB when all of it was asked for.

    Raises:
        ArtifactError: If a file is altered or missing, as those of `train` are in the device's wheel.
    """
    files = []
    for name in (f"{PREFIX[part]}-images-idx3-ubyte.gz", f"{PREFIX[part]}-labels-idx1-ubyte.gz"):
        data = read_bytes(_FOLDER / name, fix=_HOW_TO_HAVE[part])
        if sha256(data) != _SHA256[name]:
            raise ArtifactError(f"{_FOLDER / name} was altered (its SHA-256 is not MNIST's): install edgecnn again")
        files.append(data)
    return ShippedSplit(files[0], files[1], _SHA256[part])


def load_keras_set(name: str) -> tuple[dict[Part, ArraySplit], tuple[str, ...]]:
    """Load both parts and the class names of a registered name except `mnist`, with Keras's loader.

    Keras downloads the files once and keeps them in ~/.keras/datasets.

    Raises:
        ConfigError: If they are not there and can't be downloaded.
        MissingDependency: If TensorFlow is not installed.
    """
    module, class_names = _KERAS[name]
    opener_for("keras").import_library()  # On TensorFlow, as that row's module does.
    loader = import_module(f"keras.datasets.{module}")
    try:
        with redirect_stdout(sys.stderr):  # Keras shows progress on stdout, which is for results.
            loaded = loader.load_data()
    except Exception as error:  # Without a network Keras raises plain Exception; archives raise more.
        reason = why(error)
        raise ConfigError(
            f"{name} can't be loaded ({reason}): go online once (Keras keeps it in ~/.keras/datasets), "
            f"or name a folder with {field('data')}"
        ) from error
    splits: dict[Part, ArraySplit] = {}
    for part, (images, labels) in zip(PARTS, loaded, strict=True):
        pixels = np.asarray(images, np.uint8)
        splits[part] = ArraySplit(pixels.reshape(*pixels.shape[:3], -1), labels.reshape(-1).astype(np.int64))
    return splits, class_names
