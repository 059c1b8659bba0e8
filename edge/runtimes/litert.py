"""TFLite files, through ai-edge-litert or, where that is not installed, its predecessor tflite-runtime."""

import importlib
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ArtifactError, MissingDependency
from edge.manifest import Quantization, TensorSpec
from edge.quiet import quiet

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
        ArtifactError: If the bytes are not a model that this version runs.
    """

    def __init__(self, data: bytes, threads: int) -> None:
        self.name, self.version, module = _library()
        try:
            with quiet():
                self._interpreter = module.Interpreter(model_content=data, num_threads=threads)
                self._interpreter.allocate_tensors()
        except AttributeError as error:  # tflite-runtime's extension against numpy 2: _ARRAY_API not found.
            raise MissingDependency(f"{self.name} {self.version} needs an older numpy: pip install 'numpy<2'") from error
        except (ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ArtifactError(
                f"{self.name} {self.version} can't load the TFLite model ({reason}): export it again"
            ) from error
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1:
            raise ArtifactError(f"the TFLite model has {len(inputs)} inputs and {len(outputs)} outputs: give one with one each")
        self._input, self._output = inputs[0]["index"], outputs[0]["index"]
        self.input_spec, self.output_spec = _spec(inputs[0]), _spec(outputs[0])
        self._batch = int(inputs[0]["shape"][0])

    def run(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Run a batch; a file with a fixed batch of one runs it image by image."""
        if self.input_spec.shape[0] is not None and len(batch) != 1:
            return np.concatenate([self.run(batch[i : i + 1]) for i in range(len(batch))])
        if len(batch) != self._batch:
            self._interpreter.resize_tensor_input(self._input, batch.shape)
            self._interpreter.allocate_tensors()
            self._batch = len(batch)
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
