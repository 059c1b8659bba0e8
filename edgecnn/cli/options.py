"""Options shared by several commands. A group of options is a dataclass, which a command takes as one parameter."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, cast

import typer

import edgecnn as ec
from edgecnn.cli.plain_commands import IMAGES, PIXELS
from edgecnn.words import FITS, MODEL_NAME, NOISE, SCHEMES, Fit, suffixes

DEFAULT_MODEL = Path("artifacts/mnist") / MODEL_NAME

Json = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Also write the result as JSON; - prints it instead of the text.")
]
Threads = Annotated[int, typer.Option(help="Number of threads of the runtime.")]
Trust = Annotated[
    list[str] | None,
    typer.Option(metavar="MODULE", help="Python module that defines the model's own layers; its code runs."),
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Also say how it was measured, with every reason for unstable times.")]
Allow = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help=f"Noise to ignore ({', '.join(NOISE)}; noise for all); repeatable."),
]
ModelPath = Annotated[Path, typer.Argument(metavar="FILE", help=f"A {suffixes()} file.", show_default=False)]

ModelTarget = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help=f"A {suffixes()} file, a folder with a manifest, a bundle, or a file in a bundle: mnist.zip/int8.tflite.",
        show_default=False,
    ),
]


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command for typer in which a dataclass parameter becomes one option per field."""
    parameters: list[inspect.Parameter] = []
    groups: dict[str, tuple[Any, tuple[str, ...]]] = {}
    for parameter in inspect.signature(command).parameters.values():
        kind = parameter.annotation
        fields = [parameter]
        if dataclasses.is_dataclass(kind):
            fields = list(inspect.signature(kind).parameters.values())  # type: ignore[arg-type]  # A class is callable.
            for option in (item for field in fields for item in field.annotation.__metadata__):
                option.rich_help_panel = option.rich_help_panel or getattr(kind, "PANEL", None)
            groups[parameter.name] = (kind, tuple(field.name for field in fields))
        parameters += [field.replace(kind=inspect.Parameter.KEYWORD_ONLY) for field in fields]

    @functools.wraps(command)
    def flat(**given: Any) -> None:
        for name, (kind, fields) in groups.items():
            given[name] = kind(**{field: given.pop(field) for field in fields})
        command(**given)

    # typer reads both.
    flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # Python lets a function have one.
    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return flat


def _image(**kind: Any) -> Any:
    return typer.Option(rich_help_panel=IMAGES, **kind)


def _pixels(*names: str, **kind: Any) -> Any:
    return typer.Option(*names, rich_help_panel=PIXELS, **kind)


@dataclass(frozen=True)
class ImageOptions:
    """Which images, and how image files are fitted to the model."""

    data: Annotated[
        str | None,
        _image(
            metavar="SOURCE",
            help="A folder of images by class or of IDX files, an .npz file, or mnist, fashion-mnist, cifar10 or cifar100. ",
            show_default="the model's own images, or MNIST",
        ),
    ] = None
    size: Annotated[
        str | None,
        _image(
            metavar="HxW", help="Size to which image files are fitted.", show_default="the model's, or the image files' own"
        ),
    ] = None
    channels: Annotated[
        int | None,
        _image(help="Number of channels: 1 for grey, 3 for colour.", show_default="the model's, or as the image files are"),
    ] = None
    fit: Annotated[
        str | None,
        _image(
            metavar="RULE",
            help=f"Rule that fits image files to the size: {', '.join(FITS)}.",
            show_default="the model's, or letterbox",
        ),
    ] = None
    test_share: Annotated[
        float | None,
        _image(metavar="SHARE", help="Share of each class for testing, if the folder has no test/.", show_default="0.2"),
    ] = None
    split_seed: Annotated[int | None, _image(help="Seed of that split.", show_default="0")] = None
    labels: Annotated[
        Path | None, _image(metavar="FILE", help="Text file with one class name per line, in the model's order.")
    ] = None

    def rule(self) -> Fit | None:
        """Return the rule that fits image files, if given; `folder` raises for an unknown rule."""
        return cast("Fit | None", self.fit)

    def folder(self) -> "ec.FolderOptions":
        """Return how image files are read.

        Raises:
            ConfigError: If the size is invalid.
        """
        return ec.FolderOptions(_size(self.size), self.channels, self.rule(), self.test_share, self.split_seed, self.labels)

    def arguments(self, val_share: float | None = None) -> dict[str, Any]:
        """Return the arguments `data` and `images` of a function of edgecnn. Errors are those of `folder`."""
        return {"data": self.data, "images": dataclasses.replace(self.folder(), val_share=val_share)}


@dataclass(frozen=True)
class ValidationOptions:
    """Validation images, and what they decide."""

    PANEL: ClassVar = "Validation"

    val_share: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Share of each class's training images for validation, drawn by --split-seed, if there is no val/ or x_val.",
            show_default="none",
        ),
    ] = None
    keep: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="best: the epoch of lowest validation loss; without validation images, the last. last: always the last.",
        ),
    ] = "best"
    patience: Annotated[
        int | None,
        typer.Option(metavar="N", help="Stop after this number of epochs without a lower validation loss."),
    ] = None


@dataclass(frozen=True)
class InterfaceOptions:
    """Preprocessing and output of a file that edgecnn did not export."""

    preprocess: Annotated[str | None, _pixels(metavar="SCHEME", help=f"Preprocessing of the model: {', '.join(SCHEMES)}.")] = (
        None
    )
    scale: Annotated[float | None, _pixels(help="Scale applied to each pixel, instead of --preprocess.")] = None
    mean: Annotated[str | None, _pixels(metavar="M[,M,M]", help="Mean to subtract after scaling.")] = None
    std: Annotated[str | None, _pixels(metavar="S[,S,S]", help="Standard deviation to divide by.")] = None
    bgr: Annotated[bool, _pixels("--bgr", help="The model takes channels in the order blue, green, red.")] = False
    logits: Annotated[bool, _pixels("--logits", help="The model's output is logits: it ends without softmax.")] = False

    def interface(self, images: ImageOptions) -> "ec.Interface | None":
        """Return the statements about the model; None if there are none.

        Raises:
            ConfigError: If the options contradict each other.
        """
        mean, std = _numbers("--mean", self.mean), _numbers("--std", self.std)
        fit = images.rule() or "letterbox"
        taken = ec.preprocessing(self.preprocess, scale=self.scale, mean=mean, std=std, bgr=self.bgr, fit=fit)
        if taken is None and self.logits:
            raise ec.ConfigError("--logits alone does not define the preprocessing: add --preprocess")
        return None if taken is None else ec.Interface(taken, "logits" if self.logits else "probabilities")


@dataclass(frozen=True)
class ModelOptions:
    """How a model file is opened."""

    trust: Trust = None
    signature: Annotated[str | None, typer.Option(help="Signature to run, if a TFLite file has several.")] = None

    def arguments(self) -> dict[str, Any]:
        """Return the arguments `trust` and `signature` of a function of edgecnn."""
        return {"trust": self.trust or (), "signature": self.signature}


def whole_numbers(name: str, text: str) -> tuple[int, ...]:
    """Return the numbers of an option such as 8,16,32.

    Raises:
        ConfigError: If they are not numbers.
    """
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise ec.ConfigError(f"{name} must be whole numbers, for example 8,16,32, got {text}")
    return tuple(map(int, parts))


def png(path: Path | None) -> Path | None:
    """Return the file named by --save.

    Raises:
        ConfigError: If its name does not end in .png.
    """
    if path and path.suffix.lower() != ".png":
        raise ec.ConfigError(f"{path} is not a .png name: --save writes PNG")
    return path


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    height, mark, width = text.lower().partition("x")
    if not (mark and height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise ec.ConfigError(f"--size must be height x width, for example 96x96, got {text}")
    return int(height), int(width)


def _numbers(name: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ec.ConfigError(f"{name} must be numbers, for example 0.485,0.456,0.406, got {text}") from None
