"""The records of a training run: each epoch, the checkpoint, the result."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgecnn.convert.training.config import TrainConfig
from edgecnn.edge.manifest import DatasetRecord, Output, Preprocessing
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
