"""How images of other sizes and shapes are read, as set by the user and by the model."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

from edgecnn.edge.errors import ArtifactError, ConfigError, field, parsing
from edgecnn.edge.files import read_bytes
from edgecnn.edge.manifest import Background, Fit, SplitOff
from edgecnn.edge.option import Option, check, described, height_width
from edgecnn.edge.text import has_controls

if TYPE_CHECKING:
    from edgecnn.edge.data.splits import Shape

# A thousand times the size of ImageNet's thousand names.
_MOST_LABEL_BYTES = 2**24
_OF_FOLDERS = ("size", "channels", "fit", "test_share", "split_seed", "test_list", "keep_together")
TEST_SHARE = 0.2
SEED = 0


@described
@dataclass(frozen=True)
class FolderOptions:
    """How a folder of images is read, and any dataset's validation images are drawn; None means the default.

    Raises:
        ConfigError: If a value is out of range.
    """

    size: Annotated[
        tuple[int, int] | None,
        Option(
            "Size (height, width) to which image files are fitted.",
            metavar="HxW",
            default="the model's, or the image files' own; one that suits them, if they differ or are large",
            low=1,
            parse=height_width,
            example="96x96",
        ),
    ] = None
    channels: Annotated[
        int | None,
        Option(
            "Number of channels: 1 for grey, 3 for colour.",
            default="the model's, or as the image files are",
            one_of=(1, 3),
        ),
    ] = None
    fit: Annotated[
        Fit | None,
        Option("Rule that fits image files to the size.", metavar="RULE", default="the model's, or letterbox"),
    ] = None
    test_share: Annotated[
        float | None,
        Option(
            "Share of each class for testing, if the folder has no test/.",
            metavar="SHARE",
            default="0.2",
            above=0,
            high=1,
        ),
    ] = None
    split_seed: Annotated[int | None, Option("Seed of that split.", default="0", low=0)] = None
    test_list: Annotated[
        Path | tuple[str, ...] | None,
        Option(
            "Text file with the path of one test image per line, relative to the folder; the other images are for training.",
            metavar="FILE",
        ),
    ] = None
    keep_together: Annotated[
        bool | None, Option("Keep near-duplicates on one side of a split; all images are decoded for it.", default="on")
    ] = None
    labels: Annotated[Path | None, Option("Text file with one class name per line, in the model's order.")] = None
    val_share: Annotated[
        float | None,
        Option(
            "Share of each class's training images for validation, drawn by the same seed, if there is no val/ or x_val; 0 for "
            "none.",
            metavar="SHARE",
            default="0.1 of 300 images or more to train on, if each class has 10, except MNIST; fit: 0.1 of any; else none",
            low=0,
            below=1,
            panel="Validation",
        ),
    ] = None

    val_list: tuple[str, ...] | None = None  # Of a record: names of the validation images; none if share and seed give them.

    def __post_init__(self) -> None:
        check(self)
        for name in ("test_list", "labels"):
            if isinstance(given := getattr(self, name), str):  # Its letters are no paths.
                object.__setattr__(self, name, Path(given))
        if self.size is not None and (not isinstance(self.size, (tuple, list)) or len(self.size) != 2):
            raise ConfigError(f"{field('size')} must be a height and a width, got {_text(self.size)}")
        if not isinstance(self.test_list, Path):  # A record has share, seed and names where near-duplicates changed the draw.
            return
        for name, given in (("test_share", self.test_share), ("split_seed", None if self.val_share else self.split_seed)):
            if given is not None:
                raise ConfigError(f"{field('test_list')} names the test images: omit {field(name)}")

    @property
    def drawn_share(self) -> float | None:
        """Share of the training images that become validation images; None to draw none."""
        return self.val_share or None

    @property
    def seed(self) -> int:
        """Seed of the draws."""
        return SEED if self.split_seed is None else self.split_seed

    def split_off(self) -> SplitOff | None:
        """Return how the test images are drawn where there is no test/; None if a list alone names them."""
        if self.test_list is not None and self.test_share is None:
            return None
        return SplitOff(TEST_SHARE if self.test_share is None else self.test_share, self.seed)

    def require_no_others(self, bundle: str, data: object) -> None:
        """Check that nothing names other images than those that a bundle has. Errors are those of `require_none`."""
        if data is not None:
            raise ConfigError(f"{bundle} brings its own test images: omit {field('data')}")
        self.require_none(bundle)

    def require_none(self, source: str, model: "ModelImages | None" = None) -> None:
        """Check that no option is set that is only for folders of images; repeating what the model says is accepted.

        Raises:
            ConfigError: If one is set; the message names it.
        """
        said_by_model = ("size", "channels", "fit") if model else ()
        used = ("split_seed",) if self.drawn_share is not None else ()
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


def read_labels(path: Path, known: Collection[str] = ()) -> tuple[str, ...]:
    """Return the class names in a text file, one per line.

    Args:
        path: The file.
        known: Names of classes, such as those of folders; if the file has one of them, its names stay as they are.

    Raises:
        ArtifactError: If it can't be read.
    """
    return class_names_in(read_lines(path, "class names"), str(path), known)


def class_names_in(names: tuple[str, ...], origin: str, known: Collection[str] = ()) -> tuple[str, ...]:
    """Return the class names in the lines of a file without the numbers that Teachable Machine puts before them.

    It numbers them all, from 0: `0 cat`, `1 dog`. Otherwise a number is part of a name. Messages call the file `origin`.

    Raises:
        ArtifactError: If a name has control characters.
    """
    for name in names:
        if has_controls(name):
            raise ArtifactError(f"{origin}: the class name {name} has control characters: remove them")
    parts = [name.split(maxsplit=1) for name in names]
    numbered = all(len(part) == 2 and part[0] == str(index) for index, part in enumerate(parts))
    if not numbered or any(name in known for name in names):
        return names
    return tuple(part[1] for part in parts)


def read_lines(path: Path, what: str, most_bytes: int = _MOST_LABEL_BYTES) -> tuple[str, ...]:
    """Return the lines of a text file that lists `what`, without the empty ones and without spaces around.

    Raises:
        ArtifactError: If it can't be read, or has more bytes than `most_bytes`.
    """
    with parsing(f"{path} is not a list of {what}", "save it as UTF-8 text, one per line"):
        text = read_bytes(path, most_bytes).decode("utf-8-sig")
    return lines_of(text)


def lines_of(text: str) -> tuple[str, ...]:
    """Return the lines of a text, without the empty ones and without spaces around."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _text(value: object) -> str:
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)
