"""A Keras model from elsewhere, as an export is made of it: a file of Keras 2 as one of Keras 3, and how it takes pixels.

That is known of the models that Teachable Machine trains, by their layers: two dense ones on a MobileNetV2 of width 0.35, which
it trains in the browser, with the names that TensorFlow.js gives, and exports as `keras_model.h5`. Its TFLite files are known
by their tensors: `edgecnn.edge.model.other_tools`. https://github.com/googlecreativelab/teachablemachine-community
"""

import io
import json
import re
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.keras.keras2 import CONFIG, METADATA, is_hdf5, is_of_keras_3, read_written
from edgecnn.convert.keras.load import CONVERTED, load_tensorflow
from edgecnn.convert.keras.runtime import load_from_bytes
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.files import libraries_folder, sha256
from edgecnn.edge.manifest import MODEL_NAME
from edgecnn.edge.model.interface import OF_TEACHABLE_MACHINE, Interface
from edgecnn.edge.native_output import quiet
from edgecnn.edge.sandbox.unverified import run_in_child

# A convolution, dense layer or matrix product: what comes before it prepares the image.
_LAYERS = ("BatchMatMulV2", "Conv2D", "Conv3D", "DepthwiseConv2dNative", "Einsum", "MatMul")


def imported(data: bytes, path: Path, trust: tuple[str, ...] = ()) -> tuple[bytes, tuple[str, ...]]:
    """Return a .keras file of Keras 3 that computes what a file of Keras 2 does, and a clause that says so.

    A file of Keras 3 is returned as it is.

    The same file gives the same bytes, so that what is exported of it later goes with what was exported of it before. They
    record its hash and the version of Keras that wrote it. See `edgecnn.convert.export.source`; call it in a child.

    Raises:
        ArtifactError: If the file can't be read, or Keras 3 can't compute what it does.
        ConfigError: If a trusted module can't be imported.
        MissingDependency: If TensorFlow is not installed.
    """
    if is_of_keras_3(data):
        return data, ()
    written = read_written(data, str(path))
    model = load_from_bytes(data, str(path), trust)
    with libraries_folder() as folder:
        file = folder / MODEL_NAME
        with quiet():
            model.save(str(file))
        made = _reproducible(file.read_bytes(), {"keras_version": written.keras, "sha256": sha256(data)})
    return made, (f"Keras {written.keras} wrote it, and it is exported as a file of Keras 3",)


def _reproducible(data: bytes, converted: dict[str, str]) -> bytes:
    """Return a .keras file without times and addresses of the process that saved it, and with a record of its origin."""
    numbers: dict[str, str] = {}

    def numbered(found: re.Match[str]) -> str:
        return found[1] + numbers.setdefault(found[2], str(len(numbers)))

    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            member = old.read(name)
            if name == METADATA:
                told = {key: value for key, value in json.loads(member).items() if key != "date_saved"}
                member = json.dumps({**told, "date_saved": "", CONVERTED: converted}).encode()
            elif name == CONFIG:
                member = re.sub(r'("shared_object_id": )(\d+)', numbered, member.decode()).encode()
            new.writestr(zipfile.ZipInfo(name), member)
    return buffer.getvalue()


def first_layer_input(runtime: Any, images: NDArray[Any]) -> NDArray[Any] | None:
    """Return what enters the first layer with weights for model inputs (n, ...). See `edgecnn.convert.export.evidence`."""
    tensorflow = load_tensorflow()
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    frozen = convert_variables_to_constants_v2(runtime.call.get_concrete_function())
    graph = frozen.graph
    made = {tensor.name for tensor in frozen.inputs}
    for operation in graph.get_operations():
        first = next((tensor for tensor in operation.inputs if tensor.name in made), None)
        if first is None:
            continue
        if operation.type in _LAYERS:
            inner = tensorflow.compat.v1.wrap_function(
                lambda: tensorflow.graph_util.import_graph_def(graph.as_graph_def(), name=""), []
            )
            part = inner.prune(frozen.inputs[0].name, first.name)
            return np.asarray(part(tensorflow.constant(images)))
        made |= {tensor.name for tensor in operation.outputs}
    return None


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
