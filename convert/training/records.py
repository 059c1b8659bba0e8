"""A training run as data: its inputs, its progress, each epoch, the checkpoint, the result, and what stops it."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgecnn.convert.training.config import TrainConfig
from edgecnn.edge.data.dataset import Dataset
from edgecnn.edge.errors import ArtifactError, ConfigError, EdgeCnnError, field
from edgecnn.edge.manifest import DatasetRecord, Output, Preprocessing
from edgecnn.edge.model.interface import Interface
from edgecnn.edge.records import unrecorded
from edgecnn.edge.result import Result
from edgecnn.edge.text import counted

KeptFor = Literal["lowest_validation_loss", "last_epoch", "lowest_training_loss"]


@dataclass(frozen=True)
class Epoch:
    """A finished epoch.

    Attributes:
        number: Number of the epoch, from 1.
        loss: Mean training loss over the epoch, dropout on.
        accuracy: Training accuracy over the epoch, dropout on.
        seconds: Wall time in seconds, validation included.
        val_loss: Mean loss on the validation images after the epoch, with the class weights; None without validation.
        val_accuracy: Accuracy on the validation images, 0 to 1; None without validation.
    """

    number: int
    loss: float
    accuracy: float
    seconds: float
    val_loss: float | None = None
    val_accuracy: float | None = None


@dataclass(frozen=True)
class TrainState:
    """Progress of a run: `batch` of `batches`, from 1, in an epoch of `epochs`, whose figures are those so far.

    The last state of an epoch comes after validation, and has its loss and accuracy, if there are validation images.
    """

    epoch: Epoch
    epochs: int
    batch: int
    batches: int


@dataclass(frozen=True)
class TrainingRun:
    """The inputs of a run, and its progress functions.

    Attributes:
        dataset: Training and test images, read a batch at a time.
        config: The settings.
        folder: Output folder.
        interface: How the model takes pixels, what it computes, and its classes.
        trust: Names of modules whose code a .keras file in `config` needs.
        resume: Whether to continue after the last finished epoch of `folder/checkpoint`.
        summary: Whether the model's layers are among the progress.
        chosen: Reasons of the settings that were chosen, as in `TrainResult`.
        on_text: Called with the model's summary, and with a line for each step.
        on_batch: Called with the state after every batch.
    """

    dataset: Dataset
    config: TrainConfig
    folder: Path
    interface: Interface
    trust: tuple[str, ...] = ()
    resume: bool = False
    summary: bool = True
    chosen: dict[str, str] = dataclasses.field(default_factory=dict)
    on_text: Callable[[str], None] = lambda text: None
    on_batch: Callable[[TrainState], None] = lambda state: None

    @property
    def batches(self) -> int:
        """Number of batches in an epoch."""
        return -(-len(self.dataset.train.labels) // self.config.batch_size)


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
        chosen: Each setting that was chosen, since it was not stated, with its value and the reason.
        commonest: Share of the test images that are of the most frequent class, 0 to 1; None in files of earlier releases.
        recall: Mean over the classes of the share of their test images classified correctly, 0 to 1; None as above.
        guessed: Recall up to which a model may be guessing: an even guess's and two standard deviations; None as above.
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
    chosen: dict[str, str] = dataclasses.field(default_factory=dict)
    commonest: float | None = None
    recall: float | None = None
    guessed: float | None = None
    folder: Path = unrecorded(Path())

    @property
    def path(self) -> Path:
        """Path of the .keras file."""
        return self.folder / self.model_path

    @property
    def complete(self) -> bool:
        """Whether no epoch is left, so that there is nothing to resume."""
        return self.stopped_early or len(self.history) >= self.config.epochs

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


class OtherRun(ConfigError):
    """A folder holds a run that can't be continued with these settings and images.

    Attributes:
        reason: What is in the folder, and how it differs.
    """

    def __init__(self, reason: str, fix: str) -> None:
        super().__init__(f"{field('resume')}: {reason}: {fix}")
        self.reason = reason


class UnusableCheckpoint(ArtifactError):
    """A file of the run to continue is missing or damaged.

    Attributes:
        reason: The file, and what is wrong with it.
    """

    def __init__(self, reason: str, fix: str = f"train without {field('resume')}") -> None:
        super().__init__(f"{reason}: {fix}")
        self.reason = reason


class DecoderLost(EdgeCnnError):
    """A process that decodes images has ended.

    Attributes:
        how: How it ended, as `was killed (SIGKILL)`.
    """

    def __init__(self, how: str, then: str = f"continue with {field('resume')}") -> None:
        super().__init__(f"a process that decodes images {how}: free some memory if it ran out, then {then}")
        self.how = how


class Diverged(ConfigError):
    """A loss is no number any more.

    Attributes:
        figure: Which one, `loss` or `validation loss`.
        loss: Its value.
        epoch: Number of the epoch, from 1.
    """

    def __init__(self, figure: str, loss: float, epoch: int, where: str = "", fix: str = "") -> None:
        fix = fix or f"lower {field('learning_rate')}"
        super().__init__(f"{where}the {figure} is {loss} after epoch {epoch}: {fix}")
        self.figure, self.loss, self.epoch = figure, loss, epoch
