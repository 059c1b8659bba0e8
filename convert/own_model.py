"""What to train: the mission's CNN, a model of one's own, or one whose last layer is replaced."""

import json
import tempfile
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from convert.keras_runtime import KerasRuntime, load_from_bytes
from convert.model import build_cnn
from convert.tensorflow import load_keras
from convert.train_records import TrainConfig
from convert.trust import import_named, working_directory
from edge.errors import ArtifactError, ConfigError
from edge.files import read_bytes, sha256
from edge.model_file import read_model

Shape = tuple[int, int, int]


def resolved(config: TrainConfig) -> TrainConfig:
    """Return the settings with the recipe's dropout, and the hashes of what `--teacher` and `--model` or `--transfer` name.

    Raises:
        ConfigError: If it is not `module:function` or a .keras file, or the module can't be imported.
        ArtifactError: If the file can't be read.
    """
    if config.teacher:
        config = replace(config, teacher_sha256=sha256(read_bytes(Path(config.teacher))))
    named = config.model or config.transfer
    if named is None:
        return replace(config, dropout=config.cnn_dropout())
    if named.endswith(".keras"):
        return replace(config, source_sha256=sha256(read_bytes(Path(named))))
    load_keras()  # Quietly; the module imports it too.
    source = import_named(module_of(config)[0], f"--model {named}").__file__
    return replace(config, source_sha256=sha256(read_bytes(Path(source))) if source else None)


def module_of(config: TrainConfig) -> tuple[str, ...]:
    """Return the module that `--model module:function` names, in a tuple; an empty one for anything else.

    Raises:
        ConfigError: If `--model` is neither that nor a .keras file.
    """
    if config.model is None or config.model.endswith(".keras"):
        return ()
    module, colon, function = config.model.partition(":")
    if not (module and colon and function):
        raise ConfigError(f"--model {config.model} is neither module:function, as my_module:build, nor a .keras file: name one")
    return (module,)


def new_model(config: TrainConfig, shape: Shape, classes: int, trust: tuple[str, ...]) -> Any:
    """Return the Keras model to train, compiled if its maker compiled it; `open_fitting` looks at what it takes and gives.

    Args:
        config: The settings.
        shape: (height, width, channels) of the images.
        classes: How many.
        trust: Modules whose code a .keras file needs.

    Raises:
        ConfigError: If the model does not come.
        ArtifactError: If a .keras file can't be loaded.
    """
    if config.transfer:
        return _transferred(config.transfer, shape, classes, config.fine_tune, trust)
    if config.model is None:
        return build_cnn(shape, classes, config.cnn_dropout(), config.filters)
    if config.model.endswith(".keras"):
        return _fixed(load_from_bytes(read_model(Path(config.model)).data, config.model, trust, training=True), shape)
    return _fixed(_built(config.model, shape, classes), shape)


def open_fitting(model: Any, config: TrainConfig, shape: Shape, classes: int, trust: tuple[str, ...]) -> KerasRuntime:
    """Open the model as a runtime and refuse one that can't be trained on these images, or not be loaded once it is saved.

    Raises:
        ConfigError: If it does not take batches of the images, or has another number of classes.
        ArtifactError: If it has not one input and one output, or Keras could not load it again.
    """
    origin = config.origin()
    try:
        runtime = KerasRuntime(model)
    except ArtifactError as error:
        raise ArtifactError(f"{origin}: {error}") from error
    takes, gives = runtime.input_spec.shape, runtime.output_spec.shape
    if takes[:1] != (None,):
        raise ConfigError(f"{origin} takes {takes}, and training takes batches of any size: build it with a free batch")
    # Grey images may come without an axis for their one channel.
    if takes[1:] not in (shape, shape[:2] if shape[2] == 1 else shape):
        raise ConfigError(f"{origin} takes {takes}, these images are {shape}: name others, or give them the model's size")
    if gives != (None, classes) and (gives, classes) != ((None, 1), 2):
        raise ConfigError(f"{origin} gives {gives}, the images have {classes} classes: end it in Dense({classes})")
    # Now, and not after hours of training.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        try:
            model.save(path)
        except Exception as error:  # Whatever a class's get_config raises.
            reason = " ".join(str(error).split())[:160]
            raise ConfigError(f"{origin} can't be saved ({reason}): give its classes a get_config()") from error
        load_from_bytes(path.read_bytes(), origin, trust)
    return runtime


def compile_model(model: Any, columns: int, optimizer: Any, output: str, taught: bool = False) -> None:
    """Give the model its loss and an optimizer.

    Args:
        model: The Keras model.
        columns: Numbers that it gives for an image; 1 is the probability (or logit) of class 1 of two.
        optimizer: Keras's.
        output: `probabilities` or `logits`.
        taught: What it learns are shares of all classes, not labels.

    Raises:
        ConfigError: If a model that gives one number is to be taught.
    """
    keras = load_keras()
    logits = output == "logits"
    if taught:
        if columns == 1:
            raise ConfigError("--teacher is for models that give a number for each class: end the model in Dense(2)")
        loss = keras.losses.CategoricalCrossentropy(from_logits=logits)
        accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
    elif columns == 1:
        loss = keras.losses.BinaryCrossentropy(from_logits=logits)
        accuracy = keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0 if logits else 0.5)
    else:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=logits)
        accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    model.compile(optimizer, loss=loss, metrics=[accuracy])


def unsettled_share(model: Any, config: TrainConfig, batches: int) -> float:
    """Return which share of batch normalisation's moving averages is still what they began with, 0 to 1.

    A batch leaves `momentum` of them (Keras: BatchNormalization). 0 for a model without such layers, or whose averages were
    begun elsewhere.
    """
    if config.transfer or (config.model or "").endswith(".keras"):
        return 0.0
    normalization = load_keras().layers.BatchNormalization
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, normalization) and layer.trainable]
    return float(max((layer.momentum**batches for layer in layers), default=0.0))


def needed_modules(data: bytes, named: tuple[str, ...]) -> tuple[str, ...]:
    """Return the named modules if a .keras file has any class or function that is not Keras's own, else none."""
    with zipfile.ZipFile(BytesIO(data)) as archive:
        return named if _has_own(json.loads(archive.read("config.json"))) else ()


def _has_own(config: Any) -> bool:
    if isinstance(config, list):
        return any(map(_has_own, config))
    if not isinstance(config, dict):
        return False
    module = config.get("module") if config.get("registered_name") else None
    return (module is not None and module.partition(".")[0] != "keras") or any(map(_has_own, config.values()))


def _built(named: str, shape: Shape, classes: int) -> Any:
    module, _, name = named.partition(":")
    function = getattr(import_named(module, f"--model {named}"), name, None)
    if not callable(function):
        raise ConfigError(
            f"--model {named}: {module} has no function {name}: write one of the images' shape and the number of classes"
        )
    try:
        with working_directory():
            model = function(shape, classes)
            if isinstance(model, load_keras().Model) and not model.built:
                _build(model, shape)
    except Exception as error:  # The function's code raises whatever it likes.
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise ConfigError(f"--model {named} fails for images of {shape} and {classes} classes ({reason}): mend it") from error
    if not isinstance(model, load_keras().Model):
        raise ConfigError(f"--model {named} returns {type(model).__name__}, not a keras.Model: return the model")
    return model


def _build(model: Any, shape: Shape) -> None:
    if isinstance(model, load_keras().Sequential):
        model.build((None, *shape))
    else:
        # A subclassed model's layers come to be when they are called.
        model(np.zeros((1, *shape), np.float32))


def _fixed(model: Any, shape: Shape) -> Any:
    """Fix a functional model that takes images of any size to this one; it stays compiled, and its optimizer starts anew."""
    keras = load_keras()
    inputs = getattr(model, "inputs", None)
    if not inputs or None not in inputs[0].shape[1:]:
        return model
    image = keras.Input(shape, name="image", dtype=inputs[0].dtype)
    try:
        # Not model(image): the layers of a model inside a model can't be found from outside.
        fixed = keras.models.clone_model(model, input_tensors=image)
    except ValueError as error:
        reason = " ".join(str(error).split())[:160]
        raise ConfigError(f"the model does not take images of {shape} ({reason}): give them another size") from error
    fixed.set_weights(model.get_weights())
    return fixed


def _transferred(file: str, shape: Shape, classes: int, fine_tune: bool, trust: tuple[str, ...]) -> Any:
    keras = load_keras()
    base = load_from_bytes(read_model(Path(file)).data, file, trust)
    if not getattr(base, "inputs", None):
        raise ConfigError(
            f"--transfer {file} is a subclassed model, whose layers have no order: give a functional or Sequential one"
        )
    body = _fixed(keras.Model(base.inputs, _features(base, file)), shape)
    head = keras.layers.Dense(classes, activation="softmax", name="transferred_classes")
    model = keras.Model(body.inputs, head(body.outputs[0]))
    # A frozen batch normalisation keeps its statistics too: Keras runs it as at inference.
    for layer in model.layers:
        layer.trainable = fine_tune or layer is head
    return model


def _features(base: Any, file: str) -> Any:
    """Return the input of the last Dense; without one at the end, a feature map's average or what a pooling gives."""
    layers, output = load_keras().layers, base.outputs[0]
    before = list(base.layers)
    while before and isinstance(before[-1], (layers.Activation, layers.Softmax)):
        before.pop()
    if before and isinstance(before[-1], layers.Dense):
        return before[-1].input
    if len(output.shape) == 4:
        return layers.GlobalAveragePooling2D(name="transferred_features")(output)
    if isinstance(base.layers[-1], (layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D, layers.Flatten)):
        return output
    raise ConfigError(f"--transfer {file} has no Dense layer at its end to replace: save it without its last layers")
