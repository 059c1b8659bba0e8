"""The float Keras model as a `Runtime`: the reference that every exported file is judged against."""

import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.tensorflow import load_keras, load_keras_model, load_tensorflow
from edge.errors import ArtifactError
from edge.manifest import TensorSpec
from edge.runtimes import Opener


def open_model(data: bytes, threads: int) -> "KerasRuntime":
    """Load a .keras file from its bytes, in safe mode.

    Raises:
        ArtifactError: If Keras can't load it or it has not one input and one output.
        MissingDependency: If TensorFlow is not installed.
    """
    tensorflow = load_tensorflow()
    # TensorFlow takes thread counts only before its first operation; in a process of its own that is now.
    try:
        tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
        tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        pass  # Already running (training, export): there nothing is timed.
    return KerasRuntime(load_from_bytes(data))


def load_from_bytes(data: bytes) -> Any:
    """Return the Keras model of a .keras file's bytes, so that what is loaded is what was hashed. Errors as `open_model`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(data)
        return load_keras_model(str(path), "the .keras file")


class KerasRuntime:
    """A `Runtime` for a Keras model, called through a `tf.function`, the fastest way that Keras has for one image."""

    name = "keras"

    def __init__(self, model: Any) -> None:
        tensorflow = load_tensorflow()
        self.version = version("keras")
        inputs, outputs = getattr(model, "inputs", None) or [], getattr(model, "outputs", None) or []
        if len(inputs) != 1 or len(outputs) != 1:
            raise ArtifactError(f"the Keras model has {len(inputs)} inputs and {len(outputs)} outputs: give one with one each")
        self.input_spec = TensorSpec(inputs[0].name, tuple(inputs[0].shape), str(inputs[0].dtype))
        self.output_spec = TensorSpec(outputs[0].name, tuple(outputs[0].shape), str(outputs[0].dtype))
        signature = [tensorflow.TensorSpec(inputs[0].shape, inputs[0].dtype)]
        self._call = tensorflow.function(lambda batch: model(batch, training=False), input_signature=signature)

    def run(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Run a batch."""
        return np.asarray(self._call(batch))


def _import_library() -> None:
    load_keras()


OPENER = Opener(_import_library, open_model)
