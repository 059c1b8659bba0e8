"""edgecnn's own networks by name, each with three stages.

`cnn` is the mission's. `strided` and `separable` are smaller and faster: strides take the place of pools (Springenberg and
others, Striving for Simplicity: The All Convolutional Net, 2015, https://arxiv.org/abs/1412.6806), and an average over the
feature map the place of Flatten (Lin and others, Network In Network, 2014, https://arxiv.org/abs/1312.4400), so that the last
layer has a weight for each filter and not for each pixel.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from edgecnn.convert.keras.load import load_keras
from edgecnn.edge.errors import ConfigError, field

NetworkName = Literal["cnn", "strided", "separable", "residual"]
CNN: NetworkName = "cnn"
RESIDUAL: NetworkName = "residual"

_PATCH = 4
_Shape = tuple[int, int, int]
_SMALLEST = 4  # It is halved twice, by pooling layers or strides.

FILTERS = (32, 32, 32)
RATE = 0.01
"""Usual peak learning rate."""
QUICK = 0.9
"""Share of batch normalization's averages that a batch keeps, so that they have settled after 50; Keras's is 0.99."""
# Sides from which the residual network halves images at once, and twice: a stage costs about as much at any size.
_HALVED, _QUARTERED = 48, 96


def build_network(name: NetworkName, shape: _Shape, classes: int, dropout: float, filters: tuple[int, ...]) -> Any:
    """Return one of edgecnn's own networks as a Keras model: float32 (n, *shape) -> probabilities float32 (n, classes).

    Args:
        name: Its name in `NETWORKS`.
        shape: (height, width, channels) of the images; height and width at least 4.
        classes: Number of classes.
        dropout: Share of the features dropped before the last layer in training, 0 to 1 (exclusive).
        filters: Number of filters in each of the three stages.

    Raises:
        ConfigError: If the images are too small.
    """
    if min(shape[:2]) < _SMALLEST:
        raise ConfigError(
            f"images of {shape[0]} x {shape[1]} are too small for {title_of(name)} (at least {_SMALLEST} x {_SMALLEST}): give "
            f"larger ones, or your own model with {field('model')}"
        )
    return NETWORKS[name].build(shape, classes, dropout, filters)


def title_of(name: NetworkName) -> str:
    """Return a network's name in messages."""
    return "the CNN" if name == CNN else f"the {name} network"


def build_cnn(shape: _Shape, classes: int, dropout: float = 0.5, filters: tuple[int, ...] = FILTERS) -> Any:
    """Return three Conv-BatchNorm-ReLU stages, a max-pool after the first two, and a dense softmax.

    With shape (28, 28, 1), 10 classes and 32 filters per stage it has 34,890 parameters, 34,698 of them trainable. Arguments
    are those of `build_network`.
    """
    layers = load_keras().layers
    stages: list[Any] = []
    for stage, count in enumerate(filters):
        stages += [layers.Conv2D(count, 3, padding="same"), layers.BatchNormalization(), layers.ReLU()]
        if stage < 2:
            stages.append(layers.MaxPooling2D(2))
    head = [layers.Flatten(), layers.Dropout(dropout), layers.Dense(classes, activation="softmax")]
    return load_keras().Sequential([layers.Input(shape, name="image"), *stages, *head])


def build_strided(shape: _Shape, classes: int, dropout: float, filters: tuple[int, ...]) -> Any:
    """Return three stages of 3x3 convolution, BatchNorm and ReLU, the first two with stride 2.

    With shape (28, 28, 1) and 10 classes it has 14,618 parameters with 16, 32 and 32 filters, 6,386 with 8, 16 and 32.
    Arguments are those of `build_network`.
    """
    first, second, third = filters
    return _averaged(shape, classes, dropout, [*_full(first, 2), *_full(second, 2), *_full(third, 1)])


def build_separable(shape: _Shape, classes: int, dropout: float, filters: tuple[int, ...]) -> Any:
    """Return a convolution of patches of 4 x 4 pixels and two depthwise-separable stages, the second with stride 2.

    Patches are those of vision transformers (Dosovitskiy and others, 2020, https://arxiv.org/abs/2010.11929) and ConvNeXt (Liu
    and others, 2022, https://arxiv.org/abs/2201.03545). A separable stage is MobileNet's (Howard and others, 2017,
    https://arxiv.org/abs/1704.04861): a depthwise 3x3 convolution, then a 1x1 convolution, each with BatchNorm and ReLU.
    Arguments are those of `build_network`.
    """
    first, second, third = filters
    return _averaged(shape, classes, dropout, [*_patches(shape, first), *_separable(second, 1), *_separable(third, 2)])


def build_residual(shape: _Shape, classes: int, dropout: float, filters: tuple[int, ...]) -> Any:
    """Return a convolution, then three residual stages: the network for pictures.

    Each stage halves the feature map by a strided convolution, and adds to its result what two more convolutions make of it (He
    and others, Deep Residual Learning for Image Recognition, 2016, https://arxiv.org/abs/1512.03385). Images of 48 pixels and
    more are halved at the beginning too, those of 96 and more twice. Arguments are those of `build_network`.
    """
    keras = load_keras()
    layers, smallest = keras.layers, min(shape[:2])
    image = features = layers.Input(shape, name="image")

    def after(inputs: Any, count: int, stride: int = 1, relu: bool = True) -> Any:
        made = layers.Conv2D(count, 3, strides=stride, padding="same", use_bias=False)(inputs)
        made = layers.BatchNormalization(momentum=QUICK)(made)
        return layers.ReLU()(made) if relu else made

    for stride in (1,) if smallest < _HALVED else (2,) if smallest < _QUARTERED else (2, 2):
        features = after(features, max(1, filters[0] // 2), stride)
    for count in filters:
        features = after(features, count, 2)
        features = layers.ReLU()(layers.Add()([features, after(after(features, count), count, relu=False)]))
    features = layers.Dropout(dropout)(layers.GlobalAveragePooling2D()(features))
    return keras.Model(image, layers.Dense(classes, activation="softmax")(features))


class OwnNetwork(NamedTuple):
    """One of edgecnn's own networks.

    Attributes:
        build: Its function: see `build_network`.
        filters: Its usual numbers of filters.
        seen: Number of images, each as often as it is seen, after which it has usually learnt; it decides the epochs.
        rate_of_few: Its peak learning rate with few images; docs/explanation/training.md has the measurement.
    """

    build: Callable[[_Shape, int, float, tuple[int, ...]], Any]
    filters: tuple[int, ...] = FILTERS
    seen: int = 300_000
    rate_of_few: float = RATE


NETWORKS: dict[NetworkName, OwnNetwork] = {
    "cnn": OwnNetwork(build_cnn),
    "strided": OwnNetwork(build_strided),
    "separable": OwnNetwork(build_separable),
    "residual": OwnNetwork(build_residual, (32, 64, 128), 800_000, 0.002),
}


def _full(filters: int, stride: int) -> list[Any]:
    convolution = load_keras().layers.Conv2D(filters, 3, strides=stride, padding="same", use_bias=False)
    return [convolution, *_normalized()]


def _patches(shape: _Shape, filters: int) -> list[Any]:
    """Return layers that compute a convolution with a kernel of 4 x 4 and a stride of 4.

    Four neighbours in a row become the channels of one pixel, which moves no byte, and the kernel becomes 4 x 1. On a grey
    image LiteRT took 11.4 µs so and 13.8 µs with a kernel of 4 x 4 (int8, 32, 64 and 64 filters, both separable stages with
    stride 1; Xeon with AMX, 2026-11-27).
    """
    layers, (height, width, channels) = load_keras().layers, shape
    missing = -width % _PATCH
    fill = [layers.ZeroPadding2D(((0, 0), (0, missing)))] if missing else []
    rows = layers.Reshape((height, (width + missing) // _PATCH, _PATCH * channels))
    convolution = layers.Conv2D(filters, (_PATCH, 1), strides=(_PATCH, 1), padding="same", use_bias=False)
    return [*fill, rows, convolution, *_normalized()]


def _separable(filters: int, stride: int) -> list[Any]:
    layers = load_keras().layers
    depthwise = layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False)
    return [depthwise, *_normalized(), layers.Conv2D(filters, 1, use_bias=False), *_normalized()]


def _normalized() -> list[Any]:
    # Its offset serves as the bias of the convolution before it.
    layers = load_keras().layers
    return [layers.BatchNormalization(), layers.ReLU()]


def _averaged(shape: _Shape, classes: int, dropout: float, stages: list[Any]) -> Any:
    keras = load_keras()
    layers = keras.layers
    head = [layers.GlobalAveragePooling2D(), layers.Dropout(dropout), layers.Dense(classes, activation="softmax")]
    return keras.Sequential([layers.Input(shape, name="image"), *stages, *head])
