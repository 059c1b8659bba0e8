"""The CNN of the mission."""

from typing import Any

from convert.tensorflow import load_keras


def build_cnn(shape: tuple[int, int, int], classes: int, dropout: float = 0.5) -> Any:
    """Return three Conv-BatchNorm-ReLU stages of 32 filters, a max-pool after the first two, and a dense softmax.

    With shape (28, 28, 1) and 10 classes it has 34,890 parameters, 34,698 of them trainable.

    Args:
        shape: (height, width, channels) of the images.
        classes: How many.
        dropout: Share of the flattened features that is dropped in training, 0 to 1 (exclusive).
    """
    layers = load_keras().layers
    stages: list[Any] = []
    for stage in range(3):
        stages += [layers.Conv2D(32, 3, padding="same"), layers.BatchNormalization(), layers.ReLU()]
        if stage < 2:
            stages.append(layers.MaxPooling2D(2))
    head = [layers.Flatten(), layers.Dropout(dropout), layers.Dense(classes, activation="softmax")]
    return load_keras().Sequential([layers.Input(shape, name="image"), *stages, *head])
