"""The float Keras model as a `Runtime`: the reference that every exported file is judged against."""

import tempfile
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.tensorflow import load_keras, load_keras_model, load_tensorflow
from edge.errors import ArtifactError, ConfigError
from edge.manifest import TensorSpec
from edge.runtimes import Opener


def keras_opener(trust: tuple[str, ...] = ()) -> Opener:
    """Return how to open .keras files; it can be sent to a child process, which imports the trusted modules itself.

    Args:
        trust: Names of Python modules that define the models' own layers and functions. Their code runs.
    """
    return Opener(_import_library, partial(_open_model, trust=trust))


def load_from_bytes(data: bytes, origin: str, trust: tuple[str, ...] = (), training: bool = False) -> Any:
    """Return the Keras model of a .keras file's bytes, so that what is loaded is what was hashed.

    Args:
        data: The bytes.
        origin: What to call them in a message.
        trust: As for `keras_opener`.
        training: As for `load_keras_model`.

    Raises:
        ArtifactError: If Keras can't load it in safe mode.
        ConfigError: If a trusted module can't be imported.
        MissingDependency: If TensorFlow is not installed.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(data)
        return load_keras_model(str(path), origin, training, trust)


class KerasRuntime:
    """A `Runtime` for a Keras model, called through a `tf.function`, the fastest way that Keras has for one image.

    The batch of its input is None where the model works with any, whatever it was built with. A subclassed model does not
    say its input; there it is the shape that it was built with.

    Attributes:
        model: The Keras model.
        call: The `tf.function`: a batch in, the one output as float32.

    Raises:
        ArtifactError: If it has not one input and one output, or was never built.
    """

    name = "keras"

    def __init__(self, model: Any) -> None:
        self.version, self.model = version("keras"), model
        declared = _declared_input(model)
        self.input_spec = declared if declared.shape[:1] in ((), (None,)) else _freed(model, declared)
        self.call, self.output_spec = _traced(model, self.input_spec)

    def run(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Run a batch."""
        return np.asarray(self.call(batch))


def _open_model(data: bytes, threads: int, signature: str | None = None, trust: tuple[str, ...] = ()) -> KerasRuntime:
    if signature is not None:
        raise ConfigError("a .keras file has no signatures: leave --signature away")
    tensorflow = load_tensorflow()
    # TensorFlow takes thread counts only before its first operation; in a process of its own that is now.
    try:
        tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
        tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        pass  # Already running (training, export): there nothing is timed.
    return KerasRuntime(load_from_bytes(data, "the .keras file", trust))


def _declared_input(model: Any) -> TensorSpec:
    inputs = getattr(model, "inputs", None)
    if inputs:
        if len(inputs) != 1:
            raise ArtifactError(f"the Keras model has {len(inputs)} inputs: give one with one")
        return TensorSpec(inputs[0].name, tuple(inputs[0].shape), str(inputs[0].dtype))
    shape = (model.get_build_config() or {}).get("input_shape")
    if not shape:
        raise ArtifactError("the Keras model has no input shape: call it on a batch of images before it is saved")
    if not all(size is None or isinstance(size, int) for size in shape):
        raise ArtifactError(f"the Keras model was built with inputs of {shape}: give one with one input")
    return TensorSpec("image", tuple(shape), model.variable_dtype)


def _freed(model: Any, declared: TensorSpec) -> TensorSpec:
    """Free the batch if every image then has its own output."""
    free = replace(declared, shape=(None, *declared.shape[1:]))
    try:
        _, output = _traced(model, free)
    except ArtifactError:
        return declared
    return free if output.shape[:1] == (None,) else declared


def _traced(model: Any, spec: TensorSpec) -> tuple[Any, TensorSpec]:
    tensorflow = load_tensorflow()

    def call(batch: Any) -> Any:
        outputs = tensorflow.nest.flatten(model(batch, training=False))
        if len(outputs) != 1:
            raise ArtifactError(f"the Keras model has {len(outputs)} outputs: give one with one")
        return tensorflow.cast(outputs[0], tensorflow.float32) if outputs[0].dtype.is_floating else outputs[0]

    # As it is: Keras's layers are traceable, and a copy of this function, rewritten, would hide the errors' types.
    function = tensorflow.function(call, input_signature=[tensorflow.TensorSpec(spec.shape, spec.dtype)], autograph=False)
    try:
        output = function.get_concrete_function().structured_outputs
    except ArtifactError:
        raise
    except Exception as error:  # Whatever the model's layers raise.
        reason = " ".join(str(error).split())[:160]
        raise ArtifactError(f"Keras can't run the model on {spec.shape} ({reason}): save it again") from error
    name = next(iter(getattr(model, "output_names", None) or ["scores"]))
    return function, TensorSpec(name, tuple(output.shape), output.dtype.name)


def _import_library() -> None:
    load_keras()
