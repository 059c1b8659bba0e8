"""TFLite files through the `Interpreter` of ai-edge-litert, which its predecessor has too."""

from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.errors import ArtifactError, ConfigError, field, parsing, why
from edgecnn.edge.formats import RUNTIMES
from edgecnn.edge.manifest import Quantization, TensorSpec
from edgecnn.edge.native_output import quiet
from edgecnn.edge.runtimes.base import imported, refuse_random, require_one_each
from edgecnn.edge.runtimes.tflite_state import tflite_state


def import_library() -> tuple[str, Any]:
    """Import ai-edge-litert. See `edgecnn.edge.runtimes.base.imported`."""
    return imported("litert")


class InterpretedModel:
    """A `LoadedModel` of .tflite bytes.

    Variable tensors, such as an LSTM's state, are set to zero before each run. That costs nothing for a file without any.

    Args:
        runtime: Name of the runtime, whose package has the `Interpreter`.
        data: The bytes.
        threads: Number of threads of the interpreter.
        signature: Name of the signature to run, if there are several.
        streaming: Keep the state between runs.

    Raises:
        MissingDependency: If the package is not installed.
        ArtifactError: If the bytes are not a model that this version runs, it does not have one input and one output, it
            draws random numbers, or it keeps state that can't be reset and streaming is not set.
        ConfigError: If it has several signatures and none is named, it lacks the named one, or streaming is set and it
            keeps no state.
    """

    def __init__(self, runtime: str, data: bytes, threads: int, signature: str | None, streaming: bool) -> None:
        self.name = RUNTIMES[runtime].name_in_results
        self.version, library = imported(runtime)
        try:
            with quiet():
                self._interpreter = library.Interpreter(model_content=data, num_threads=threads)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            reason, fix = why(error, 200), "copy it again, or convert it again for this runtime"
            if "custom op" in reason:
                fix = "convert it without custom operators, whose code this runtime does not have"
            raise ArtifactError(f"{self.name} {self.version} can't load the TFLite model ({reason}): {fix}") from error
        with parsing("the TFLite model's inputs and outputs can't be read", "copy it again"):
            chosen = self._ask(signature)
        self._resets = _resets(data, chosen, streaming)
        self._lock = Lock()  # Overlapping calls of threads would read each other's outputs.

    def _ask(self, signature: str | None) -> str | None:
        """Find inputs and outputs, and return the signature to run: None if there is one graph."""
        names = list(self._interpreter.get_signature_list())
        if (signature is None and len(names) > 1) or (signature is not None and signature not in names):
            has = f"has the signatures {', '.join(names)}" if names else "has no signatures"
            mend = f"name one with {field('signature')}" if names else f"omit {field('signature')}"
            raise ConfigError(f"the TFLite model {has}{f', not {signature}' if signature else ''}: {mend}")
        # Each signature is a separate graph; without a name the interpreter runs the first.
        self._runner = self._interpreter.get_signature_runner(signature) if len(names) > 1 else None
        if self._runner is not None:
            inputs = list(self._runner.get_input_details().items())
            outputs = list(self._runner.get_output_details().items())
        else:
            inputs = [(details["name"], details) for details in self._interpreter.get_input_details()]
            outputs = [(details["name"], details) for details in self._interpreter.get_output_details()]
        require_one_each("TFLite", [name for name, _ in inputs], [name for name, _ in outputs])
        (self._input_name, input_details), (self._output_name, output_details) = inputs[0], outputs[0]
        self._input, self._output = input_details["index"], output_details["index"]
        self.input_spec, self.output_spec = _spec(input_details), _spec(output_details)
        self._free = None in self.input_spec.shape
        self._shape = tuple(input_details["shape"])
        return signature if len(names) > 1 else None

    def run(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Run a batch. If the batch size is free, changing it sets up the buffers again."""
        with self._lock:
            if self._resets:
                self._interpreter.reset_all_variables()
            if self._runner is not None:
                named: NDArray[Any] = self._runner(**{self._input_name: batch})[self._output_name]
                return named
            if self._free and batch.shape != self._shape:
                self._interpreter.resize_tensor_input(self._input, batch.shape)
                self._interpreter.allocate_tensors()
                self._shape = batch.shape
            self._interpreter.set_tensor(self._input, batch)
            self._interpreter.invoke()
            output: NDArray[Any] = self._interpreter.get_tensor(self._output)
            return output


def open_model(data: bytes, threads: int, signature: str | None = None, streaming: bool = False) -> InterpretedModel:
    """Open a model's bytes. See `edgecnn.edge.runtimes.base.OpenModel`."""
    return InterpretedModel("litert", data, threads, signature, streaming)


def _resets(data: bytes, signature: str | None, streaming: bool) -> bool:
    """Return whether the interpreter must reset its variable tensors before each run."""
    state = tflite_state(data, signature)
    refuse_random("TFLite", state.random)
    if streaming and not (state.resettable or state.lasting):
        raise ConfigError("the TFLite model keeps no state between runs: omit streaming")
    if state.lasting and not streaming:
        raise ArtifactError(
            "the TFLite model keeps state from one image to the next that no interpreter can reset: convert a model without "
            "such state, or let your application stream it with Classifier.load(path, streaming=True)"
        )
    return state.resettable and not streaming


def _spec(details: Any) -> TensorSpec:
    shape = tuple(None if size < 0 else int(size) for size in details["shape_signature"])
    scales, zero_points = details["quantization_parameters"]["scales"], details["quantization_parameters"]["zero_points"]
    quantization = None
    if len(scales):
        axis = int(details["quantization_parameters"]["quantized_dimension"]) if len(scales) > 1 else None
        quantization = Quantization(tuple(float(s) for s in scales), tuple(int(z) for z in zero_points), axis)
    return TensorSpec(str(details["name"]), shape, np.dtype(details["dtype"]).name, quantization)
