"""A training as `edgecnn.train` does it, once the images and the model's preprocessing are known, and whether two are equal."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edgecnn.convert.training import train as training
from edgecnn.convert.training.config import TrainConfig
from edgecnn.convert.training.records import TrainingRun, TrainResult, TrainState
from edgecnn.edge.data.dataset import Dataset
from edgecnn.edge.manifest import Output, Preprocessing
from edgecnn.edge.model.interface import Interface

UNIT = Preprocessing(1 / 255, "letterbox", "dark")


def train(
    dataset: Dataset, config: TrainConfig, folder: Path, taken: Preprocessing, output: Output = "probabilities", **settings: Any
) -> TrainResult:
    """Train in this process; `settings` are further fields of `TrainingRun`."""
    return training.train(TrainingRun(dataset, config, folder, Interface(taken, output), **settings))


def same(first: Path, second: Path) -> bool:
    """Return whether the models of two folders have the same weights."""
    models = [keras.models.load_model(folder / "model.keras").get_weights() for folder in (first, second)]
    return all(np.array_equal(one, other) for one, other in zip(*models, strict=True))


def stop_at(epoch: int, batch: int = 1) -> Callable[[TrainState], None]:
    """Return an `on_batch` that interrupts a training at a batch of an epoch, both from 1."""

    def stop(state: TrainState) -> None:
        if (state.epoch.number, state.batch) == (epoch, batch):
            raise KeyboardInterrupt

    return stop
