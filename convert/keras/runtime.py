"""The float Keras model as a `LoadedModel`: the reference for judging every exported file."""

import re
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.keras.keras2 import in_words_of_keras_3
from edgecnn.convert.keras.layer_config import HAS_LAMBDA
from edgecnn.convert.keras.load import custom_objects, load_keras, load_tensorflow
from edgecnn.edge.errors import ArtifactError, ConfigError, field, why
from edgecnn.edge.files import libraries_folder
from edgecnn.edge.manifest import MODEL_NAME, TensorSpec
from edgecnn.edge.model_file import ModelFile
from edgecnn.edge.native_output import quiet
from edgecnn.edge.runtimes.base import installed_version
from edgecnn.edge.sandbox.unverified import remember_tried, run_in_child, was_made, was_tried
from edgecnn.edge.text import counted, shortened

# TensorFlow's operations that change the form of numbers, not what they are.
_PASSING = ("Cast", "Identity", "Reshape", "Squeeze", "StopGradient")


def load_from_bytes(data: bytes, origin: str, trust: tuple[str, ...] = (), training: bool = False) -> Any:
    """Load a .keras or .h5 file in safe mode: no code from the file runs, only Keras's and that of the modules in `trust`.

    They are loaded from its bytes, so that these are the hashed ones; messages call it `origin`. For training, the optimizer is
    restored, and the mixed precision with which the model was trained; a file of Keras 2 brings no optimizer.

    Raises:
        ArtifactError: If Keras can't load it; for a class unknown to Keras, the message says how to name it.
        ConfigError: If a trusted module can't be imported.
        MissingDependency: If TensorFlow is not installed.
    """
    told, suffix = in_words_of_keras_3(data, origin)
    keras, known = load_keras(), custom_objects(trust)
    with libraries_folder() as folder:
        path = (folder / MODEL_NAME).with_suffix(suffix)
        path.write_bytes(told)
        try:
            with quiet():
                model = keras.models.load_model(str(path), custom_objects=known, compile=training, safe_mode=True)
        except Exception as error:  # Keras raises whatever its layers, zipfile and h5py raise.
            raise ArtifactError(f"{origin}: {_why(str(error), str(path), trust, tuple(known))}") from error
    if not training:
        _in_float32(model)
    return model


def _why(text: str, path: str, trust: tuple[str, ...], own: tuple[str, ...]) -> str:
    """Return Keras's message in one line that ends with the fix; `own` has the names of the trusted modules' classes."""
    unknown = re.search(
        r"Could not locate (class|function) '([^']+)'(?:.*?Full object config: \{'module': '([^']+)')?", text, re.S
    ) or re.search(r"Unknown (layer|initializer|regularizer|activation function|function): '?([\w>]+)()", text)  # Of .h5 files.
    if unknown:
        kind, name, module = unknown.groups()
        origin = f" of module {module}" if module not in (None, "", "builtins") else ""
        lacking = f", which {' and '.join(trust)} lacks" if trust else ""
        return (
            f"Keras does not know its {kind} {name}{origin}{lacking}: "
            f"name the module that defines it with {field('trust')}=MODULE (its code will run here, with your rights)"
        )
    if "Lambda" in text and "safe_mode=False" in text:
        return HAS_LAMBDA
    taken = re.search(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(name|dtype|trainable)'", text)
    if taken and taken[1] in own:
        return (
            f"its class {taken[1]} does not take {taken[2]}, which Keras stores for every layer and model: give its __init__ a "
            "**kwargs that it hands to super().__init__"
        )
    # Keras first quotes the whole layer.
    reason = shortened(text.rpartition("Exception encountered: ")[2].replace(path, "the file"))
    return f"Keras can't load it in safe mode ({reason}): copy it again, or save it again with the Keras that made it"


def _in_float32(model: Any) -> None:
    # Mixed precision is only for training: the weights are float32. A CPU emulates the narrow sums slowly, and no
    # exported file could equal them.
    for layer in model._flatten_layers():
        if layer.dtype_policy.name.startswith("mixed_"):
            layer.dtype_policy = layer.dtype_policy.variable_dtype


def load_file(model: ModelFile, trust: tuple[str, ...] = (), training: bool = False) -> Any:
    """Return the Keras model of a file; a file that is new here is first loaded in a child process.

    Raises:
        ArtifactError: If Keras can't load it, or the child did not survive it. Other errors, and the other arguments, are those
            of `load_from_bytes`.
    """
    origin = str(model.path)
    how = f"keras {installed_version('keras')}, loaded, {trust}"
    if not was_made(model.data) and not was_tried(model.data, how):
        run_in_child(partial(_loads, model.data, origin, trust, training), origin, len(model.data))
        remember_tried(model.data, how)
    return load_from_bytes(model.data, origin, trust, training)


def _loads(data: bytes, origin: str, trust: tuple[str, ...], training: bool) -> None:
    load_from_bytes(data, origin, trust, training)  # The model itself can't be sent back.


class KerasRuntime:
    """A `LoadedModel` of a Keras model, called through a `tf.function`, Keras's fastest way for one image.

    The batch of its input is None if the model works with any, whatever it was built with. A subclassed model does not
    declare its input; then it is the shape with which it was built. What a run writes into the model's variables, such as
    the state of `LSTM(stateful=True)`, is undone before the next run.

    Attributes:
        model: The Keras model.
        call: The `tf.function`, from a batch to the single output as float32.

    Raises:
        ArtifactError: If it does not have one input and one output, or was never built.
    """

    name = "keras"

    def __init__(self, model: Any) -> None:
        self.version, self.model = version("keras"), model
        declared = _declared_input(model)
        self.input_spec = declared if declared.shape[:1] in ((), (None,)) else _freed(model, declared)
        self.call, self.output_spec = _traced(model, self.input_spec)
        self._state = _state(model, self.call.get_concrete_function().graph)

    def run(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Run a batch."""
        for variable, value in self._state:
            variable.assign(value)
        return np.asarray(self.call(batch))


def _state(model: Any, graph: Any) -> list[tuple[Any, NDArray[Any]]]:
    """Return the variables that a call may write, with their initial values; usually there are none."""
    # As text, which includes the operators of called functions.
    if 'op: "Assign' not in str(graph.as_graph_def()):
        return []
    for layer in model._flatten_layers():
        if getattr(layer, "stateful", False):
            layer.reset_state()  # Training left the state of its last batch.
    return [(variable, variable.numpy()) for variable in graph.variables]


def import_library() -> None:
    """Import Keras on TensorFlow.

    Raises:
        MissingDependency: If TensorFlow is not installed.
    """
    load_keras()


def open_model(
    data: bytes, threads: int, signature: str | None = None, streaming: bool = False, trust: tuple[str, ...] = ()
) -> KerasRuntime:
    """Open a model's bytes. See `edgecnn.edge.runtimes.base.OpenModel`; `trust` is as for `opener_for`."""
    if signature is not None:
        raise ConfigError(f"a .keras file has no signatures: omit {field('signature')}")
    if streaming:
        raise ConfigError("the float Keras model is a reference for single images: omit streaming")
    tensorflow = load_tensorflow()
    # TensorFlow accepts thread counts only before its first operation; in a separate process that is now.
    try:
        tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
        tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        pass  # It is already running (training, export), where nothing is timed.
    return KerasRuntime(load_from_bytes(data, "the .keras file", trust))


def last_operator(data: bytes, model: Any) -> str | None:
    """Return the operation that makes the output. See `edgecnn.edge.model.interface.require_stated_output`."""
    operation = model.call.get_concrete_function().graph.outputs[0].op
    while operation.type in _PASSING and operation.inputs:
        operation = operation.inputs[0].op
    return str(operation.type)


def _declared_input(model: Any) -> TensorSpec:
    inputs = getattr(model, "inputs", None)
    if inputs:
        if len(inputs) != 1:
            raise ArtifactError(f"the Keras model has {counted(inputs, 'input')}: give a model with one input")
        return TensorSpec(inputs[0].name, tuple(inputs[0].shape), str(inputs[0].dtype))
    shape = (model.get_build_config() or {}).get("input_shape")
    if not shape:
        raise ArtifactError("the Keras model has no input shape: call it on a batch of images before saving it")
    if not all(size is None or isinstance(size, int) for size in shape):
        raise ArtifactError(f"the Keras model was built with inputs of {shape}: give a model with one input")
    return TensorSpec("image", tuple(shape), model.variable_dtype)


def _freed(model: Any, declared: TensorSpec) -> TensorSpec:
    """Free the batch size if every image then has its own output."""
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
            raise ArtifactError(f"the Keras model has {counted(outputs, 'output')}: give a model with one output")
        return tensorflow.cast(outputs[0], tensorflow.float32) if outputs[0].dtype.is_floating else outputs[0]

    # No autograph: Keras's layers are traceable, and a rewritten copy of this function would hide the errors' types.
    function = tensorflow.function(call, input_signature=[tensorflow.TensorSpec(spec.shape, spec.dtype)], autograph=False)
    try:
        output = function.get_concrete_function().structured_outputs
    except ArtifactError:
        raise
    except Exception as error:  # The model's layers may raise anything.
        reason = why(error)
        raise ArtifactError(
            f"Keras can't run the model on {spec.shape} ({reason}): fix the model, and save it again"
        ) from error
    name = next(iter(getattr(model, "output_names", None) or ["scores"]))
    return function, TensorSpec(name, tuple(output.shape), output.dtype.name)
