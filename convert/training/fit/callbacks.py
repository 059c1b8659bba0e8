"""What happens after each batch and each epoch of a run: log, memory, signals."""

import ctypes
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from edgecnn.convert.keras.load import load_keras
from edgecnn.convert.training.checkpoint import is_out_of_patience, prune, save_epoch
from edgecnn.convert.training.distributed.worker import SingleWorker
from edgecnn.convert.training.fit.interrupt import HeldInterrupt
from edgecnn.convert.training.records import Checkpoint, Epoch
from edgecnn.convert.training.training_run import TrainingRun, TrainState
from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.text import counted

# TensorBoard itself draws at most 1,000 points of a run unless it is asked for more.
_POINTS = 50


def board(folder: Path, batches: int) -> Any:
    """Return a Keras callback that writes the figures of each epoch, and those of about 50 batches of it.

    To write those of every batch takes much of the time of training a small network.

    Args:
        folder: Where the log goes.
        batches: Number of batches in an epoch.
    """
    every = max(1, batches // _POINTS)

    class Board(load_keras().callbacks.TensorBoard):  # type: ignore[misc]  # Keras has no types.
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch % every == 0:
                super().on_train_batch_end(batch, logs)

    # No graph: TensorBoard can't read the one that Keras 3 writes ("Malformed GraphDef").
    return Board(log_dir=str(folder), update_freq=1, write_graph=False)


# glibc's malloc.h, and its defaults (man 3 mallopt).
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_DEFAULTS = {_TRIM_THRESHOLD: 128 * 1024, _MMAP_MAX: 65_536}
_KEEPING = {_TRIM_THRESHOLD: 2**31 - 1, _MMAP_MAX: 0}


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Let the process keep what it frees during the block, and give it back at the end; nothing changes without glibc."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt") or not hasattr(library, "malloc_trim"):
        yield
        return
    for setting, value in _KEEPING.items():
        library.mallopt(setting, value)
    try:
        yield
    finally:
        for setting, value in _DEFAULTS.items():
            library.mallopt(setting, value)
        library.malloc_trim(0)


class Diverged(ConfigError):
    """A loss that is no number any more."""


def epoch_callback(run: TrainingRun, checkpoint: Checkpoint | None, held: HeldInterrupt, worker: SingleWorker) -> Any:
    """Return a Keras callback that reports progress and saves every finished epoch.

    Args:
        run: The run, which receives progress and names the folder.
        checkpoint: Checkpoint from which the run continues; the callback's attribute `checkpoint` is the last one saved.
        held: Asked after every batch and epoch whether to stop.
        worker: Does what several workers do together after them.
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
            for seed, state in enumerate(states, start=config.seed + worker.seed_offset):
                state.assign(np.array([seed % 2**32, epoch * self.params["steps"]], np.uint32))

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if validated and batch + 1 == self.params["steps"]:
                return  # Reported, and stopped if asked to, with the validation's figures at the end of the epoch.
            seconds = time.monotonic() - self.started
            loss, accuracy = float(logs["loss"]), float(logs["accuracy"])
            run.on_batch(TrainState(self.epoch, config.epochs, batch + 1, self.params["steps"], loss, accuracy, seconds))
            worker.check(held)

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            finished = _finished(epoch + 1, logs, time.monotonic() - self.started)
            if validated:
                run.on_batch(_last_state(run, finished))
            worker.settle(self.model)
            if worker.chief:
                self.checkpoint = save_epoch(run, self.checkpoint, self.model, finished)
                prune(self.checkpoint, run.folder)
            # Only the chief has the history, and all must stop at the same epoch.
            if worker.agree(int(self.checkpoint is not None and is_out_of_patience(self.checkpoint.history, config))):
                run.on_text(f"Stopped early after epoch {epoch + 1}: no lower validation loss for {patience}")
                self.model.stop_training = True
            worker.check(held)

    return Watcher()


def _finished(number: int, logs: dict[str, Any], seconds: float) -> Epoch:
    """Return the record of an epoch from what Keras logs; raise if a loss is no number."""
    figures = (float(logs[name]) if name in logs else None for name in ("val_loss", "val_accuracy"))
    finished = Epoch(number, float(logs["loss"]), float(logs["accuracy"]), seconds, *figures)
    for name, loss in (("loss", finished.loss), ("validation loss", finished.val_loss)):
        if loss is not None and not np.isfinite(loss):
            raise Diverged(f"the {name} is {loss} after epoch {number}: lower {field('learning_rate')}")
    return finished


def _last_state(run: TrainingRun, done: Epoch) -> TrainState:
    """Return the progress at the end of an epoch."""
    figures = done.loss, done.accuracy, done.seconds, done.val_loss, done.val_accuracy
    return TrainState(done.number, run.config.epochs, run.batches, run.batches, *figures)
