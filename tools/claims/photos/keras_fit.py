"""Training on a folder of photos as in Keras's guides: read once, cached, prefetched, varied by Keras's layers.

    python -m tools.claims.photos.keras_fit FOLDER SIDE BATCH RATE EPOCHS

It prints each epoch's seconds. `edgecnn train --model tools.claims.photos.keras_fit:network` trains the same network.
"""

import sys
import time
from pathlib import Path

import keras
import tensorflow as tf


def network(shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Return MobileNetV2 0.35 with random weights, whose inputs are pixel / 255."""
    return keras.applications.MobileNetV2(input_shape=shape, alpha=0.35, weights=None, classes=classes)


def main(folder: Path, side: int, batch: int, rate: float, epochs: int) -> None:
    """Train with Adam, and print the seconds of each epoch."""
    images = keras.utils.image_dataset_from_directory(folder, image_size=(side, side), batch_size=batch, seed=0, verbose=False)
    layers = keras.layers
    vary = keras.Sequential(
        [
            layers.RandomFlip("horizontal"),
            layers.RandomZoom(0.2),
            layers.RandomContrast(0.2),
            layers.RandomBrightness(0.2),
            layers.Rescaling(1 / 255),
        ]
    )
    model = network((side, side, 3), len(images.class_names))
    batches = images.cache().map(lambda x, y: (vary(x, training=True), y), num_parallel_calls=tf.data.AUTOTUNE)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    started = [0.0]
    watch = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: started.append(time.monotonic()),
        on_epoch_end=lambda epoch, logs: print(time.monotonic() - started[-1], flush=True),
    )
    model.fit(batches.prefetch(tf.data.AUTOTUNE), epochs=epochs, verbose=0, callbacks=[watch])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))
