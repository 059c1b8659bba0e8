"""TensorBoard's log has enough of the batches to draw a curve, and no more."""

from itertools import pairwise
from pathlib import Path

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]  # Untyped.

from edgecnn.convert.training.fit.callbacks import board


@pytest.mark.parametrize(("batches", "written", "apart"), [(8, 8, 1), (60, 60, 1), (125, 63, 2)])
def test_about_50_batches_of_each_epoch_are_written(batches: int, written: int, apart: int, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    values = np.ones((batches, 1), np.float32)
    model.fit(values, values, batch_size=1, epochs=2, verbose=0, callbacks=[board(tmp_path, batches)])
    log = EventAccumulator(str(tmp_path / "train"), {"tensors": 0}).Reload()
    steps = [event.step for event in log.Tensors("batch_loss")]
    assert (len(steps), steps[written] - steps[0]) == (2 * written, batches)  # The second epoch's first batch.
    assert {late - early for early, late in pairwise(steps[:written])} == {apart}
    assert len(log.Tensors("epoch_loss")) == 2
