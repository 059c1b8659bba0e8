"""What the user and the model say of images that are not yet what a model takes."""

from dataclasses import dataclass, fields
from pathlib import Path

from edge.errors import ArtifactError, ConfigError
from edge.files import read_bytes
from edge.manifest import FITS
from edge.splits import Shape

_OPTION = {
    "size": "--size",
    "channels": "--channels",
    "fit": "--fit",
    "test_share": "--test-share",
    "seed": "--split-seed",
}


@dataclass(frozen=True)
class FolderOptions:
    """How a folder of images is read; None is the default of each.

    Attributes:
        size: (height, width) of the model's images. Default: theirs, if all have one size.
        channels: 1 (grey) or 3 (RGB). Default: 1 if all images are grey.
        fit: One of `edge.manifest.FITS`. Default: letterbox.
        test_share: Share of each class that is kept for the test, where there is no test/. Default: 0.2.
        seed: Of that choice. Default: 0.
        labels: A text file with a class name a line, in the model's order; for any kind of data.
    """

    size: tuple[int, int] | None = None
    channels: int | None = None
    fit: str | None = None
    test_share: float | None = None
    seed: int | None = None
    labels: Path | None = None

    def __post_init__(self) -> None:
        if self.size and min(self.size) < 1:
            raise ConfigError(f"--size {self.size[0]}x{self.size[1]} has no pixels: give height and width, as 96x96")
        if self.channels not in (None, 1, 3):
            raise ConfigError(f"--channels {self.channels} is neither 1 (grey) nor 3 (RGB): give one of them")
        if self.fit not in (None, *FITS):
            raise ConfigError(f"--fit {self.fit} is unknown: give one of {', '.join(FITS)}")
        if self.test_share is not None and not 0 < self.test_share <= 1:
            raise ConfigError(f"--test-share {self.test_share} is no share: give one between 0 and 1, as 0.2")
        if self.seed is not None and self.seed < 0:
            raise ConfigError(f"--split-seed {self.seed} is negative: give a whole number from 0")

    def require_none(self, source: str, model: "ModelImages | None" = None) -> None:
        """Check that nothing was said that is only meant for folders of images; what the model says may be said again.

        Raises:
            ConfigError: If something was; the message names the option.
        """
        said_by_model = ("size", "channels", "fit") if model else ()
        if model:
            model.require_agreement(self)
        for item in fields(self):
            if item.name in _OPTION and item.name not in said_by_model and getattr(self, item.name) is not None:
                raise ConfigError(f"{_OPTION[item.name]} is for a folder of images, {source} is none: leave it out")


NO_OPTIONS = FolderOptions()


@dataclass(frozen=True)
class ModelImages:
    """What a model says of its images, so that a folder of images is read for it as `edgecnn predict` reads a file.

    Attributes:
        shape: (h, w, c).
        fit: As in `edge.manifest.Preprocessing`.
        background: Likewise.
        class_names: In the model's order; numbers where it has no names.
        known: Whether that order is; of a model without a manifest that nobody gave names, numbers stand for nothing.
    """

    shape: Shape
    fit: str
    background: str
    class_names: tuple[str, ...]
    known: bool = True

    def require_agreement(self, options: FolderOptions) -> None:
        """Check that the user says nothing else than the model.

        Raises:
            ConfigError: If so; the message names the option.
        """
        said = (("--size", options.size, self.shape[:2]), ("--channels", options.channels, self.shape[2]))
        for name, wanted, own in (*said, ("--fit", options.fit, self.fit)):
            if wanted not in (None, own):
                raise ConfigError(f"{name} {_text(wanted)} contradicts the model, whose images are {_text(own)}: leave it out")


def read_labels(path: Path) -> tuple[str, ...]:
    """Return the class names of a text file, a name a line.

    Raises:
        ArtifactError: If it can't be read.
    """
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ArtifactError(f"{path} is not UTF-8 text: save it as that, a name a line") from error
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _text(value: object) -> str:
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)
