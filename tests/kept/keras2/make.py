"""The files in this folder, written by Keras 2: `pip install tf_keras` into an environment of its own, and run this file there.

tf_keras is Keras 2, maintained by its authors. Beside each model, NAME.npy has what Keras 2 computes for `images(NAME)`.
In an environment of `tensorflow==2.13.1` instead, whose Keras has other places for the weights, this file writes OLD.
"""

import os
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).parent
SIDE = 12
OLD = "torch-2.13.keras"


def images(side: int = SIDE) -> NDArray[np.float32]:
    """Return pixels (4, side, side, 3), 0 to 255, the same each time: noise in four colours."""
    rng = np.random.default_rng(5)
    return (0.6 * rng.uniform(0, 255, (4, 1, 1, 3)) + 0.4 * rng.uniform(0, 255, (4, side, side, 3))).astype(np.float32)


def _differences(keras: Any) -> Any:
    """What Keras 3 refuses or computes otherwise: a depthwise `groups`, tf's own functions, hard_sigmoid, a model called."""
    layers, tf = keras.layers, import_module("tensorflow")
    image = keras.Input((SIDE, SIDE, 3))
    x = keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomZoom(0.1)], name="augmentation")(image)
    x = keras.applications.mobilenet_v2.preprocess_input(x)
    x = layers.Conv2D(6, 3, activation="hard_sigmoid", name="block/conv")(x)
    y = layers.SeparableConv2D(6, 3, padding="same")(layers.DepthwiseConv2D(3, padding="same")(x))
    x = layers.BatchNormalization(name="block/norm")(x + y * tf.nn.sigmoid(y))
    x = layers.LeakyReLU(0.1)(layers.Conv2DTranspose(4, 3, strides=2, padding="same")(x))
    x = layers.ThresholdedReLU(0.05)(layers.Activation("hard_sigmoid")(x))
    x = tf.nn.relu6(1.0 - x)
    x = layers.Flatten()(tf.reduce_mean(x, [1, 2]))
    return keras.Model(image, layers.Dense(3, name="scores")(2 * x - 0.5))


def _caffe(keras: Any) -> Any:
    """The preprocessing that reverses the colours. Keras 2 can write it to HDF5 alone."""
    image = keras.Input((SIDE, SIDE, 3))
    x = keras.applications.resnet50.preprocess_input(image)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3, activation="relu")(x))
    return keras.Model(image, keras.layers.Dense(3)(x))


def _torch(keras: Any) -> Any:
    """A trained part inside, of which some layers are frozen, behind the preprocessing of DenseNet."""
    layers = keras.layers
    part = keras.Input((SIDE, SIDE, 3))
    x = layers.BatchNormalization(trainable=False)(layers.Conv2D(4, 3, trainable=False)(part))
    base = keras.Model(part, layers.BatchNormalization()(layers.Conv2D(4, 3)(x)), name="base")
    image = keras.Input((SIDE, SIDE, 3))
    x = base(keras.applications.densenet.preprocess_input(image), training=False)
    return keras.Model(image, layers.Dense(3)(layers.GlobalMaxPooling2D()(x)))


def _sequential(keras: Any) -> Any:
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Conv2D(4, 3, activation="relu", kernel_regularizer="l2", input_shape=(SIDE, SIDE, 3)),
            layers.MaxPooling2D(),
            layers.Dropout(0.2),
            layers.Flatten(),
            layers.Dense(3, kernel_initializer="he_normal"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def _teachable_machine(keras: Any) -> Any:
    """The layers and names of Teachable Machine's models, with three layers in the place of its MobileNetV2."""
    layers = keras.layers
    image = keras.Input((224, 224, 3), name="input_1")
    x = layers.ZeroPadding2D(((0, 1), (0, 1)), name="Conv1_pad")(image)
    x = layers.Conv2D(16, 3, strides=2, use_bias=False, name="Conv1")(x)
    network = keras.Model(image, layers.ReLU(6, name="out_relu")(layers.DepthwiseConv2D(3, strides=4)(x)), name="model1")
    pooling = layers.GlobalAveragePooling2D(name="global_average_pooling2d_GlobalAveragePooling2D1")
    head = [
        layers.Dense(100, activation="relu", input_shape=(16,), name="dense_Dense1"),
        layers.Dense(2, activation="softmax", use_bias=False, name="dense_Dense2"),
    ]
    features = keras.Sequential([network, pooling], name="sequential_1")
    return keras.Sequential([features, keras.Sequential(head, name="sequential_3")], name="sequential_4")


def _lambda(keras: Any) -> Any:
    return keras.Sequential([keras.layers.Lambda(lambda x: x + 1, input_shape=(SIDE, SIDE, 3)), keras.layers.Flatten()])


MODELS: dict[str, tuple[Callable[[Any], Any], tuple[str, ...]]] = {
    "differences": (_differences, (".h5", ".keras")),
    "caffe": (_caffe, (".h5",)),
    "torch": (_torch, (".h5", ".keras")),
    "sequential": (_sequential, (".h5", ".keras")),
    "keras_model": (_teachable_machine, (".h5",)),
    "lambda": (_lambda, (".h5", ".keras")),
}


def main() -> None:
    """Write the models, each with random weights, and what they compute."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    is_old = find_spec("tf_keras") is None
    keras = import_module("tensorflow").keras if is_old else import_module("tf_keras")
    rng = np.random.default_rng(0)
    for name, (build, suffixes) in MODELS.items():
        keras.backend.clear_session()
        model = build(keras)
        weights = [
            (value, "variance" in variable.name) for value, variable in zip(model.get_weights(), model.weights, strict=True)
        ]
        model.set_weights(
            [rng.uniform(0.5, 1.5, old.shape) if spread else rng.normal(0, 0.3, old.shape) for old, spread in weights]
        )
        if is_old:
            if OLD.startswith(name):
                model.save(HERE / OLD)
            continue
        for suffix in suffixes:
            model.save(HERE / f"{name}{suffix}")
        if name != "lambda":
            np.save(HERE / f"{name}.npy", model.predict(images(model.input_shape[1]), verbose=0))
        if name == "sequential":
            model.save_weights(HERE / "weights.h5")


if __name__ == "__main__":
    main()
