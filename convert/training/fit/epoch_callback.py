"""What happens after each batch and each epoch of a run."""

import time
from typing import Any

import numpy as np

from edgecnn.convert.keras.load import load_keras
from edgecnn.convert.training.checkpoint import prune, save_epoch
from edgecnn.convert.training.config import Checkpoint, Epoch
from edgecnn.convert.training.distributed.worker import SingleWorker
from edgecnn.convert.training.fit.interrupt import HeldInterrupt
from edgecnn.convert.training.training_run import TrainingRun, TrainState
from edgecnn.edge.errors import ConfigError, field


def epoch_callback(run: TrainingRun, checkpoint: Checkpoint | None, held: HeldInterrupt, worker: SingleWorker) -> Any:
    """Return a Keras callback that reports progress and saves every finished epoch.

    Args:
        run: The run, which receives progress and names the folder.
        checkpoint: Checkpoint from which the run continues; the callback's attribute `checkpoint` is the last one saved.
        held: Asked after every batch and epoch whether to stop.
        worker: Does what several workers do together after them.
    """
    config = run.config

    class Watcher(load_keras().callbacks.Callback):  # type: ignore[misc]  # Keras has no types.
        def __init__(self) -> None:
            super().__init__()
            self.checkpoint = checkpoint
            self.epoch = 0
            self.started = 0.0

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.epoch, self.started = epoch + 1, time.monotonic()
            # A .keras file does not store the state of dropout's random numbers (a seed and a counter of batches). Set
            # here, a resumed epoch drops the same as without the interruption.
            states = [variable for variable in self.model.variables if variable.name == "seed_generator_state"]
            for seed, state in enumerate(states, start=config.seed + worker.seed_offset):
                state.assign(np.array([seed % 2**32, epoch * self.params["steps"]], np.uint32))

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            seconds = time.monotonic() - self.started
            loss, accuracy = float(logs["loss"]), float(logs["accuracy"])
            run.on_batch(TrainState(self.epoch, config.epochs, batch + 1, self.params["steps"], loss, accuracy, seconds))
            worker.check(held)

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seconds = time.monotonic() - self.started
            finished = Epoch(epoch + 1, float(logs["loss"]), float(logs["accuracy"]), seconds)
            if not np.isfinite(finished.loss):
                raise ConfigError(f"the loss is {finished.loss} after epoch {epoch + 1}: lower {field('learning_rate')}")
            worker.settle(self.model)
            if worker.chief:
                self.checkpoint = save_epoch(run, self.checkpoint, self.model, finished)
                prune(self.checkpoint, run.folder)
            worker.check(held)

    return Watcher()
