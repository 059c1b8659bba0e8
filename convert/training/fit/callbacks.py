"""What happens after each batch and each epoch of a run."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from edgecnn.convert.keras.load import load_keras
from edgecnn.convert.training.checkpoint import is_out_of_patience, prune, save_epoch
from edgecnn.convert.training.fit.process import HeldInterrupt
from edgecnn.convert.training.records import Checkpoint, Diverged, Epoch, TrainingRun, TrainState
from edgecnn.edge.text import counted

# TensorBoard itself draws at most 1,000 points of a run unless it is asked for more.
_POINTS = 50


def board(folder: Path, batches: int) -> Any:
    """Return a Keras callback that writes the figures of each epoch, and those of about 50 of its `batches`.

    To write those of every batch takes much of the time of training a small network.
    """
    every = max(1, batches // _POINTS)

    class Board(load_keras().callbacks.TensorBoard):  # type: ignore[misc]  # Keras has no types.
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch % every == 0:
                super().on_train_batch_end(batch, logs)

    # No graph: TensorBoard can't read the one that Keras 3 writes ("Malformed GraphDef").
    return Board(log_dir=str(folder), update_freq=1, write_graph=False)


def epoch_callback(run: TrainingRun, checkpoint: Checkpoint | None, held: HeldInterrupt) -> Any:
    """Return a Keras callback that reports progress and saves every finished epoch.

    Args:
        run: The run, which receives progress and names the folder.
        checkpoint: Checkpoint from which the run continues; the callback's attribute `checkpoint` is the last one saved.
        held: Asked after every batch and epoch whether to stop.
    """
    config, validated = run.config, run.dataset.val is not None
    patience = counted(config.patience or 0, "epoch")

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
            for seed, state in enumerate(states, start=config.seed):
                state.assign(np.array([seed % 2**32, epoch * self.params["steps"]], np.uint32))

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if validated and batch + 1 == self.params["steps"]:
                return  # Reported, and stopped if asked to, with the validation's figures at the end of the epoch.
            seconds = time.monotonic() - self.started
            so_far = Epoch(self.epoch, float(logs["loss"]), float(logs["accuracy"]), seconds)
            run.on_batch(TrainState(so_far, config.epochs, batch + 1, self.params["steps"]))
            held.check()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            finished = _finished(epoch + 1, logs, time.monotonic() - self.started)
            if validated:
                run.on_batch(TrainState(finished, config.epochs, self.params["steps"], self.params["steps"]))
            self.checkpoint = save_epoch(run, self.checkpoint, self.model, finished)
            prune(self.checkpoint, run.folder)
            if is_out_of_patience(self.checkpoint.history, config):
                run.on_text(f"Stopped early after epoch {epoch + 1}: no lower validation loss for {patience}")
                self.model.stop_training = True
            held.check()

    return Watcher()


def _finished(number: int, logs: dict[str, Any], seconds: float) -> Epoch:
    """Return the record of an epoch from what Keras logs; raise if a loss is no number."""
    figures = (float(logs[name]) if name in logs else None for name in ("val_loss", "val_accuracy"))
    finished = Epoch(number, float(logs["loss"]), float(logs["accuracy"]), seconds, *figures)
    for name, loss in (("loss", finished.loss), ("validation loss", finished.val_loss)):
        if loss is not None and not np.isfinite(loss):
            raise Diverged(name, loss, number)
    return finished
