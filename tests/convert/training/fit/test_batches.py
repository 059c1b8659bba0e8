"""Batches reach TensorFlow in a dataset that it reads as it is."""

from pathlib import Path
from typing import Any

import keras
import pytest

from edgecnn.convert.training.config import TrainConfig
from edgecnn.convert.training.train import train
from edgecnn.edge.data.dataset import load_dataset
from edgecnn.edge.data.folder_options import FolderOptions
from edgecnn.edge.manifest import Preprocessing

CONFIG = TrainConfig(epochs=1, batch_size=32, filters=(4, 4, 4))


def test_tensorflow_does_not_tune_how_batches_are_read(
    idx_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread misses the end of an epoch if the machine is busy, and the next epoch waits for it, up to a minute."""
    taken: list[Any] = []
    fit = keras.Model.fit

    def watched(model: Any, batches: Any, **options: Any) -> Any:
        taken.extend([batches, options["validation_data"]])
        return fit(model, batches, **options)

    monkeypatch.setattr(keras.Model, "fit", watched)
    images = load_dataset(idx_folder, FolderOptions(val_share=0.2))
    train(images, CONFIG, tmp_path, Preprocessing(1 / 255, "letterbox", "dark"))
    assert [(len(batches), batches.options().autotune.enabled) for batches in taken] == [(6, False), (2, False)]
