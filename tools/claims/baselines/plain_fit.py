"""The notebook's training as in Keras's documentation: arrays, Adam 0.01, batches of 128. Prints each epoch's seconds."""

import sys

import keras

from edgecnn.convert.training.model.networks import build_cnn
from tools.claims.baselines.timed_fit import fit

model = build_cnn((28, 28, 1), 10)
model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
fit(model, 128, int(sys.argv[1]))
