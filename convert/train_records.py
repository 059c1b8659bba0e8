"""What decides a training run, and what it leaves behind."""

from dataclasses import dataclass

from edge.errors import ConfigError
from edge.manifest import DatasetRecord


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a run. The defaults are the public notebook's.

    Attributes:
        epochs: Passes over the training images.
        batch_size: Images a step.
        learning_rate: Of Adam.
        dropout: Share of the features before the last layer that is dropped, 0 to 1 (exclusive).
        seed: Of the weights, the order of the images and the dropout.

    Raises:
        ConfigError: If one is out of range.
    """

    epochs: int = 5
    batch_size: int = 128
    learning_rate: float = 0.01
    dropout: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        for name, good, allowed in (
            ("epochs", self.epochs >= 1, "at least 1"),
            ("batch_size", self.batch_size >= 1, "at least 1"),
            ("learning_rate", 0 < self.learning_rate < float("inf"), "more than 0"),
            ("dropout", 0 <= self.dropout < 1, "0 or more and less than 1"),
            ("seed", 0 <= self.seed < 2**32, "0 to 4294967295"),
        ):
            if not good:
                raise ConfigError(f"{option(name)} must be {allowed}, got {getattr(self, name)}")


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
        history: Every finished epoch.
        last: File name and SHA-256 of the last epoch's model, with its optimizer.
        best: The same of the epoch with the lowest training loss.
        best_epoch: That epoch's number.
    """

    config: TrainConfig
    dataset: DatasetRecord
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
    versions: dict[str, str]
    log_folder: str


def option(field: str) -> str:
    """Return the command line's name of a `TrainConfig` field."""
    return "--" + field.replace("_", "-")
