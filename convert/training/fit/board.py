"""TensorBoard's log of a run."""

from pathlib import Path
from typing import Any

from edgecnn.convert.keras.load import load_keras

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
