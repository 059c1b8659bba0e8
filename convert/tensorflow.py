"""TensorFlow and Keras, imported late and quietly."""

import os
from typing import Any

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


def load_keras_model(path: str, origin: str, training: bool = False) -> Any:
    """Load a .keras file in safe mode: no code from the file runs.

    Args:
        path: The file.
        origin: What to call it in a message.
        training: Also restore the optimizer, to go on training.

    Raises:
        ArtifactError: If Keras can't load it.
    """
    keras = load_keras()
    try:
        with quiet():
            return keras.models.load_model(path, compile=training, safe_mode=True)
    except Exception as error:  # Keras raises whatever its layers, zipfile and h5py raise.
        reason = " ".join(str(error).replace(path, "the file").split())[:160]
        raise ArtifactError(f"{origin}: Keras can't load it in safe mode ({reason}): save it again") from error
