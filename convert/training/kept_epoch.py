"""Which epoch is the best, which one is kept, and when to stop: all of it follows from the finished epochs."""

from collections.abc import Sequence

from edgecnn.convert.training.config import TrainConfig
from edgecnn.convert.training.phases import phases_of
from edgecnn.convert.training.records import Epoch, KeptFor
from edgecnn.edge.data.dataset import Dataset
from edgecnn.edge.errors import ConfigError, field


def _figure_of(epoch: Epoch) -> float:
    """Return the figure by which epochs are compared, lower is better: the loss on validation or, without it, in training."""
    return epoch.loss if epoch.val_loss is None else epoch.val_loss


def best_of(history: Sequence[Epoch]) -> int:
    """Return the number of the best epoch, from 1; of equal ones the first."""
    return min(history, key=_figure_of).number


def is_out_of_patience(history: Sequence[Epoch], config: TrainConfig) -> bool:
    """Return whether the last `patience` epochs were no better than one before them; False without a patience.

    Only the epochs of the last phase count: the layers that it trains have not learnt before.
    """
    last = history[phases_of(config)[-1].start :]
    return config.patience is not None and len(last) > config.patience and len(history) - best_of(last) >= config.patience


def is_complete(history: Sequence[Epoch], config: TrainConfig) -> bool:
    """Return whether a run has no epoch left."""
    return len(history) >= config.epochs or is_out_of_patience(history, config)


def kept_epoch(config: TrainConfig, history: Sequence[Epoch]) -> tuple[int, KeptFor]:
    """Return the number of the epoch whose weights are kept, and why.

    Args:
        config: The settings.
        history: Every finished epoch, at least one; fewer than planned if the run was interrupted.
    """
    if config.keep == "best" and history[-1].val_loss is not None:
        return best_of(history), "lowest_validation_loss"
    # The training loss falls from epoch to epoch, so that it chooses only when a run was cut short.
    if config.keep == "best" and not is_complete(history, config):
        return best_of(history), "lowest_training_loss"
    return len(history), "last_epoch"


def needs_validation(name: str, dataset: Dataset) -> ConfigError:
    """Return the error that a setting, here named, needs validation images, which the dataset does not have."""
    return ConfigError(
        f"{field(name)} needs validation images, which {dataset.name} does not have: take some of the training "
        f"images with {field('val_share')}=0.1, or add a val/ (x_val and y_val in an .npz)"
    )
