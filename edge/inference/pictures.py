"""Turns pictures of any kind and size into a model's images."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeAlias, Union

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.data.digit import Polarity, unsure
from edgecnn.edge.data.image_file import fit_image, pil_pixels, read_image
from edgecnn.edge.errors import ArtifactError, ConfigError, parsing
from edgecnn.edge.manifest import Preprocessing, Side
from edgecnn.edge.model.preprocess import Images

if TYPE_CHECKING:
    from PIL.Image import Image

Picture: TypeAlias = Union[str, Path, BinaryIO, "Image"]
"""The path of an image file, such a file opened in binary mode, or a PIL image."""

# Five times the size of the largest accepted picture, uncompressed.
_MOST_BYTES = 2**30


class FittedPicture(NamedTuple):
    """A picture as a model's image.

    Attributes:
        image: uint8 (h, w, c).
        doubt: One sentence on why something else may have been read than was meant, or None.
        box: What of the picture was taken for a digit: left, top, right and bottom, 0 to 1; None if none was looked for.
    """

    image: Images
    doubt: str | None = None
    box: tuple[float, ...] | None = None

    def doubt_of(self, probability: float, name: str) -> str | None:
        """Return the doubt about the picture, or about a digit whose most probable class has this probability, 0 to 1."""
        return self.doubt or (unsure(name, probability) if self.box else None)


def fitted_picture(
    picture: "Picture | NDArray[Any]",
    shape: tuple[int, int, int],
    preprocessing: Preprocessing,
    name: str = "the picture",
    background: Side | None = None,
    can_be_stated: bool = False,
) -> FittedPicture:
    """Return a picture fitted by the rule that `edgecnn.edge.data.image_file.read_image` applies to files.

    Args:
        picture: The path of an image file, an open one, a PIL image, or an array uint8 (height, width, 1 or 3), colours as RGB.
        shape: (h, w, c) of the model's images, c being 1 or 3.
        preprocessing: Preprocessing of the model.
        name: Name for messages of a picture without a path.
        background: The background of the picture's digit, where somebody stated it. Default: it is looked for.
        can_be_stated: Whether whoever reads the doubt can state the background.

    Raises:
        ArtifactError: If a file is missing or is not an image, or it shows nothing.
        MissingDependency: If Pillow is not installed.
        ValueError: If an array has another dtype or shape.
    """
    doubts, boxes = list[str](), list[tuple[float, ...]]()
    polarity = Polarity(background, doubts.append, boxes.append, can_be_stated)
    image = _fitted(picture, shape, preprocessing, name, polarity)
    return FittedPicture(image, doubts[0] if doubts else None, boxes[0] if boxes else None)


def _fitted(
    picture: "Picture | NDArray[Any]",
    shape: tuple[int, int, int],
    preprocessing: Preprocessing,
    name: str,
    polarity: Polarity,
) -> Images:
    if isinstance(picture, (str, Path)):
        return read_image(Path(picture), shape, preprocessing, polarity)
    if isinstance(picture, np.ndarray):
        return fit_image(picture, shape, preprocessing, name, polarity)
    if hasattr(picture, "read"):
        data = picture.read(_MOST_BYTES)
        if not data:
            raise ArtifactError(f"{name} is empty: send the bytes of a PNG or JPEG file")
        return read_image(data, shape, preprocessing, polarity, name)
    if not hasattr(picture, "getbands"):
        raise ValueError(f"{name} must be a path, a PIL image or a numpy array, got {type(picture).__name__}")
    if 0 in picture.size:
        raise ArtifactError(f"{name} has no pixels: give another")
    with parsing(f"{name} is not an image that can be read", "give another"):
        pixels = pil_pixels(picture, "L" if shape[2] == 1 else "RGB", name)
    return fit_image(pixels, shape, preprocessing, name, polarity)


def title_of(picture: "Picture | NDArray[Any]", place: int) -> str:
    """Return the name of a picture for results: its path, the name of an open file, or its place among the others."""
    if isinstance(picture, (str, Path)):
        return str(picture)
    name = getattr(picture, "name", None)
    return name if isinstance(name, str) else f"picture {place}"


def image_files(folder: Path, *, unread: bool = False) -> Iterator[Path]:
    """Return the image files in a folder and its subfolders, sorted, except hidden ones; `unread`: also of kinds not read.

    Raises:
        ConfigError: If there are no image files, or a folder can't be read.
    """
    from edgecnn.edge.data.image_folder import SUFFIXES, UNREAD, walked  # noqa: PLC0415 - Only for a folder.

    found = False
    for path in walked(folder, into_links=True):
        if path.name.lower().endswith((*SUFFIXES, *UNREAD) if unread else SUFFIXES):
            found = True
            yield path
    if not found:
        raise ConfigError(f"{folder} has no image files ({', '.join(SUFFIXES)}): name another folder")
