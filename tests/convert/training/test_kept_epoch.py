"""Which epoch is kept, and when a run stops early."""

from dataclasses import replace

import pytest

from edgecnn.convert.training.checkpoint import is_out_of_patience, kept_epoch
from edgecnn.convert.training.config import TrainConfig
from edgecnn.convert.training.records import Epoch

THREE = TrainConfig(epochs=3)


def epochs(*losses: float) -> list[Epoch]:
    return [Epoch(number, 0.1 * loss, 0.5, 1.0, loss, 0.5) for number, loss in enumerate(losses, start=1)]


@pytest.mark.parametrize(
    ("losses", "patience", "out"),
    [
        ((3.0, 2.0, 1.0), 1, False),
        ((3.0, 1.0, 2.0), 1, True),
        ((3.0, 1.0, 2.0), 2, False),
        ((3.0, 1.0, 2.0, 1.0), 2, True),  # The same is no improvement.
        ((1.0,), 1, False),
        ((), 1, False),
        ((1.0, 2.0, 3.0), None, False),
    ],
)
def test_patience_counts_epochs_since_the_best(losses: tuple[float, ...], patience: int | None, out: bool) -> None:
    assert is_out_of_patience(epochs(*losses), TrainConfig(epochs=9, patience=patience)) is out


@pytest.mark.parametrize(
    ("losses", "out"),
    [
        ((1.0, 2.0, 3.0), False),  # The new last layer has three of nine epochs, and may spend all of them.
        ((1.0, 2.0, 3.0, 6.0, 5.0, 4.0), False),  # Worse than the last layer alone, and better from epoch to epoch.
        ((3.0, 2.0, 1.0, 4.0, 5.0), False),
        ((3.0, 2.0, 1.0, 4.0, 5.0, 6.0), True),
    ],
)
def test_patience_counts_only_epochs_of_all_layers_of_a_transferred_model(losses: tuple[float, ...], out: bool) -> None:
    config = TrainConfig(epochs=9, transfer="mobilenetv2", fine_tune=True, patience=2)
    assert is_out_of_patience(epochs(*losses), config) is out


def test_what_is_kept_follows_from_the_history() -> None:
    found, plain = epochs(3.0, 1.0, 2.0), [Epoch(number, loss, 0.5, 1.0) for number, loss in enumerate((0.2, 0.1, 0.4), 1)]
    last, more = replace(THREE, keep="last"), replace(THREE, epochs=4)
    assert kept_epoch(THREE, found) == kept_epoch(more, found) == (2, "lowest_validation_loss")
    assert kept_epoch(THREE, plain) == (3, "last_epoch")
    assert kept_epoch(more, plain) == (2, "lowest_training_loss")  # Interrupted: an epoch is left.
    assert kept_epoch(last, found) == kept_epoch(replace(more, keep="last"), found) == (3, "last_epoch")
    # Stopped early, and interrupted while that epoch was saved: nothing is left.
    assert kept_epoch(replace(more, patience=1, keep="last"), found) == (3, "last_epoch")
