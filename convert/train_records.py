"""What decides a training run, and what it leaves behind."""

from dataclasses import asdict, dataclass

from convert.model import FILTERS
from convert.recipes import COSINE, RECIPES
from edge.errors import ConfigError
from edge.manifest import DatasetRecord, Preprocessing

_OF_THE_CNN = ("dropout", "filters")


@dataclass(frozen=True)
class TrainConfig:
    """What decides a run beside its images and how the model takes them.

    Attributes:
        epochs: Passes over the training images.
        batch_size: Images a step.
        learning_rate: The recipe's highest; a model of one's own that is compiled keeps its optimizer and that one's rate.
        dropout: Share of the features before the last layer of edgecnn's CNN that is dropped, 0 to 1 (exclusive); None for
            the recipe's, which `convert.own_model.resolved` fills in.
        filters: Of the three stages of edgecnn's CNN.
        seed: Of the weights, the order of the images and the dropout.
        model: `module:function` or a .keras file; None for the mission's CNN.
        transfer: A .keras file whose last layer is replaced; None to start from nothing.
        fine_tune: Train all of the transferred model, not its new last layer alone.
        teacher: A model file whose answers are learnt from beside the labels (`convert.teacher`); None for the labels alone.
        source_sha256: Of the file that `model` or `transfer` names, or of the module's source; `resolved` fills it in.
        teacher_sha256: Of the file that `teacher` names; likewise.
        workers: Processes that share each batch.

    Raises:
        ConfigError: If one is out of range, or two exclude each other.
    """

    epochs: int = 5
    recipe: str = COSINE
    batch_size: int = RECIPES[COSINE].batch_size
    augment: bool = RECIPES[COSINE].augment
    learning_rate: float = 0.01
    dropout: float | None = None
    filters: tuple[int, ...] = FILTERS
    seed: int = 0
    model: str | None = None
    transfer: str | None = None
    fine_tune: bool = False
    teacher: str | None = None
    source_sha256: str | None = None
    teacher_sha256: str | None = None
    workers: int = 1

    def __post_init__(self) -> None:
        for name, good, allowed in (
            ("recipe", self.recipe in RECIPES, " or ".join(RECIPES)),
            ("epochs", self.epochs >= 1, "at least 1"),
            ("batch_size", self.batch_size >= 1, "at least 1"),
            ("batch_size", self.batch_size >= self.workers, f"at least 1 for each of {self.workers} workers"),
            ("learning_rate", 0 < self.learning_rate < float("inf"), "more than 0"),
            ("dropout", self.dropout is None or 0 <= self.dropout < 1, "0 or more and less than 1"),
            ("filters", len(self.filters) == 3 and min(self.filters) >= 1, "three numbers from 1, as 8,16,32"),
            ("seed", 0 <= self.seed < 2**32, "0 to 4294967295"),
        ):
            if not good:
                got = getattr(self, name)
                text = ",".join(map(str, got)) if isinstance(got, tuple) else got
                raise ConfigError(f"{option(name)} must be {allowed}, got {text}")
        if self.model and self.transfer:
            raise ConfigError("--model and --transfer both name what to start from: give one of them")
        if self.transfer and not self.transfer.endswith(".keras"):
            raise ConfigError(f"--transfer {self.transfer} is not a .keras file: name one")
        for name in _OF_THE_CNN:
            if (self.model or self.transfer) and getattr(self, name) != getattr(TrainConfig, name):
                raise ConfigError(
                    f"{option(name)} is of edgecnn's own CNN, not of {self.model or self.transfer}: leave it away"
                )
        if self.fine_tune and not self.transfer:
            raise ConfigError("--fine-tune is for a transferred model: name one with --transfer, or leave it away")

    def cnn_dropout(self) -> float:
        """Return the dropout of edgecnn's CNN."""
        return RECIPES[self.recipe].dropout if self.dropout is None else self.dropout

    def origin(self) -> str:
        """Return what the model comes from, for messages."""
        return f"--transfer {self.transfer}" if self.transfer else f"--model {self.model}" if self.model else "the CNN"

    def settings(self) -> dict[str, str]:
        """Return what decided the run, as text; what does not apply to it is left out."""
        values = asdict(self) | {"filters": ",".join(map(str, self.filters))}
        if self.model or self.transfer:
            values = {name: value for name, value in values.items() if name not in _OF_THE_CNN}
        if self.workers == 1:
            del values["workers"]
        return {name: str(value) for name, value in values.items() if value is not None and value is not False}


@dataclass(frozen=True)
class Epoch:
    """A finished epoch.

    Attributes:
        number: From 1.
        loss: Mean training loss over the epoch, dropout on.
        accuracy: Training accuracy over the epoch, dropout on.
        seconds: Wall time.
    """

    number: int
    loss: float
    accuracy: float
    seconds: float


@dataclass(frozen=True)
class Checkpoint:
    """Where a run stands; `checkpoint/checkpoint.json` is this record.

    Attributes:
        config: The run's settings.
        dataset: What it learns from.
        preprocessing: How the model takes pixels.
        output: `probabilities` or `logits`, what it gives.
        history: Every finished epoch.
        last: File name and SHA-256 of the last epoch's model, with its optimizer.
        best: The same of the epoch with the lowest training loss.
        best_epoch: That epoch's number.
    """

    config: TrainConfig
    dataset: DatasetRecord
    preprocessing: Preprocessing
    output: str
    history: tuple[Epoch, ...]
    last: tuple[str, ...]
    best: tuple[str, ...]
    best_epoch: int


@dataclass(frozen=True)
class TrainResult:
    """How a run went; `train.json` is this record.

    Attributes:
        config: What decided it.
        dataset: What it learnt from.
        model_path: The .keras file's name.
        model_sha256: Of its bytes.
        parameters: All weights of the model.
        trainable_parameters: Those that the optimizer moves.
        history: Every finished epoch.
        epoch: The one whose weights were kept: the last, or after an interruption the one of lowest training loss.
        interrupted: Whether Ctrl-C ended the run.
        seconds: Wall time of the epochs.
        test_images: How many images the next two were measured on.
        test_accuracy: Share of them classified right, 0 to 1.
        test_loss: Mean cross-entropy in nats.
        optimizer: Its name, learning rate and, of a recipe, how that goes.
        versions: Package -> version.
        log_folder: TensorBoard's, inside the model's folder.
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


def option(field: str) -> str:
    """Return the command line's name of a `TrainConfig` field."""
    return "--" + field.replace("_", "-")
