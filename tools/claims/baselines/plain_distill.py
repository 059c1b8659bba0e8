"""A network of 8,8,8 filters that learns from a teacher as in Keras's guide to distillation. Prints each epoch's seconds.

    python -m tools.claims.baselines.plain_distill TEACHER.keras EPOCHS

Source: https://keras.io/examples/vision/knowledge_distillation/; arrays, batches of 64 as `edgecnn train` has them, images not
varied.
"""

import sys
from typing import Any

import keras

from edgecnn.convert.training.model.networks import build_cnn
from tools.claims.baselines.timed_fit import fit

_WEIGHT, _TEMPERATURE = 0.45, 2.0


class Distiller(keras.Model):  # type: ignore[misc]  # Keras has no types.
    """A student whose loss is the labels' and its distance from the teacher's softened answers."""

    def __init__(self, student: keras.Model, teacher: keras.Model) -> None:
        super().__init__()
        self.student, self.teacher = student, teacher
        self.distance = keras.losses.KLDivergence()
        teacher.trainable = False

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return the student's probabilities."""
        return self.student(inputs, training=training)

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, **rest: Any) -> Any:
        """Return the loss of a batch."""
        powers = (keras.ops.power(answers, 1 / _TEMPERATURE) for answers in (self.teacher(x, training=False), y_pred))
        soft = [power / keras.ops.sum(power, axis=-1, keepdims=True) for power in powers]
        own = super().compute_loss(x, y, y_pred, sample_weight, **rest)
        return (1 - _WEIGHT) * own + _WEIGHT * _TEMPERATURE**2 * self.distance(*soft)


def main(teacher: str, epochs: int) -> None:
    """Train, and print the seconds of each epoch."""
    model = Distiller(build_cnn((28, 28, 1), 10, filters=(8, 8, 8)), keras.models.load_model(teacher))
    model.compile(keras.optimizers.AdamW(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    fit(model, 64, epochs)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
