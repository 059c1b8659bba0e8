"""A module of models as users write one."""

from typing import Any

from edgecnn.convert.training.config import TrainConfig
from edgecnn.convert.training.model.custom_model import new_model, open_fitting
from edgecnn.edge.model.interface import SCHEMES

SHAPE = (12, 12, 1)
UNIT, RAW = SCHEMES["unit"], SCHEMES["raw"]
CONFIG = TrainConfig(epochs=2, recipe="notebook", batch_size=32, augment="none", learning_rate=0.003)
MODULE = """
import keras
from keras import layers

def own(shape, classes):
    model = keras.Sequential([layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(classes, activation="softmax")])
    model.compile(keras.optimizers.SGD(0.05))
    return model

def logits(shape, classes):
    return keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(classes)])

def binary(shape, classes):
    return keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(1, activation="sigmoid")])

def grey(shape, classes):
    return keras.Sequential([keras.Input(shape[:2]), layers.Flatten(), layers.Dense(classes, activation="softmax")])

def any_size(shape, classes):
    image = keras.Input((None, None, shape[2]))
    features = layers.GlobalAveragePooling2D()(layers.BatchNormalization()(layers.Conv2D(4, 3)(image)))
    model = keras.Model(image, layers.Dense(classes, activation="softmax")(features))
    model.compile(keras.optimizers.SGD(0.05))
    return model

def frozen(shape, classes):
    model = logits(shape, classes)
    model.trainable = False
    return model

def ended(shape, classes):
    model = logits(shape, classes)
    model.compile(keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.05, 3)))
    model.optimizer.iterations.assign(3)
    return model

class Net(keras.Model):
    def __init__(self, classes, **named):
        super().__init__(**named)
        self.classes = classes
        self.flatten = layers.Flatten()
        self.dense = layers.Dense(classes, activation="softmax")

    def call(self, image):
        return self.dense(self.flatten(image))

    def get_config(self):
        return {**super().get_config(), "classes": self.classes}

def subclassed(shape, classes):
    return Net(classes)

class Mute(keras.Model):
    def __init__(self, thing):
        super().__init__()
        self.flatten = layers.Flatten()
        self.dense = layers.Dense(3, activation="softmax")

    def call(self, image):
        return self.dense(self.flatten(image))

def mute(shape, classes):
    return Mute(object())

def inside(shape, classes):
    class Hidden(Net):
        pass
    return Hidden(classes)

def one_too_many(shape, classes):
    return logits(shape, classes + 1)

def other_size(shape, classes):
    return logits((8, 8, 1), classes)

def fixed(shape, classes):
    image = keras.Input(shape, batch_size=4)
    return keras.Model(image, layers.Dense(classes)(keras.ops.reshape(image, (4, 144))))

def two(shape, classes):
    image = keras.Input(shape)
    return keras.Model(image, [layers.Flatten()(image), layers.Flatten()(image)])

def number(shape, classes):
    return 3

def shape_alone(shape):
    return None

def fails(shape, classes):
    raise RuntimeError("no such\\nlayer")

not_a_function = 3

def sized(shape, classes, width=4, activation="relu", *, norm=True, rate=0.0):
    stage = [layers.Conv2D(width, 3, activation=activation), *([layers.BatchNormalization()] if norm else [])]
    head = [layers.Flatten(), layers.Dropout(rate), layers.Dense(classes, activation="softmax")]
    return keras.Sequential([keras.Input(shape), *stage, *head])

def any_argument(shape, classes, **named):
    return sized(shape, classes, **named)
"""


def opened(name: str, **settings: Any) -> Any:
    config = TrainConfig(model=f"own_nets:{name}", **settings)
    model = new_model(config, SHAPE, 3, ())
    open_fitting(model, config, SHAPE, 3, ("own_nets",))
    return model


def saved(model: Any, name: str = "base.keras") -> str:
    model.save(name)
    return name
