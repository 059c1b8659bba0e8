"""TensorFlow and Keras, imported late and quietly."""

import os
import re
from typing import Any

from convert.trust import custom_objects
from edge.errors import ArtifactError, MissingDependency
from edge.quiet import quiet


def load_tensorflow() -> Any:
    """Import TensorFlow with its start-up notices held back, and return the module.

    Raises:
        MissingDependency: If TensorFlow is not installed.
    """
    # Errors stay; notices and warnings of the C++ side (one of them after every Ctrl-C) say nothing to a user.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        with quiet():
            import tensorflow

            # The device search prints too, at the first use.
            tensorflow.config.list_physical_devices()
    except ModuleNotFoundError as error:
        if error.name != "tensorflow":
            raise
        raise MissingDependency("TensorFlow is not installed. On the workstation: pip install 'edgecnn[train]'") from error
    return tensorflow


def load_keras() -> Any:
    """Import Keras on TensorFlow and return the module. Errors as `load_tensorflow`."""
    load_tensorflow()
    import keras

    return keras


def load_keras_model(path: str, origin: str, training: bool = False, trust: tuple[str, ...] = ()) -> Any:
    """Load a .keras file in safe mode: no code from the file runs, only Keras's own and that of the modules in `trust`.

    Args:
        path: The file.
        origin: What to call it in a message.
        training: Also restore the optimizer and the mixed precision of a model that was trained with it.
        trust: Names of Python modules that define the model's own layers and functions.

    Raises:
        ArtifactError: If Keras can't load it; of a class that Keras does not know the message tells how to name it.
        ConfigError: If a trusted module can't be imported.
    """
    keras = load_keras()
    known = custom_objects(trust)
    try:
        with quiet():
            model = keras.models.load_model(path, custom_objects=known, compile=training, safe_mode=True)
    except Exception as error:  # Keras raises whatever its layers, zipfile and h5py raise.
        raise ArtifactError(f"{origin}: {_why(str(error), path, trust)}") from error
    if not training:
        _in_float32(model)
    return model


def _why(text: str, path: str, trust: tuple[str, ...]) -> str:
    """Say what Keras says, in one line that ends with the fix."""
    unknown = re.search(
        r"Could not locate (class|function) '([^']+)'(?:.*?Full object config: \{'module': '([^']+)')?", text, re.S
    )
    if unknown:
        kind, name, module = unknown.groups()
        origin = f" of module {module}" if module not in (None, "builtins") else ""
        lacking = f", which {' and '.join(trust)} lacks" if trust else ""
        return (
            f"Keras does not know its {kind} {name}{origin}{lacking}: "
            "name the module that defines it with --trust MODULE (its code will run here, with your rights)"
        )
    if "Lambda" in text and "safe_mode=False" in text:
        return (
            "it has a Lambda layer, a function's code inside the file, which is never run: save the model with a layer "
            "of a module of your own in its place, and name that with --trust MODULE"
        )
    reason = " ".join(text.replace(path, "the file").split())[:160]
    return f"Keras can't load it in safe mode ({reason}): save it again"


def _in_float32(model: Any) -> None:
    # Mixed precision is a way to train: the weights are float32. A CPU emulates the narrow sums, slowly, and no
    # exported file could equal them.
    for layer in model._flatten_layers():
        if layer.dtype_policy.name.startswith("mixed_"):
            layer.dtype_policy = layer.dtype_policy.variable_dtype
