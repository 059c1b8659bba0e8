"""The settings of a training run, and its records."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from edgecnn.convert.training.cnn import FILTERS
from edgecnn.convert.training.networks import CNN, NETWORKS, NetworkName
from edgecnn.convert.training.recipes import COSINE, RECIPES, Augment, RecipeName
from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.folder.other_formats import fix_for
from edgecnn.edge.formats import format_of, is_exported
from edgecnn.edge.manifest import DatasetRecord, Output, Preprocessing
from edgecnn.edge.records import unrecorded
from edgecnn.edge.result import Result
from edgecnn.edge.text import WIDTH, counted, paragraphs

Keep = Literal["best", "last"]
ClassWeights = Literal["none", "balanced"]
KeptFor = Literal["lowest_validation_loss", "last_epoch", "lowest_training_loss"]
_OF_OWN_NETWORKS = ("dropout", "network", "filters")
# Settings that change nothing at these values are not listed.
_PLAIN = {"network": CNN, "keep": "best", "class_weights": "none", "workers": 1, "augment": "none"}


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a training run, apart from the images and how the model takes them.

    Attributes:
        epochs: Passes over the training images.
        batch_size: Images in one step.
        augment: How training images are varied. `photo`: crop, mirror image, colours; `digit`: rotated, scaled and shifted a
            little; `none`: not at all. None for the recipe's way, which `resolved` fills in. Earlier releases wrote true for
            `digit` and false for `none`, which are still read.
        learning_rate: Peak learning rate of the recipe; a compiled custom model keeps its own optimizer and learning rate.
        dropout: Share of features dropped before the last layer of edgecnn's own network, 0 to 1 (exclusive); None for the
            recipe's, which `edgecnn.convert.training.custom_model.resolved` fills in.
        network: Name of edgecnn's own network: cnn, strided or separable.
        filters: Number of filters in each of its three stages.
        seed: Seed of the weights, the order of the images and the dropout, from 0.
        model: `module:function` or a .keras file; None for edgecnn's own network.
        transfer: A .keras file whose last layer is replaced; None to start from random weights.
        fine_tune: Whether to train all of the transferred model, not only its new last layer.
        teacher: A model file whose answers are learnt in addition to the labels; None for the labels alone.
        source_sha256: Hash of the file that `model` or `transfer` names, or of the module's source; `resolved` fills it in.
        teacher_sha256: Hash of the file that `teacher` names; `resolved` fills it in.
        workers: Processes that share each batch.
        keep: `best` keeps the epoch with the lowest validation loss or, without validation images, the last one (after an
            interruption the one with the lowest training loss); `last` always keeps the last one.
        patience: Number of epochs without a lower validation loss after which training stops; None to train all epochs. It
            needs validation images.
        class_weights: `balanced` gives the images of each class a weight in the training loss, so that all classes count the
            same; `none` counts images.

    Raises:
        ConfigError: If a setting is out of range, or two exclude each other.
    """

    epochs: int = 5
    recipe: RecipeName = COSINE
    batch_size: int = RECIPES[COSINE].batch_size
    augment: Augment | bool | None = None
    learning_rate: float = 0.01
    dropout: float | None = None
    network: NetworkName = CNN
    filters: tuple[int, ...] = FILTERS
    seed: int = 0
    model: str | None = None
    transfer: str | None = None
    fine_tune: bool = False
    teacher: str | None = None
    source_sha256: str | None = None
    teacher_sha256: str | None = None
    workers: int = 1
    keep: Keep = "best"
    patience: int | None = None
    class_weights: ClassWeights = "none"

    def __post_init__(self) -> None:
        if isinstance(self.augment, bool):
            object.__setattr__(self, "augment", "digit" if self.augment else "none")
        for name, good, allowed in (
            ("recipe", self.recipe in RECIPES, " or ".join(RECIPES)),
            ("epochs", self.epochs >= 1, "at least 1"),
            ("batch_size", self.batch_size >= 1, "at least 1"),
            ("batch_size", self.batch_size >= self.workers, f"at least 1 for each of {self.workers} workers"),
            ("augment", self.augment in (None, *get_args(Augment)), "photo, digit or none"),
            ("learning_rate", 0 < self.learning_rate < float("inf"), "more than 0"),
            ("dropout", self.dropout is None or 0 <= self.dropout < 1, "0 or more and less than 1"),
            ("network", self.network in NETWORKS, " or ".join(NETWORKS)),
            ("filters", len(self.filters) == 3 and min(self.filters) >= 1, "three numbers of at least 1, for example 8,16,32"),
            ("seed", 0 <= self.seed < 2**32, "0 to 4294967295"),
            ("keep", self.keep in get_args(Keep), "best or last"),
            ("patience", self.patience is None or self.patience >= 1, "at least 1"),
            ("class_weights", self.class_weights in get_args(ClassWeights), "balanced or none"),
        ):
            if not good:
                got = getattr(self, name)
                text = ",".join(map(str, got)) if isinstance(got, tuple) else got
                raise ConfigError(f"{field(name)} must be {allowed}, got {text}")
        if self.model and self.transfer:
            raise ConfigError(f"{field('model')} and {field('transfer')} both name a starting model: give one of them")
        if self.transfer and is_exported(format_of(Path(self.transfer))):
            fix = fix_for(Path(self.transfer), "name one")
            raise ConfigError(f"{field('transfer')}={self.transfer} is not a .keras file: {fix}")
        for name in _OF_OWN_NETWORKS:
            if (self.model or self.transfer) and getattr(self, name) != getattr(TrainConfig, name):
                raise ConfigError(
                    f"{field(name)} applies to edgecnn's own networks, not to {self.model or self.transfer}: omit it"
                )
        if self.fine_tune and not self.transfer:
            raise ConfigError(
                f"{field('fine_tune')} applies to a transferred model: name one with {field('transfer')}, or omit it"
            )

    @classmethod
    def of_recipe(cls, recipe: str, **settings: Any) -> "TrainConfig":
        """Return settings with a recipe's batch size, unless it is among `settings`.

        Args:
            recipe: Its name.
            settings: Other fields; None leaves a field to the recipe.

        Raises:
            ConfigError: If there is no such recipe, or as in the class.
        """
        row = next((row for name, row in RECIPES.items() if name == recipe), None)
        if row is None:
            raise ConfigError(f"{field('recipe')}={recipe} is unknown: use {' or '.join(RECIPES)}")
        given = {name: value for name, value in settings.items() if value is not None}
        return cls(**{"recipe": recipe, "batch_size": row.batch_size, **given})

    @property
    def variation(self) -> Augment:
        """How the images of a resolved run are varied."""
        if self.augment is None or isinstance(self.augment, bool):
            raise AssertionError("resolved() fills in the recipe's")
        return self.augment

    def own_dropout(self) -> float:
        """Return the dropout of edgecnn's own network."""
        return RECIPES[self.recipe].dropout if self.dropout is None else self.dropout

    def origin(self) -> str:
        """Return the origin of the model for messages."""
        return self.transfer or self.model or ("the CNN" if self.network == CNN else f"the {self.network} network")

    def settings(self) -> dict[str, str]:
        """Return the settings as text, without those that do not apply."""
        values = asdict(self) | {"filters": ",".join(map(str, self.filters))}
        if self.model or self.transfer:
            values = {name: value for name, value in values.items() if name not in _OF_OWN_NETWORKS}
        values = {name: value for name, value in values.items() if value != _PLAIN.get(name)}
        return {name: str(value) for name, value in values.items() if value is not None and value is not False}


@dataclass(frozen=True)
class Epoch:
    """A finished epoch.

    Attributes:
        number: Number of the epoch, from 1.
        loss: Mean training loss over the epoch, dropout on.
        accuracy: Training accuracy over the epoch, dropout on.
        seconds: Wall time in seconds, validation included.
        val_loss: Mean loss on the validation images after the epoch, without class weights; None without validation.
        val_accuracy: Accuracy on the validation images, 0 to 1; None without validation.
    """

    number: int
    loss: float
    accuracy: float
    seconds: float
    val_loss: float | None = None
    val_accuracy: float | None = None


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run; `checkpoint/checkpoint.json` is this record.

    Attributes:
        config: The run's settings.
        dataset: Dataset it trains on.
        preprocessing: How the model takes pixels.
        output: Kind of its output, `probabilities` or `logits`.
        history: Every finished epoch.
        last: File name and SHA-256 of the last epoch's model, with its optimizer.
        best: File name and SHA-256 of the model of the epoch with the lowest validation loss, without validation images the
            lowest training loss.
        best_epoch: Number of that epoch.
    """

    config: TrainConfig
    dataset: DatasetRecord
    preprocessing: Preprocessing
    output: Output
    history: tuple[Epoch, ...]
    last: tuple[str, ...]
    best: tuple[str, ...]
    best_epoch: int


@dataclass(frozen=True, repr=False)
class TrainResult(Result):
    """The result of a run; `train.json` is this record.

    Attributes:
        config: The run's settings.
        dataset: Dataset it trained on.
        model_path: Name of the .keras file.
        model_sha256: SHA-256 of that file.
        parameters: Number of all weights of the model.
        trainable_parameters: Number of weights that the optimizer changes.
        history: Every finished epoch.
        epoch: Epoch whose weights were kept.
        interrupted: Whether Ctrl-C ended the run.
        seconds: Wall time of the epochs in seconds.
        test_images: Number of test images of the next two.
        test_accuracy: Share of them classified correctly, 0 to 1.
        test_loss: Mean cross-entropy in nats.
        optimizer: Name and learning rate of the optimizer and, for a recipe, its schedule.
        versions: Version of each package.
        log_folder: TensorBoard's folder, inside the model's.
        kept_for: Why that epoch was kept; None in files of earlier releases.
        stopped_early: Whether the run ended because its patience did.
        val_images: Number of validation images; None if there are none.
        folder: The model's folder; not in the JSON.
    """

    config: TrainConfig
    dataset: DatasetRecord
    model_path: str
    model_sha256: str
    parameters: int
    trainable_parameters: int
    history: tuple[Epoch, ...]
    epoch: int
    interrupted: bool
    seconds: float
    test_images: int
    test_accuracy: float
    test_loss: float
    optimizer: str
    versions: dict[str, str]
    log_folder: str
    kept_for: KeptFor | None = None
    stopped_early: bool = False
    val_images: int | None = None
    folder: Path = unrecorded(Path())

    @property
    def path(self) -> Path:
        """Path of the .keras file."""
        return self.folder / self.model_path

    def kept(self) -> str:
        """Return which epoch was kept, and why, as text."""
        reasons = {
            "lowest_validation_loss": "the one of lowest validation loss",
            "lowest_training_loss": "the finished one of lowest training loss",
        }
        kept = self.history[self.epoch - 1]
        figures = ""
        if kept.val_loss is not None and self.val_images is not None:
            shown = f"loss {kept.val_loss:.4f}, accuracy {kept.val_accuracy:.4f}"
            figures = f" ({shown} on {counted(self.val_images, 'validation image')})"
        patience = counted(self.config.patience or 0, "epoch")
        early = f"; stopped early after {patience} without improvement" if self.stopped_early else ""
        last = "the last one" if self.val_images else "the last one (no validation images)"
        reason = reasons.get(str(self.kept_for), last)
        return f"epoch {self.epoch} of {len(self.history)}, {reason}{figures}{early}"

    def to_text(self, width: int = WIDTH) -> str:
        """Return how it went, and what to do next."""
        lines = [
            f"{self.path}: accuracy {self.test_accuracy:.4f}, loss {self.test_loss:.4f} on "
            f"{counted(self.test_images, 'test image')}",
            f"{counted(self.parameters, 'parameter')} ({self.trainable_parameters:,} trainable), "
            f"{counted(self.history, 'epoch')} in {self.seconds:.0f} s, seed {self.config.seed}",
            f"Kept: {self.kept()}",
            f"Curves: tensorboard --logdir {self.folder / self.log_folder.partition('/')[0]}",
            f"Next: edgecnn export {self.path}",
        ]
        return "\n".join(paragraphs(lines, width, "  "))
