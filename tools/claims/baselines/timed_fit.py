"""`model.fit` on MNIST as arrays."""

import time
from typing import Any

import keras
import numpy as np

from edgecnn.edge.data.dataset import load_dataset


def fit(model: Any, batch_size: int, epochs: int) -> None:
    """Train a compiled Keras model, and print each epoch's seconds."""
    train = load_dataset("mnist").train
    images = train.images(range(len(train.labels))).astype(np.float32) / np.float32(255)
    started = [0.0]
    watch = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: started.append(time.monotonic()),
        on_epoch_end=lambda epoch, logs: print(time.monotonic() - started[-1], flush=True),
    )
    model.fit(images, train.labels, batch_size=batch_size, epochs=epochs, verbose=0, callbacks=[watch])
