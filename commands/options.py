"""What several commands ask for. A group of options is a dataclass, so that a command takes it as one thing."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from convert.data_options import FolderOptions
from edge.errors import ConfigError
from edge.interface import SCHEMES, Interface, preprocessing
from edge.manifest import FITS

DEFAULT_MODEL = Path("artifacts/mnist/model.keras")

Json = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Also write the result as JSON; - prints it instead of the text.")
]
Threads = Annotated[int, typer.Option(help="Threads of the runtime.")]
Trust = Annotated[
    list[str] | None,
    typer.Option(metavar="MODULE", help="Import this Python module, which defines the model's own layers: its code runs."),
]
ModelPath = Annotated[Path, typer.Argument(metavar="FILE", help="A .keras, .tflite or .onnx file.", show_default=False)]

ModelTarget = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="A .keras, .tflite or .onnx file, a folder with a manifest, a bundle, or a file of one: mnist.zip/int8.tflite.",
        show_default=False,
    ),
]


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command for typer in which a parameter that is a dataclass is an option for each of its fields."""
    parameters: list[inspect.Parameter] = []
    groups: dict[str, tuple[Any, tuple[str, ...]]] = {}
    for parameter in inspect.signature(command).parameters.values():
        kind = parameter.annotation
        fields = [parameter]
        if dataclasses.is_dataclass(kind):
            fields = list(inspect.signature(kind).parameters.values())  # type: ignore[arg-type]  # A class is callable.
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
    return typer.Option(rich_help_panel="Images", **kind)


def _pixels(*names: str, **kind: Any) -> Any:
    return typer.Option(*names, rich_help_panel="A model that edgecnn did not train or export", **kind)


@dataclass(frozen=True)
class ImageOptions:
    """Which images, and how image files become the model's."""

    data: Annotated[
        str | None,
        _image(
            metavar="SOURCE",
            help="A folder of images by class or of IDX files, an .npz file, or mnist, fashion-mnist, cifar10 or cifar100. "
            "Default: the model's own images, or MNIST.",
        ),
    ] = None
    size: Annotated[
        str | None, _image(metavar="HxW", help="What image files are made into. Default: their size, or the model's.")
    ] = None
    channels: Annotated[int | None, _image(help="1 for grey, 3 for colour. Default: as the image files are.")] = None
    fit: Annotated[
        str | None, _image(metavar="RULE", help=f"How they are made into it: {', '.join(FITS)}. Default: letterbox.")
    ] = None
    test_share: Annotated[float | None, _image(metavar="SHARE", help="Of a folder without train/ and test/. Default: 0.2.")] = (
        None
    )
    split_seed: Annotated[int | None, _image(help="Of that split. Default: 0.")] = None
    labels: Annotated[Path | None, _image(metavar="FILE", help="The class names, a line each, in the model's order.")] = None

    def folder(self) -> FolderOptions:
        """Return them as the loader takes them.

        Raises:
            ConfigError: If the size is no size.
        """
        return FolderOptions(_size(self.size), self.channels, self.fit, self.test_share, self.split_seed, self.labels)


@dataclass(frozen=True)
class InterfaceOptions:
    """How a file that edgecnn did not export takes pixels, and what it gives."""

    preprocess: Annotated[str | None, _pixels(metavar="SCHEME", help=f"How the model takes pixels: {', '.join(SCHEMES)}.")] = (
        None
    )
    scale: Annotated[float | None, _pixels(help="Or: pixel * scale,")] = None
    mean: Annotated[str | None, _pixels(metavar="M[,M,M]", help="less the mean,")] = None
    std: Annotated[str | None, _pixels(metavar="S[,S,S]", help="divided by the standard deviation.")] = None
    bgr: Annotated[bool, _pixels("--bgr", help="The model takes blue, green, red.")] = False
    logits: Annotated[bool, _pixels("--logits", help="The model ends without softmax.")] = False

    def interface(self, images: ImageOptions, class_names: tuple[str, ...] = ()) -> Interface | None:
        """Return what is said of the model; None if nothing is.

        Raises:
            ConfigError: If the options contradict each other.
        """
        mean, std = _numbers("--mean", self.mean), _numbers("--std", self.std)
        taken = preprocessing(self.preprocess, self.scale, mean, std, self.bgr, images.fit or "letterbox")
        if taken is None and self.logits:
            raise ConfigError("--logits alone does not say how the model takes pixels: add --preprocess")
        return None if taken is None else Interface(taken, "logits" if self.logits else "probabilities", class_names)


@dataclass(frozen=True)
class ModelOptions:
    """How a model file is opened."""

    trust: Trust = None
    signature: Annotated[str | None, typer.Option(help="Which of a TFLite file's signatures to run.")] = None


def whole_numbers(name: str, text: str) -> tuple[int, ...]:
    """Return the numbers of an option as 8,16,32.

    Raises:
        ConfigError: If they are none.
    """
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise ConfigError(f"{name} must be whole numbers, as 8,16,32, got {text}")
    return tuple(map(int, parts))


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    height, mark, width = text.lower().partition("x")
    if not (mark and height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise ConfigError(f"--size must be height x width, as 96x96, got {text}")
    return int(height), int(width)


def _numbers(name: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"{name} must be numbers, as 0.485,0.456,0.406, got {text}") from None
