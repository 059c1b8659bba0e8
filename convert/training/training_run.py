"""One training run: its data, settings and folder."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgecnn.convert.training.config import TrainConfig
from edgecnn.convert.training.distributed.meeting import Cluster
from edgecnn.edge.data.dataset import Dataset
from edgecnn.edge.model.interface import Interface


@dataclass(frozen=True)
class TrainState:
    """Progress of a run: `batch` of `batches` in `epoch` of `epochs`, all from 1; means over the epoch so far; its seconds.

    The last state of an epoch comes after validation, and has its loss and accuracy, if there are validation images.
    """

    epoch: int
    epochs: int
    batch: int
    batches: int
    loss: float
    accuracy: float
    seconds: float
    val_loss: float | None = None
    val_accuracy: float | None = None


@dataclass(frozen=True)
class TrainingRun:
    """The inputs of a run, its workers and its progress functions.

    Attributes:
        dataset: Training and test images, read a batch at a time.
        config: The settings.
        folder: Output folder.
        interface: How the model takes pixels, what it computes, and its classes.
        trust: Names of modules whose code a .keras file in `config` needs.
        resume: Whether to continue after the last finished epoch of `folder/checkpoint`.
        cluster: The workers, and the index of this one; None for a single process.
        on_text: Called with the model's summary, and with a line for each step.
        on_batch: Called with the state after every batch.
    """

    dataset: Dataset
    config: TrainConfig
    folder: Path
    interface: Interface
    trust: tuple[str, ...]
    resume: bool
    cluster: Cluster | None
    on_text: Callable[[str], None]
    on_batch: Callable[[TrainState], None]

    @property
    def chief(self) -> bool:
        """Whether this process writes."""
        return self.cluster is None or self.cluster.worker == 0

    @property
    def batches(self) -> int:
        """Number of batches in an epoch."""
        return -(-len(self.dataset.train.labels) // self.config.batch_size)
