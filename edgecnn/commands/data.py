"""Describe a dataset: classes, sizes, broken and duplicate images.

Example: edgecnn data photos --save sheet.png
"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from edgecnn.edge.data.folder_options import NO_OPTIONS, FolderOptions
from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.option import Group, Option, checked, png
from edgecnn.edge.result import SILENT, Progress

if TYPE_CHECKING:
    from edgecnn.edge.data.dataset import Dataset
    from edgecnn.edge.data.inspection import Inspection


def load_dataset(data: str | Path | None = None, images: FolderOptions = NO_OPTIONS) -> "Dataset":
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
    from edgecnn.edge.data.dataset import load_dataset as load

    return load(data, images)


@checked
def inspect_images(  # Longer than 50 lines: its arguments and their docs.
    data: Annotated[
        str | Path,
        Option(
            "A folder, an .npz file, or mnist, fashion-mnist, cifar10 or cifar100.", metavar="SOURCE", argument=True, kind=str
        ),
    ],
    images: Annotated[
        FolderOptions,
        Group(
            "How a folder is split, and the class names.",
            only=("test_share", "split_seed", "test_list", "keep_together", "val_share", "labels"),
        ),
    ] = NO_OPTIONS,
    *,
    sheet: Annotated[
        str | Path | None,
        Option("Also draw a few images of each class.", name="--save", metavar="PNG", parse=png, writes=True),
    ] = None,
    augment: Annotated[
        Literal["photo", "photo-mirror", "digit"] | None,
        Option("photo, photo-mirror or digit: draw an image of each class and variations of it, as training varies them."),
    ] = None,
    progress: Progress = SILENT,
) -> "Inspection":
    """Describe a dataset: classes, sizes, broken files and duplicate pictures. Each image is decoded once.

    Raises:
        ArtifactError: If something other than an image file is broken.
        ConfigError: If there is no such dataset, the options do not fit it, or the sheet can't be written.
        MissingDependency: If Pillow is not installed, or TensorFlow, which varies images.
    """
    if augment and not sheet:
        raise ConfigError(f"{field('augment')} is drawn into a picture: name its file with {field('sheet')}")
    if sheet and Path(sheet).exists() and Path(data).is_dir() and Path(sheet).resolve().is_relative_to(Path(data).resolve()):
        raise ConfigError(f"{sheet} is one of the images: give {field('sheet')} another name")
    from edgecnn.edge.data.inspection import inspect_images as inspect
    from edgecnn.edge.files import write_bytes
    from edgecnn.edge.show.pictures import contact_sheet

    found = inspect(str(data), images, progress)
    if found.pixels:
        _say_variations(found.channels, progress)
    if sheet:
        vary, how = None, ""
        if augment:
            import numpy as np

            from edgecnn.convert.training.fit.augmentation import VARIATIONS, varied

            vary = partial(varied, augment, rng=np.random.default_rng(0))
            how = f", with images varied {VARIATIONS[augment]}"
        write_bytes(Path(sheet), contact_sheet(data, images, vary))
        progress.say(f"wrote {sheet}{how}")
    return found


def _say_variations(channels: int, progress: Progress) -> None:
    """Say how training varies such images; a board, which trains nothing, has no module that knows."""
    try:
        from edgecnn.convert.training.fit.augmentation import variation_notes
        from edgecnn.convert.training.recipes import COSINE, usual_augment
    except ModuleNotFoundError:
        return
    for note in variation_notes(usual_augment(COSINE, channels)):
        progress.say(f"What edgecnn train does, unless told otherwise. {note}")
