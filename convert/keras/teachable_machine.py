"""Recognises the models that Teachable Machine trains, whose layers say how they take pixels.

It trains two dense layers on a MobileNetV2 of width 0.35 in the browser, with the names that TensorFlow.js gives, and exports
them as `keras_model.h5`. Its TFLite files are known by their tensors: `edgecnn.edge.model.other_tools`. https://github.com/googlecreativelab/teachablemachine-community
"""

import re
from functools import partial
from typing import Any

from edgecnn.convert.keras.keras2 import is_hdf5, read_written
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.model.interface import OF_TEACHABLE_MACHINE, Interface
from edgecnn.edge.sandbox.unverified import run_in_child

_SIZE = [None, 224, 224, 3]
_MODELS = ("Functional", "Model")


def stated_interface(data: bytes, origin: str) -> Interface | None:
    """Return how a model of Teachable Machine takes pixels; None for another model. See `edgecnn.edge.model.interface`.

    Raises:
        ArtifactError: If an HDF5 file is damaged.
    """
    if is_hdf5(data):
        recognised = run_in_child(partial(_is_recognised, data, origin), origin, len(data))
    else:
        try:
            recognised = _is_recognised(data, origin)
        except ArtifactError:
            return None  # Keras says what is wrong with it.
    return OF_TEACHABLE_MACHINE if recognised else None


def _is_recognised(data: bytes, origin: str) -> bool:
    try:
        return _is_of_teachable_machine(read_written(data, origin).config)
    except (KeyError, TypeError, ValueError, AttributeError):
        return False  # The layers are another program's.


def _is_of_teachable_machine(model: Any) -> bool:
    """Return whether a configuration has the layers and the names of a model of Teachable Machine."""
    features, head = _layers(model, "Sequential")
    network, pooling = _layers(features, "Sequential")
    hidden, output = _layers(head, "Sequential")
    if network["class_name"] not in _MODELS or pooling["class_name"] != "GlobalAveragePooling2D":
        return False
    image, padding, first = network["config"]["layers"][:3]
    shape = image["config"].get("batch_input_shape") or image["config"].get("batch_shape")
    named = (first["config"]["name"], first["config"]["filters"], padding["config"]["name"]) == ("Conv1", 16, "Conv1_pad")
    dense = [layer["config"] for layer in (hidden, output)]
    return (
        shape == _SIZE
        and named
        and "GlobalAveragePooling2D" in pooling["config"]["name"]
        and all(re.fullmatch(r"dense_Dense\d+", layer["name"]) for layer in dense)
        and (dense[0]["activation"], dense[1]["activation"], dense[1]["use_bias"]) == ("relu", "softmax", False)
    )


def _layers(model: Any, kind: str) -> list[Any]:
    if model["class_name"] != kind:
        raise ValueError(f"not {kind}")
    return [layer for layer in model["config"]["layers"] if layer["class_name"] != "InputLayer"]
