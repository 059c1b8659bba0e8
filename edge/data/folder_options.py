"""How images of other sizes and shapes are read, as set by the user and by the model."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from edgecnn.edge.errors import ArtifactError, ConfigError, field
from edgecnn.edge.files import read_bytes
from edgecnn.edge.manifest import FITS, Background, Fit, SplitOff
from edgecnn.edge.parsing import parsing
from edgecnn.edge.text import has_controls

if TYPE_CHECKING:
    from edgecnn.edge.data.splits import Shape

# A thousand times the size of ImageNet's thousand names.
_MOST_LABEL_BYTES = 2**24
_OF_FOLDERS = ("size", "channels", "fit", "test_share", "split_seed")
TEST_SHARE = 0.2
SEED = 0


@dataclass(frozen=True)
class FolderOptions:
    """How a folder of images is read, and any dataset's validation images are drawn; None means the default.

    Attributes:
        size: (height, width) of the model's images. Default: the size of the image files, if all have the same.
        channels: 1 (grey) or 3 (RGB). Default: 1 if all images are grey.
        fit: One of `edgecnn.edge.manifest.FITS`. Default: letterbox.
        test_share: Share of each class that becomes test images if there is no test/ folder, 0 to 1. Default: 0.2.
        split_seed: Seed of that split, and of `val_share`. Default: 0.
        labels: A text file with one class name per line, in the model's order; for any kind of data.
        val_share: Share of each class's training images that become validation images, 0 to 1 (exclusive); for any kind of
            data without a validation part. Default: none.
    """

    size: tuple[int, int] | None = None
    channels: int | None = None
    fit: Fit | None = None
    test_share: float | None = None
    split_seed: int | None = None
    labels: Path | None = None
    val_share: float | None = None

    def __post_init__(self) -> None:
        if self.size and min(self.size) < 1:
            raise ConfigError(f"{field('size')}={self.size[0]}x{self.size[1]} has no pixels: give height and width, e.g. 96x96")
        if self.channels not in (None, 1, 3):
            raise ConfigError(f"{field('channels')}={self.channels} is neither 1 (grey) nor 3 (RGB): give one of them")
        if self.fit not in (None, *FITS):
            raise ConfigError(f"{field('fit')}={self.fit} is unknown: give one of {', '.join(FITS)}")
        if self.test_share is not None and not 0 < self.test_share <= 1:
            raise ConfigError(f"{field('test_share')}={self.test_share} is not a share: give one between 0 and 1, e.g. 0.2")
        if self.split_seed is not None and self.split_seed < 0:
            raise ConfigError(f"{field('split_seed')}={self.split_seed} is negative: give 0 or a positive whole number")
        if self.val_share is not None and not 0 < self.val_share < 1:
            raise ConfigError(f"{field('val_share')}={self.val_share} leaves no images on one side: give one such as 0.1")

    @property
    def seed(self) -> int:
        """Seed of the draws."""
        return SEED if self.split_seed is None else self.split_seed

    def split_off(self) -> SplitOff:
        """Return how the test images are drawn where there is no test/."""
        return SplitOff(TEST_SHARE if self.test_share is None else self.test_share, self.seed)

    def require_none(self, source: str, model: "ModelImages | None" = None) -> None:
        """Check that no option is set that is only for folders of images; repeating what the model says is accepted.

        Raises:
            ConfigError: If one is set; the message names it.
        """
        said_by_model = ("size", "channels", "fit") if model else ()
        used = ("split_seed",) if self.val_share is not None else ()
        if model:
            model.require_agreement(self)
        for name in _OF_FOLDERS:
            if name not in (*said_by_model, *used) and getattr(self, name) is not None:
                raise ConfigError(f"{field(name)} applies only to a folder of images, which {source} is not: omit it")


NO_OPTIONS = FolderOptions()


class ModelImages(NamedTuple):
    """A model's image settings, with which a folder of images is read as `edgecnn predict` reads a file.

    Attributes:
        shape: (h, w, c) of its images.
        fit: Rule as in `edgecnn.edge.manifest.Preprocessing`.
        background: Background as in `edgecnn.edge.manifest.Preprocessing`.
        class_names: Class names in the model's order; numbers if it has no names.
        known: Whether that order is known. It is not for a model without a manifest and without given names.
    """

    shape: "Shape"
    fit: Fit
    background: Background
    class_names: tuple[str, ...]
    known: bool = True

    def require_agreement(self, options: FolderOptions) -> None:
        """Check that the user's options agree with the model.

        Raises:
            ConfigError: If one contradicts it; the message names the option.
        """
        said = (("size", options.size, self.shape[:2]), ("channels", options.channels, self.shape[2]))
        for name, wanted, own in (*said, ("fit", options.fit, self.fit)):
            if wanted not in (None, own):
                raise ConfigError(
                    f"{field(name)}={_text(wanted)} contradicts the model, whose images have {_text(own)}: omit it"
                )


def read_labels(path: Path) -> tuple[str, ...]:
    """Return the class names in a text file, one per line.

    Raises:
        ArtifactError: If it can't be read.
    """
    with parsing(f"{path} is not a list of class names", "save it as UTF-8 text, one name per line"):
        text = read_bytes(path, _MOST_LABEL_BYTES).decode("utf-8-sig")
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    for name in names:
        if has_controls(name):
            raise ArtifactError(f"{path}: the class name {name} has control characters: remove them")
    return names


def _text(value: object) -> str:
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)
