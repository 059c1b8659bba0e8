"""A Keras model from elsewhere, as an export is made of it: a file of Keras 2 as one of Keras 3, and how it takes pixels."""

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.keras.keras2 import CONFIG, METADATA, is_of_keras_3, read_written
from edgecnn.convert.keras.load import CONVERTED, load_tensorflow
from edgecnn.convert.keras.runtime import load_from_bytes
from edgecnn.convert.keras.teachable_machine import stated_interface as stated_interface
from edgecnn.edge.files import libraries_folder, sha256
from edgecnn.edge.manifest import MODEL_NAME
from edgecnn.edge.native_output import quiet

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
