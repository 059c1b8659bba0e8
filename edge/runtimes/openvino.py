""".onnx and .tflite files, through OpenVINO on the CPU."""

import sys
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.compatibility.tflite_graph import tflite_ends
from edgecnn.edge.errors import ArtifactError, ConfigError, field, parsing
from edgecnn.edge.files import temporary_folder
from edgecnn.edge.formats import is_marked
from edgecnn.edge.manifest import Quantization, TensorSpec
from edgecnn.edge.runtimes.base import imported, refuse_random, require_one_each
from edgecnn.edge.runtimes.onnxruntime import require_usable
from edgecnn.edge.runtimes.tflite_state import tflite_state
from edgecnn.edge.text import ending

_Ends = tuple[Quantization | None, Quantization | None]


def import_library() -> tuple[str, Any]:
    """Import openvino without the package by which it would send an event, and leave an id in the home folder.

    See `edgecnn.edge.runtimes.base.imported`.
    """
    absent = "openvino_telemetry" not in sys.modules
    if absent:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # As Python marks what can't be imported.
    try:
        return imported("openvino")
    finally:
        if absent:
            del sys.modules["openvino_telemetry"]


class OpenVinoModel:
    """A `LoadedModel` of .onnx or .tflite bytes, opened as by any `OpenModel`.

    Raises:
        ArtifactError: If the bytes are not a whole model that this version runs, it does not have one input and one output
            whose sizes are fixed, except for the batch, it draws random numbers, or it keeps state.
    """

    name = "openvino"

    def __init__(self, data: bytes, threads: int, signature: str | None = None, streaming: bool = False) -> None:
        tflite = is_marked(data, "tflite")
        ends = _usable_tflite(data, signature, streaming) if tflite else (None, None)
        if not tflite:
            require_usable(data, signature, streaming)
        self.version, openvino = import_library()
        compiled = _compiled(openvino, data, threads, tflite, self.version)
        with parsing("the model's inputs and outputs can't be read", "give them names in UTF-8"):
            require_one_each("OpenVINO", *([port.any_name for port in ports] for ports in (compiled.inputs, compiled.outputs)))
            self.input_spec, self.output_spec = _spec(compiled.inputs[0], ends[0]), _spec(compiled.outputs[0], ends[1])
        self._request = compiled.create_infer_request()
        # Filling the request's own tensor takes half the time of passing a new one, which is made and checked.
        fixed = None not in self.input_spec.shape
        self._input: Any = self._request.get_input_tensor().data if fixed else None
        self._output: Any = self._request.get_output_tensor().data if fixed else None
        self._lock = Lock()  # Threads would fill the same tensors.

    def run(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Run a batch."""
        with self._lock:
            if self._input is None:
                found: NDArray[Any] = self._request.infer([batch])[0].copy()
                return found
            if (batch.shape, batch.dtype) != (self._input.shape, self._input.dtype):  # numpy would repeat or round its numbers.
                raise ValueError(
                    f"a batch must be {self._input.shape} of {self._input.dtype}, got {batch.shape} of {batch.dtype}"
                )
            self._input[:] = batch
            self._request.infer()
            output: NDArray[Any] = self._output.copy()
            return output


open_model = OpenVinoModel


def _usable_tflite(data: bytes, signature: str | None, streaming: bool) -> _Ends:
    """Return how a .tflite file's ends are quantized, if the answer for an image depends on that image alone."""
    if signature is not None or streaming:
        said = field("signature") if signature is not None else "streaming"
        raise ConfigError(f"OpenVINO runs .tflite files of one graph without state: omit {said}")
    ends, state = tflite_ends(data), tflite_state(data)
    refuse_random("TFLite", state.random)
    if state.resettable or state.lasting:
        raise ArtifactError("the TFLite model keeps state that OpenVINO does not reset between runs: use another runtime")
    return ends


def _compiled(openvino: Any, data: bytes, threads: int, tflite: bool, version: str) -> Any:
    options = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        # Newer CPUs would compute a float32 file in bfloat16, and some then refuse an int8 file.
        "INFERENCE_PRECISION_HINT": "f32",
    }
    try:
        core = openvino.Core()
        with temporary_folder() as folder:
            path = folder / "model.tflite"
            if tflite:  # Its reader of these files takes no bytes.
                path.write_bytes(data)
            return core.compile_model(core.read_model(str(path) if tflite else data), "CPU", options)
    except Exception as error:  # Its errors share no other public base class.
        reason = ending(str(error), 200)
        fix = "copy it again, or convert it again with operators that this runtime has"
        title = "TFLite" if tflite else "ONNX"
        raise ArtifactError(f"openvino {version} can't load the {title} model ({reason}): {fix}") from error


def _spec(port: Any, quantization: Quantization | None) -> TensorSpec:
    shape = tuple(size.get_length() if size.is_static else None for size in port.partial_shape)
    return TensorSpec(port.any_name, shape, np.dtype(port.element_type.to_dtype()).name, quantization)
