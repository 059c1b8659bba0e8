"""Loads and inspects datasets."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgecnn.edge.data.contact_sheet import contact_sheet
from edgecnn.edge.data.dataset import Dataset
from edgecnn.edge.data.dataset import load_dataset as load
from edgecnn.edge.data.folder_options import NO_OPTIONS, FolderOptions
from edgecnn.edge.data.inspection import Inspection
from edgecnn.edge.data.inspection import inspect_images as inspect
from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.files import write_bytes
from edgecnn.edge.model.preprocess import Images
from edgecnn.edge.progress import SILENT, Progress

if TYPE_CHECKING:  # A board has no convert.
    from edgecnn.convert.training.recipes import Augment


def load_dataset(data: str | Path | None = None, images: FolderOptions = NO_OPTIONS) -> Dataset:
    """Load training and test images with their labels; image files are read on demand.

    Args:
        data: A folder of images by class, a folder of IDX files, an .npz file, or a name: `mnist`, which ships with edgecnn,
            `fashion-mnist`, `cifar10` or `cifar100`, which Keras downloads. None is MNIST.
        images: How a folder of images is read, and the class names.

    Returns:
        Images uint8 (n, h, w, c) and labels int64 (n,) of both parts.

    Raises:
        ArtifactError: If a file is missing or broken.
        ConfigError: If there is no such dataset, or the options do not fit it.
        MissingDependency: If Pillow or TensorFlow is needed but not installed.
    """
    return load(data, images)


def inspect_images(
    data: str | Path,
    images: FolderOptions = NO_OPTIONS,
    *,
    sheet: str | Path | None = None,
    augment: "Augment | None" = None,
    progress: Progress = SILENT,
) -> Inspection:
    """Describe a dataset: classes, sizes, broken files and duplicate pictures. Each image is decoded once.

    Args:
        data: As in `load_dataset`.
        images: How a folder is split, and the class names.
        sheet: A .png file to draw a few images of each class into.
        augment: `photo` or `digit`, to draw one image of each class and seven variations of it (three from 51 classes on), as
            `train` varies them.
        progress: Receives the number of images examined.

    Raises:
        ArtifactError: If something other than an image file is broken.
        ConfigError: If there is no such dataset, the options do not fit it, or the sheet can't be written.
        MissingDependency: If Pillow is not installed, or TensorFlow, which varies images.
    """
    if augment not in (None, "photo", "digit"):
        raise ConfigError(f"{field('augment')} must be photo or digit, got {augment}")
    if augment and not sheet:
        raise ConfigError(f"{field('augment')} is drawn into a picture: name its file with {field('sheet')}")
    found = inspect(str(data), images, partial(progress.step, text="examining images"))
    if sheet:
        write_bytes(Path(sheet), contact_sheet(data, images, partial(_varied, augment) if augment else None))
        progress.say(f"wrote {sheet}")
    return found


def _varied(augment: "Augment", images: Images) -> Images:
    from edgecnn.convert.training.fit.augmentation import varied  # noqa: PLC0415 - A board has no convert.

    return varied(augment, images, np.random.default_rng(0))
