"""The model to train: edgecnn's own network, your own model, or a model whose last layer is replaced."""

import json
import time
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

from edgecnn.convert.keras.load import import_named, load_keras
from edgecnn.convert.keras.runtime import KerasRuntime, load_file, load_from_bytes
from edgecnn.convert.training.choices import choose
from edgecnn.convert.training.config import Phase, TrainConfig, is_keras_file
from edgecnn.convert.training.model.backbones import build_backbone
from edgecnn.convert.training.model.builder import built_model, require_taken, source_sha256
from edgecnn.convert.training.model.networks import build_network
from edgecnn.edge.data.splits import Shape, Split
from edgecnn.edge.errors import ArtifactError, ConfigError, field, parsing, why
from edgecnn.edge.files import libraries_folder, read_bytes, sha256
from edgecnn.edge.manifest import MODEL_NAME, Output
from edgecnn.edge.model.other_tools import fix_for
from edgecnn.edge.model_file import read_model

HEAD = "transferred_classes"
"""Name of the new last layer of a transferred model."""


def resolved(config: TrainConfig, train: Split) -> TrainConfig:
    """Return the settings with what suits the training images, and the hashes of the files of `teacher` and the model.

    Raises:
        ConfigError: If `model` is not `module:function` or a .keras file, the module can't be imported or was edited since, or
            the function does not take an argument.
        ArtifactError: If a file can't be read.
    """
    config, _ = choose(config, train)
    if config.teacher:
        config = replace(config, teacher_sha256=sha256(read_bytes(Path(config.teacher))))
    config = replace(config, fine_tune=config.backbone is not None if config.fine_tune is None else config.fine_tune)
    named = config.weights if config.backbone else config.start
    if named is None:
        return config
    if config.backbone or is_keras_file(named):
        return replace(config, source_sha256=sha256(read_bytes(Path(named))))
    load_keras()  # The module imports Keras too, but not quietly.
    module = import_named(module_of(config)[0], f"{field('model')}={named}")
    require_taken(named, config.arguments)
    return replace(config, source_sha256=source_sha256(module, config.source_sha256))


def module_of(config: TrainConfig) -> tuple[str, ...]:
    """Return a tuple with the module in a `model` of the form `module:function`; an empty one for anything else.

    Raises:
        ConfigError: If `model` is neither that nor a .keras file.
    """
    if config.model is None or is_keras_file(config.model):
        return ()
    module, colon, function = config.model.partition(":")
    if not (module and colon and function):
        fix = fix_for(Path(config.model), "name one")
        raise ConfigError(
            f"{field('model')}={config.model} is neither module:function, for example my_module:build, nor a .keras file: {fix}"
        )
    return (module,)


def new_model(config: TrainConfig, shape: Shape, classes: int, trust: tuple[str, ...], output: Output = "probabilities") -> Any:
    """Return the Keras model to train, compiled if its author compiled it; `open_fitting` checks its input and output.

    `output` decides whether one of edgecnn's own networks ends in its softmax; another model is what it is.

    Raises:
        ConfigError: If the model can't be made.
        ArtifactError: If a .keras file can't be loaded.
    """
    if config.transfer:
        return _transferred(config, shape, classes, trust)
    if config.model is None:
        network = build_network(config.network, shape, classes, config.dropout or 0.0, config.filters)
        if output == "logits":
            network.layers[-1].activation = load_keras().activations.linear
        return network
    if is_keras_file(config.model):
        return _fixed(load_file(read_model(Path(config.model)), trust, training=True), shape)
    return _fixed(built_model(config.model, config.arguments, shape, classes), shape)


def open_fitting(model: Any, config: TrainConfig, shape: Shape, classes: int, trust: tuple[str, ...]) -> KerasRuntime:
    """Open the model as a runtime; raise if it can't be trained on these images, or your code not be loaded after saving.

    Raises:
        ConfigError: If it does not take batches of these images, or has another number of classes.
        ArtifactError: If it does not have one input and one output, or Keras could not load it again.
    """
    origin = config.origin()
    try:
        runtime = KerasRuntime(model)
    except ArtifactError as error:
        raise ArtifactError(f"{origin}: {error.marked}") from error
    takes, gives = runtime.input_spec.shape, runtime.output_spec.shape
    if takes[:1] != (None,):
        raise ConfigError(f"{origin} takes {takes}, but training uses batches of any size: build it with a free batch")
    # Grey images may lack a channel axis.
    if takes[1:] not in (shape, shape[:2] if shape[2] == 1 else shape):
        raise ConfigError(f"{origin} takes {takes}, but these images are {shape}: name others, or set the model's size")
    if gives != (None, classes) and (gives, classes) != ((None, 1), 2):
        raise ConfigError(f"{origin} gives {gives}, but the images have {classes} classes: end it in Dense({classes})")
    # Checked now, and not after hours of training.
    year = time.localtime().tm_year
    if not 1980 <= year <= 2107:  # What a zip archive can say, as a .keras file is one.
        raise ConfigError(f"this machine's clock says {year}, in which no .keras file can be saved: set the clock")
    if not (config.model or trust):
        return runtime  # Keras loads what it saves of its own layers.
    with libraries_folder() as folder:
        path = folder / MODEL_NAME
        try:
            model.save(path)
        except Exception as error:  # A class's get_config may raise anything.
            reason = why(error)
            raise ConfigError(f"{origin} can't be saved ({reason}): give its classes a get_config()") from error
        load_from_bytes(path.read_bytes(), origin, trust)
    return runtime


def compile_model(model: Any, columns: int, optimizer: Any, output: Output, taught: bool = False) -> None:
    """Compile a Keras model with the loss for its outputs and a Keras optimizer.

    One column is the probability (or logit) of class 1 of two. If it is taught, its targets are shares of all classes.

    Raises:
        ConfigError: If a model with one output is to learn from a teacher.
    """
    keras = load_keras()
    logits = output == "logits"
    if taught:
        if columns == 1:
            raise ConfigError(f"{field('teacher')} needs a model with one output per class: end the model in Dense(2)")
        loss = keras.losses.CategoricalCrossentropy(from_logits=logits)
        accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
    elif columns == 1:
        loss = keras.losses.BinaryCrossentropy(from_logits=logits)
        accuracy = keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0 if logits else 0.5)
    else:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=logits)
        accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    model.compile(optimizer, loss=loss, metrics=[accuracy])


def choose_layers(model: Any, config: TrainConfig, phase: Phase) -> None:
    """Set which layers of a transferred model are trained; compile it afterwards.

    Batch normalisation stays frozen, and so keeps its statistics: Keras runs it as in inference. A few thousand photos say
    less of them than ImageNet did.
    """
    if config.transfer is None:
        return
    normalization = load_keras().layers.BatchNormalization
    whole = config.fine_tune and phase.start > 0
    model.trainable = True  # Of all its layers, and of the models among them.
    for layer in model._flatten_layers():
        if layer.weights and not hasattr(layer, "layers"):
            layer.trainable = layer.name == HEAD or (whole and not isinstance(layer, normalization))


def needed_modules(data: bytes, named: tuple[str, ...]) -> tuple[str, ...]:
    """Return the named modules if a .keras file has a class or function that is not Keras's own, else none."""
    with parsing("the .keras file can't be read", "save it again"), zipfile.ZipFile(BytesIO(data)) as archive:
        return named if _has_own(json.loads(archive.read("config.json"))) else ()


def _has_own(config: Any) -> bool:
    if isinstance(config, list):
        return any(map(_has_own, config))
    if not isinstance(config, dict):
        return False
    module = config.get("module") if config.get("registered_name") else None
    return (module is not None and module.partition(".")[0] != "keras") or any(map(_has_own, config.values()))


def _fixed(model: Any, shape: Shape) -> Any:
    """Fix a functional model for images of any size to this size; it stays compiled, and its optimizer starts again."""
    keras = load_keras()
    inputs = getattr(model, "inputs", None)
    if not inputs or None not in inputs[0].shape[1:]:
        return model
    image = keras.Input(shape, name="image", dtype=inputs[0].dtype)
    try:
        # Not model(image): the layers of a nested model can't be found from outside.
        fixed = keras.models.clone_model(model, input_tensors=image)
    except ValueError as error:
        reason = why(error)
        raise ConfigError(f"the model does not take images of {shape} ({reason}): give them another size") from error
    fixed.set_weights(model.get_weights())
    return fixed


def _transferred(config: TrainConfig, shape: Shape, classes: int, trust: tuple[str, ...]) -> Any:
    keras, file = load_keras(), str(config.transfer)
    base = build_backbone(file, shape, config.weights) if config.backbone else load_file(read_model(Path(file)), trust)
    if not getattr(base, "inputs", None):
        raise ConfigError(
            f"{field('transfer')}={file} is a subclassed model, whose layers have no order: give a functional or Sequential one"
        )
    body = _fixed(keras.Model(base.inputs, _features(base, file)), shape)
    head = keras.layers.Dense(classes, activation="softmax", name=HEAD)
    return keras.Model(body.inputs, head(body.outputs[0]))


def _features(base: Any, file: str) -> Any:
    """Return the input of the last Dense; without one at the end, the average of the feature map, or a pooling's output."""
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
    raise ConfigError(f"{field('transfer')}={file} has no Dense layer at its end to replace: save it without its last layers")
