"""A Keras layer that TensorFlow's converter turns into TFLite's own LSTM, whose state is in variable tensors."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

STEPS = 12
UNITS = 5


def _lstm(inputs: Any, hidden: Any, cell: Any, kernel: Any, recurrent_kernel: Any, bias: Any) -> Any:
    """Compute what Keras 2's LSTM does; the converter recognises it by the attribute, its arguments and its five outputs."""
    outputs = []
    for step in range(STEPS):
        gates = tf.matmul(inputs[:, step], kernel) + tf.matmul(hidden, recurrent_kernel) + bias
        entry, forget, candidate, exit_ = tf.split(gates, 4, axis=1)
        cell = tf.sigmoid(forget) * cell + tf.sigmoid(entry) * tf.tanh(candidate)
        hidden = tf.sigmoid(exit_) * tf.tanh(cell)
        outputs.append(hidden)
    return hidden, tf.stack(outputs, axis=1), hidden, cell, tf.constant(1.0)


@keras.saving.register_keras_serializable("remembering")
class FusedLstm(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types.
    """Map rows (n, 12, columns) to the last hidden state (n, 5)."""

    def build(self, shape: Any) -> None:
        wide = keras.initializers.RandomNormal(stddev=1.5, seed=1)
        self.kernel = self.add_weight(shape=(shape[-1], 4 * UNITS), initializer=wide)
        self.recurrent_kernel = self.add_weight(shape=(UNITS, 4 * UNITS), initializer=wide)
        remember = np.repeat([0.0, 5.0, 0.0, 0.0], UNITS)  # Biases of the forget gates: most of the state stays.
        self.bias = self.add_weight(shape=(4 * UNITS,), initializer=keras.initializers.Constant(remember))

    def call(self, inputs: Any) -> Any:
        attributes = {"api_implements": "lstm_1", "api_preferred_device": "CPU", "time_major": False, "go_backwards": False}
        zeros = tf.zeros((tf.shape(inputs)[0], UNITS))
        fused = tf.function(_lstm, experimental_attributes=attributes, autograph=False)
        weights = (tf.convert_to_tensor(weight) for weight in (self.kernel, self.recurrent_kernel, self.bias))
        return fused(inputs, zeros, zeros, *weights)[0]
