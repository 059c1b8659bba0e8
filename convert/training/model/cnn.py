"""The CNN of the mission."""

from typing import Any

from edgecnn.convert.keras.load import load_keras
from edgecnn.edge.errors import ConfigError, field

_SMALLEST = 4  # It is halved twice, by pooling layers or strides.


FILTERS = (32, 32, 32)


def build_cnn(shape: tuple[int, int, int], classes: int, dropout: float = 0.5, filters: tuple[int, ...] = FILTERS) -> Any:
    """Return three Conv-BatchNorm-ReLU stages, a max-pool after the first two, and a dense softmax.

    With shape (28, 28, 1), 10 classes and 32 filters per stage it has 34,890 parameters, 34,698 of them trainable.

    Args:
        shape: (height, width, channels) of the images.
        classes: Number of classes.
        dropout: Share of the flattened features dropped in training, 0 to 1 (exclusive).
        filters: Number of filters in each of the three stages.

    Raises:
        ConfigError: If the images are too small for two pooling layers.
    """
    check_size(shape, "the CNN")
    layers = load_keras().layers
    stages: list[Any] = []
    for stage, count in enumerate(filters):
        stages += [layers.Conv2D(count, 3, padding="same"), layers.BatchNormalization(), layers.ReLU()]
        if stage < 2:
            stages.append(layers.MaxPooling2D(2))
    head = [layers.Flatten(), layers.Dropout(dropout), layers.Dense(classes, activation="softmax")]
    return load_keras().Sequential([layers.Input(shape, name="image"), *stages, *head])


def check_size(shape: tuple[int, int, int], network: str) -> None:
    """Raise a ConfigError if images of this (height, width, channels) are too small to be halved twice.

    `network` names edgecnn's own network in the message.
    """
    if min(shape[:2]) < _SMALLEST:
        raise ConfigError(
            f"images of {shape[0]} x {shape[1]} are too small for {network} (at least {_SMALLEST} x {_SMALLEST}): give larger "
            f"ones, or your own model with {field('model')}"
        )
