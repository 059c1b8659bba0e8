"""TFLite files, through ai-edge-litert or, where that is not installed, its predecessor tflite-runtime."""

import importlib
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ArtifactError, ConfigError, MissingDependency
from edge.manifest import Quantization, TensorSpec
from edge.quiet import quiet
from edge.runtimes.base import require_one_each

# Both have the same Interpreter. The first that is installed is used, and every result names it.
_PACKAGES = {"ai-edge-litert": "ai_edge_litert", "tflite-runtime": "tflite_runtime"}


def import_library() -> None:
    """Import the installed package.

    Raises:
        MissingDependency: If neither is installed.
    """
    _library()


class LiteRtRuntime:
    """A `Runtime` for .tflite bytes.

    Raises:
        MissingDependency: If neither package is installed.
        ArtifactError: If the bytes are not a model that this version runs, or it has not one input and one output.
        ConfigError: If it has several signatures and none is named, or not the named one.
    """

    def __init__(self, data: bytes, threads: int, signature: str | None = None) -> None:
        self.name, self.version, module = _library()
        try:
            with quiet():
                self._interpreter = module.Interpreter(model_content=data, num_threads=threads)
                self._interpreter.allocate_tensors()
        except (AttributeError, SystemError) as error:  # tflite-runtime's extension against numpy 2: _ARRAY_API not found.
            raise MissingDependency(f"{self.name} {self.version} needs an older numpy: pip install 'numpy<2'") from error
        except (ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ArtifactError(
                f"{self.name} {self.version} can't load the TFLite model ({reason}): export it again"
            ) from error
        names = list(self._interpreter.get_signature_list())
        if (signature is None and len(names) > 1) or (signature is not None and signature not in names):
            has = f"has the signatures {', '.join(names)}" if names else "has no signatures"
            mend = "name one with --signature" if names else "leave --signature away"
            raise ConfigError(f"the TFLite model {has}{f', not {signature}' if signature else ''}: {mend}")
        # Each signature is a graph of its own; what the interpreter runs without a name is only the first.
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

    def run(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Run a batch. Where its size is free, another than the last one's costs setting the buffers up anew."""
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


def _library() -> tuple[str, str, Any]:
    for package, module in _PACKAGES.items():
        try:
            library = importlib.import_module(f"{module}.interpreter")
            return package, _version(package), library
        except ModuleNotFoundError as error:
            # Only "not installed" goes on to the next; a broken install must be seen.
            if error.name != module:
                raise
    raise MissingDependency("no TFLite runtime is installed: pip install 'edgecnn[tflite]' (32-bit: 'edgecnn[tflite-runtime]')")


@cache  # Looking a version up costs milliseconds, which would count as the model's loading.
def _version(package: str) -> str:
    return version(package)


def _spec(details: Any) -> TensorSpec:
    shape = tuple(None if size < 0 else int(size) for size in details["shape_signature"])
    scales, zero_points = details["quantization_parameters"]["scales"], details["quantization_parameters"]["zero_points"]
    quantization = None
    if len(scales):
        axis = int(details["quantization_parameters"]["quantized_dimension"]) if len(scales) > 1 else None
        quantization = Quantization(tuple(float(s) for s in scales), tuple(int(z) for z in zero_points), axis)
    return TensorSpec(str(details["name"]), shape, np.dtype(details["dtype"]).name, quantization)
