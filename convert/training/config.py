"""The settings of a training run, and the phases that follow from them."""

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from edgecnn.convert.training.model.backbones import BACKBONES, Backbone
from edgecnn.convert.training.model.networks import CNN, FILTERS, NetworkName, title_of
from edgecnn.convert.training.recipes import COSINE, Augment, RecipeName
from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.formats import format_of, is_exported
from edgecnn.edge.model.other_tools import fix_for
from edgecnn.edge.option import Option, check, described, whole_numbers

Keep = Literal["best", "last"]
ClassWeights = Literal["none", "balanced"]
# Of edgecnn's own networks: their settings, with what stands there for other models, and stood there in earlier releases.
_OF_OWN_NETWORKS = {"dropout": None, "network": CNN, "filters": FILTERS}
_OPEN: Any = None  # `convert/training/choices.py` chooses a value, so that no setting of a resolved run is None.
# Settings that change nothing at these values are not listed.
_PLAIN = {"network": CNN, "keep": "best", "class_weights": "none", "augment": "none", "arguments": ""}
_HEAD_SHARE = 1 / 3
_FINE_RATE = 0.1
_ARGUMENT = re.compile(r"([a-zA-Z_]\w*)=.+")


def is_keras_file(name: str) -> bool:
    """Return whether a name is that of a file with a whole Keras model."""
    return not is_exported(format_of(Path(name)))


@described
@dataclass(frozen=True)
class TrainConfig:
    """Settings of a training run, apart from the images and how the model takes them; None is chosen to suit the images.

    Attributes:
        source_sha256: Hash of the file that `model`, `transfer` or `weights` names, or of the module's source and of what it
            imports from its folder; `resolved` fills it in.
        teacher_sha256: Hash of the file that `teacher` names; `resolved` fills in.

    Raises:
        ConfigError: If a setting is out of range, or two exclude each other.
    """

    # Number of processes that shared each batch, which earlier releases could choose.
    RETIRED: ClassVar[dict[str, int]] = {"workers": 1}

    epochs: Annotated[
        int, Option("Number of passes over the training images.", default="by the number of images; MNIST 5", low=1)
    ] = _OPEN
    recipe: Annotated[
        RecipeName, Option("cosine: AdamW with warm-up and cosine decay, images varied. notebook: plain Adam.")
    ] = COSINE
    batch_size: Annotated[
        int, Option("Images per step.", default="cosine 64, of fewer than 5,000 images 32; notebook 128", low=1)
    ] = _OPEN
    # Earlier releases wrote true for `digit` and false for `none`, which are still read.
    augment: Annotated[
        Augment | bool | None,
        Option(
            "photo: vary crop and colours. photo-mirror: mirror images too. digit: rotate, scale, shift. none: vary nothing.",
            metavar="NAME",
            default="cosine: photo for colour images, digit for grey; notebook: none",
        ),
    ] = None
    learning_rate: Annotated[
        float,
        Option(
            "Peak learning rate. A compiled custom model keeps its own optimizer and rate.",
            default="0.01; residual, of fewer than 5,000 images, 0.002",
            above=0,
        ),
    ] = _OPEN
    dropout: Annotated[
        float | None,
        Option(
            "Dropout rate before the network's last layer.",
            default="cnn: cosine 0.3, notebook 0.5; others 0",
            low=0,
            below=1,
        ),
    ] = None
    network: Annotated[
        NetworkName,
        Option(
            "edgecnn's own network: residual, cnn, or strided or separable, which are smaller and faster.",
            metavar="NAME",
            default="cnn for grey images of up to 32x32, residual for others",
        ),
    ] = _OPEN
    filters: Annotated[
        tuple[int, ...],
        Option(
            "Filters of the network's three stages: fewer make it smaller and faster.",
            metavar="N,N,N",
            default="32,32,32; residual 32,64,128",
            low=1,
            parse=whole_numbers,
            example="8,16,32",
        ),
    ] = _OPEN
    seed: Annotated[int, Option("Seed of the weights, the order of images and the dropout.", low=0, high=2**32 - 1)] = 0
    model: Annotated[
        str | None,
        Option("Your own model: module:function of (shape, classes), or a .keras file to continue with.", metavar="MODEL"),
    ] = None
    transfer: Annotated[
        str | None,
        Option(
            "mobilenetv2 or another network trained on ImageNet, or a .keras file; its last layer is replaced.",
            metavar="NAME|FILE",
        ),
    ] = None
    weights: Annotated[
        str | None,
        Option(
            "An .h5 file of that network's weights, saved with include_top=False.",
            metavar="FILE",
            default="Keras's own, of ImageNet",
            kind=Path,
        ),
    ] = None
    fine_tune: Annotated[
        bool | None,
        Option("After the new last layer, train all of the transferred model.", default="on for a name, off for a file"),
    ] = None
    teacher: Annotated[
        str | None, Option("Trained model whose answers the new one also learns.", metavar="FILE", kind=Path)
    ] = None
    source_sha256: str | None = None
    teacher_sha256: str | None = None
    keep: Annotated[
        Keep,
        Option(
            "best: the epoch of lowest validation loss; without validation images, the last. last: always the last.",
            metavar="NAME",
            panel="Validation",
        ),
    ] = "best"
    patience: Annotated[
        int | None,
        Option("Stop after this number of epochs without a lower validation loss.", metavar="N", low=1, panel="Validation"),
    ] = None
    class_weights: Annotated[
        ClassWeights,
        Option(
            "balanced: images of rare classes count more in the loss. none: all images count alike.",
            metavar="RULE",
            default="balanced if a class has twice the images of another",
        ),
    ] = _OPEN
    arguments: Annotated[
        tuple[str, ...],
        Option(
            "Keyword argument of module:function: a number, true, false or a word.",
            name="--set",
            metavar="NAME=VALUE",
            default="none",
        ),
    ] = ()

    def __post_init__(self) -> None:
        if isinstance(self.augment, bool):
            object.__setattr__(self, "augment", "digit" if self.augment else "none")
        for name in ("filters", "arguments"):
            if isinstance(given := getattr(self, name), Iterable) and not isinstance(given, str):
                object.__setattr__(self, name, tuple(given))  # A list would differ from the record of the same.
        for name in ("model", "transfer", "weights", "teacher"):
            if isinstance(given := getattr(self, name), Path):  # As the command line gives it; the record is text.
                object.__setattr__(self, name, str(given))
        check(self)
        filters: Any = self.filters if isinstance(self.filters, tuple | None) else (self.filters,)
        if filters is not None and len(filters) != 3:
            got = ",".join(map(str, filters))
            raise ConfigError(f"{field('filters')} must be three numbers, for example 8,16,32, got {got}")
        self._check_model()

    def _check_model(self) -> None:
        """Check that what names the model to train, or applies to one kind of model, fits together."""
        if self.model and self.transfer:
            raise ConfigError(f"{field('model')} and {field('transfer')} both name a starting model: give one of them")
        if self.transfer and self.backbone is None and not is_keras_file(self.transfer):
            fix = fix_for(Path(self.transfer), f"name one, or {', '.join(BACKBONES)}")
            raise ConfigError(f"{field('transfer')}={self.transfer} is not a .keras file: {fix}")
        if self.weights and self.backbone is None:
            raise ConfigError(
                f"{field('weights')} belong to a network that {field('transfer')} names ({', '.join(BACKBONES)}): omit it"
            )
        for name, placeholder in _OF_OWN_NETWORKS.items():
            if self.start and getattr(self, name) not in (None, placeholder):
                raise ConfigError(f"{field(name)} applies to edgecnn's own networks, not to {self.start}: omit it")
        if self.fine_tune and not self.transfer:
            raise ConfigError(
                f"{field('fine_tune')} applies to a transferred model: name one with {field('transfer')}, or omit it"
            )
        names = [found[1] if (found := _ARGUMENT.fullmatch(text)) else None for text in self.arguments]
        for argument, key in zip(self.arguments, names, strict=True):
            if key is None or names.count(key) > 1:
                raise ConfigError(
                    f"{field('arguments')} must be name=value, each name once, for example width=16, got {argument}"
                )
        if self.arguments and ":" not in (self.model or ""):
            origin = self.origin()
            raise ConfigError(f"{field('arguments')} applies to {field('model')}=module:function, not to {origin}: omit it")

    @property
    def variation(self) -> Augment:
        """How the images of a resolved run are varied."""
        if self.augment is None or isinstance(self.augment, bool):
            raise AssertionError("resolved() chooses one")
        return self.augment

    @property
    def start(self) -> str | None:
        """What names the model that the training starts with; None for one of edgecnn's own networks."""
        return self.model or self.transfer

    @property
    def backbone(self) -> Backbone | None:
        """The network of keras.applications that `transfer` names; None if it names a file, or nothing."""
        return BACKBONES.get(self.transfer or "")

    @property
    def learnt_before(self) -> bool:
        """Whether the training begins with a model that is trained already."""
        return bool(self.transfer) or is_keras_file(self.model or "")

    def origin(self) -> str:
        """Return the origin of the model for messages."""
        return self.start or title_of(self.network or CNN)

    def settings(self) -> dict[str, str]:
        """Return the settings as text, without those that do not apply."""
        values = asdict(self) | {"filters": ",".join(map(str, self.filters or ())), "arguments": ",".join(self.arguments)}
        if self.start:
            values = {name: value for name, value in values.items() if name not in _OF_OWN_NETWORKS}
        values = {name: value for name, value in values.items() if value != _PLAIN.get(name)}
        return {name: str(value) for name, value in values.items() if value is not None and value is not False}


@dataclass(frozen=True)
class Phase:
    """Epochs in which the same layers are trained, with an optimizer of their own.

    Attributes:
        start: Number of epochs before it.
        end: Number of epochs up to its end.
        rate: Share of the learning rate.
        name: Its name for people; empty for the only one of a run.
    """

    start: int
    end: int
    rate: float = 1.0
    name: str = ""

    @property
    def epochs(self) -> int:
        """Number of its epochs."""
        return self.end - self.start


def phases_of(config: TrainConfig) -> tuple[Phase, ...]:
    """Return the phases of a run: two for a transferred model that is fine-tuned for more than one epoch.

    The new last layer has a third of the epochs, at least one. Then all layers are trained at a tenth of the learning rate.
    The gradients of a random last layer would spoil what the others have learnt: Keras, Transfer learning & fine-tuning
    (https://keras.io/guides/transfer_learning/).
    """
    if not config.fine_tune:
        return (Phase(0, config.epochs),)
    head = max(1, int(config.epochs * _HEAD_SHARE))
    phases = (Phase(0, head, name="the new last layer"), Phase(head, config.epochs, _FINE_RATE, "all layers"))
    return phases[: config.epochs]


def phase_at(config: TrainConfig, done: int) -> Phase:
    """Return the phase of the epoch after `done` epochs, or the last one."""
    phases = phases_of(config)
    return next((phase for phase in phases if done < phase.end), phases[-1])
