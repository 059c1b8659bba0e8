"""Data sets that have a name: the MNIST that ships with the package, and those that Keras fetches."""

import gzip
import io
import sys
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np

from convert.idx import IMAGES_MAGIC, LABELS_MAGIC, PREFIX, read_header
from convert.tensorflow import load_keras
from edge.errors import ArtifactError, ConfigError
from edge.files import read_bytes, sha256
from edge.splits import ArraySplit

MNIST = "mnist"
# The name -> Keras's module, and the names of the classes, which Keras does not have.
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
_FOLDER = Path(__file__).parent / "data" / "mnist"
_SHA256 = {
    "train-images-idx3-ubyte.gz": "0b367032e93c5d0cea0925647cfdb18614af8ee15f83e6f2fc2ad904a6835971",
    "train-labels-idx1-ubyte.gz": "1787548bbe0bff1ec2ecdc0ef292b02df999e2d1a6002d27500982c652b17203",
    "t10k-images-idx3-ubyte.gz": "1a1a05eab793c14bb050b398624a11b0ffd1a2953baed553b1b9bd079e2a20be",
    "t10k-labels-idx1-ubyte.gz": "b91679a0acfe4ba0e50a2437a903084cba1f5f92592b016a25a7dfd00455798b",
}


def load_shipped(part: str) -> ArraySplit:
    """Load `train` or `test` of the shipped MNIST into memory (47 MB and 8 MB).

    Raises:
        ArtifactError: If a file is missing or altered.
    """
    arrays = []
    for stem, magic in ((f"{PREFIX[part]}-images-idx3", IMAGES_MAGIC), (f"{PREFIX[part]}-labels-idx1", LABELS_MAGIC)):
        path = _FOLDER / f"{stem}-ubyte.gz"
        data = read_bytes(path)
        if sha256(data) != _SHA256[path.name]:
            raise ArtifactError(f"{path} is altered (its SHA-256 is not MNIST's): install edgecnn again")
        file = io.BytesIO(gzip.decompress(data))
        shape = read_header(file, path, magic)
        arrays.append(np.frombuffer(file.read(), np.uint8).reshape(shape))
    images, labels = arrays
    return ArraySplit(images[..., np.newaxis], labels.astype(np.int64))


def load_keras_set(name: str) -> tuple[ArraySplit, ArraySplit, tuple[str, ...]]:
    """Load train, test and the class names of a registered name other than `mnist`, through Keras's own loader.

    Keras fetches the files once and keeps them in ~/.keras/datasets.

    Raises:
        ConfigError: If they are not there and can't be fetched.
        MissingDependency: If TensorFlow is not installed.
    """
    module, class_names = _KERAS[name]
    loader = getattr(load_keras().datasets, module)
    try:
        with redirect_stdout(sys.stderr):  # Keras shows how far it is on stdout, which is for results.
            parts = loader.load_data()
    except Exception as error:  # Keras raises plain Exception without a network, and what its archives raise.
        reason = " ".join(str(error).split())[:160]
        raise ConfigError(
            f"{name} can't be loaded ({reason}): go online once, Keras keeps it in ~/.keras/datasets, "
            "or name a folder with --data"
        ) from error
    splits = []
    for images, labels in parts:
        pixels = np.asarray(images, np.uint8)
        splits.append(ArraySplit(pixels.reshape(*pixels.shape[:3], -1), labels.reshape(-1).astype(np.int64)))
    return splits[0], splits[1], class_names
