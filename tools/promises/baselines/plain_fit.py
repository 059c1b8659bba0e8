"""The notebook's training as in Keras's documentation: arrays, Adam 0.01, batches of 128. Prints each epoch's seconds."""

import sys
import time

import keras
import numpy as np

from edgecnn.convert.training.model.cnn import build_cnn
from edgecnn.edge.data.dataset import load_dataset

train = load_dataset("mnist").train
images = train.images(range(len(train.labels))).astype(np.float32) / np.float32(255)
model = build_cnn((28, 28, 1), 10)
model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
started = [0.0]
watch = keras.callbacks.LambdaCallback(
    on_epoch_begin=lambda epoch, logs: started.append(time.monotonic()),
    on_epoch_end=lambda epoch, logs: print(time.monotonic() - started[-1], flush=True),
)
model.fit(images, train.labels, batch_size=128, epochs=int(sys.argv[1]), verbose=0, callbacks=[watch])
