"""ONNX files, through ONNX Runtime on the CPU."""

import os
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.compatibility.onnx import has_external_data, has_unsigned_bytes, random_operators
from edgecnn.edge.errors import ArtifactError, parsing
from edgecnn.edge.manifest import TensorSpec
from edgecnn.edge.runtimes.base import imported, refuse_random, refuse_signature_and_state, require_one_each
from edgecnn.edge.runtimes.installed import cpu_has
from edgecnn.edge.text import ending


def require_usable(data: bytes, signature: str | None, streaming: bool) -> None:
    """Raise unless an ONNX file is whole and deterministic, and nothing is asked of it that no ONNX file has.

    Raises:
        ArtifactError: If it is not whole, or draws random numbers.
        ConfigError: If a signature is named or streaming is set: ONNX files have no signatures and no state.
    """
    refuse_signature_and_state("an ONNX model", signature, streaming)
    require_whole(data)
    refuse_random("ONNX", random_operators(data))


def require_whole(data: bytes) -> None:
    """Raise if an ONNX file's weights are elsewhere: runtimes and onnx would read them from the current folder.

    Raises:
        ArtifactError: If they are elsewhere, or the bytes are not an ONNX file.
    """
    with parsing("the ONNX model can't be read", "copy it again"):
        external = has_external_data(data)
    if external:
        raise ArtifactError(
            "the ONNX model keeps its weights in another file, which no hash covers: store them inside with "
            "onnx.save(onnx.load('model.onnx'), 'whole.onnx')"
        )


# Messages below this level go to the terminal, in colours and with names from the file; what matters comes as an exception.
_FATAL = 4
_EXACT = "session.x64quantprecision"
NO_TELEMETRY = {"ORT_DISABLE_TELEMETRY": "1"}
"""For the environment: onnxruntime 1.29 and later sends telemetry by default, and reads this when it is imported."""


def import_library() -> tuple[str, Any]:
    """Import onnxruntime with its telemetry off: before anything that imports it by itself. See `base.imported`."""
    for name, value in NO_TELEMETRY.items():
        os.environ.setdefault(name, value)
    version, onnxruntime = imported("onnxruntime")
    onnxruntime.set_default_logger_severity(_FATAL)  # This covers messages outside a session too.
    return version, onnxruntime


class _Buffers(NamedTuple):
    """Arrays that a session reads and writes in place (I/O binding)."""

    binding: Any
    input: NDArray[Any]
    output: NDArray[Any]


class OnnxSession:
    """A `LoadedModel` of .onnx bytes, opened as by any `OpenModel`.

    A file of fixed sizes runs in buffers that are kept, which saves several microseconds of each run. A file that declares
    another output than it gives never does: onnxruntime would only find out at the end of a run.

    Raises:
        ArtifactError: If the bytes are not a whole model that this version runs, it does not have one numeric input and
            one numeric output, or it draws random numbers.
    """

    name = "onnxruntime"

    def __init__(self, data: bytes, threads: int, signature: str | None = None, streaming: bool = False) -> None:
        require_usable(data, signature, streaming)
        self.version, _ = import_library()
        try:
            self._session = inference_session(data, session_options(threads))
        except ArtifactError:
            raise
        except Exception as error:  # onnxruntime's errors share no other public base class.
            reason = ending(str(error), 200)  # It begins with a place in onnxruntime's source and ends with the reason.
            fix = "copy it again, or convert it again with operators that this runtime has"
            raise ArtifactError(f"onnxruntime {self.version} can't load the ONNX model ({reason}): {fix}") from error
        with parsing("the ONNX model's inputs and outputs can't be read", "give them names in UTF-8"):
            inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
            require_one_each("ONNX", [node.name for node in inputs], [node.name for node in outputs])
            for node in (inputs[0], outputs[0]):
                if not node.type.startswith("tensor(") or not hasattr(np, _spec(node).dtype):
                    raise ArtifactError(f"{node.name} of the ONNX model is a {node.type}: give a model with tensors of numbers")
            self.input_spec, self.output_spec = _spec(inputs[0]), _spec(outputs[0])
        # Shape and dtype of the batches that run in buffers; None until a first run has shown that the file can.
        self._bound: tuple[tuple[int, ...], np.dtype[Any]] | None = None
        # A run takes a set and puts it back, so that threads never share one.
        self._free: list[_Buffers] = []

    def run(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Run a batch."""
        if (batch.shape, batch.dtype) != self._bound:
            return self._run_unbound(batch)
        try:
            buffers = self._free.pop()
        except IndexError:
            return self._run_unbound(batch)
        buffers.input[...] = batch
        self._session.run_with_iobinding(buffers.binding)
        output = buffers.output.copy()
        self._free.append(buffers)
        return output

    def _run_unbound(self, batch: NDArray[Any]) -> NDArray[Any]:
        output: NDArray[Any] = self._session.run(None, {self.input_spec.name: batch})[0]
        if (batch.shape, output.shape) == (self.input_spec.shape, self.output_spec.shape):
            self._bound = batch.shape, batch.dtype
            self._free.append(self._buffers(batch, output))
        return output

    def _buffers(self, batch: NDArray[Any], output: NDArray[Any]) -> _Buffers:
        """Return buffers for a batch and its output."""
        binding, given, taken = self._session.io_binding(), np.empty_like(batch, order="C"), np.empty_like(output)
        for bind, spec, array in ((binding.bind_input, self.input_spec, given), (binding.bind_output, self.output_spec, taken)):
            bind(spec.name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        return _Buffers(binding, given, taken)


open_model = OnnxSession


def session_options(threads: int) -> Any:
    """Return onnxruntime's options for this number of threads.

    Raises:
        MissingDependency: If it is not installed.
    """
    _, onnxruntime = import_library()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL
    if not _has_vnni():
        options.add_session_config_entry(_EXACT, "1")
    return options


def inference_session(data: bytes, options: Any) -> Any:
    """Open a file's bytes in onnxruntime on the CPU, with `session_options`.

    Raises:
        MissingDependency: If it is not installed.
        ArtifactError: If this CPU can't compute the file exactly.
        Exception: Onnxruntime's own errors, which share no other public base class.
    """
    _, onnxruntime = import_library()
    # Its fallback tries the same again, and prints to standard output.
    opened = partial(onnxruntime.InferenceSession, data, options, providers=["CPUExecutionProvider"], enable_fallback=False)
    try:
        return opened()
    except Exception:
        if _has_vnni():
            raise
        # For exact sums it makes int8 weights unsigned, and fails if QLinearConv and the like read int8 images or if two
        # operators share a zero point. Kept signed, they are exact too, but slower.
        options.add_session_config_entry(_EXACT, "0")
        options.add_session_config_entry("session.qdqisint8allowed", "1")
        session = opened()
    if has_unsigned_bytes(data):
        raise ArtifactError(
            "on this CPU, onnxruntime's sums of the ONNX model's uint8 numbers overflow: "
            "quantize it with activation_type=QuantType.QInt8 and quant_format=QuantFormat.QDQ"
        )
    return session


def _has_vnni() -> bool:
    """Return whether this CPU adds products of bytes in 32 bits.

    On x86-64 without it, by default sums of two products overflow 16 bits: other probabilities, and no error. With it, the
    option against that changes no number, but takes half as long again, since onnxruntime then leaves these instructions alone.
    """
    return cpu_has("avx_vnni") or cpu_has("avx512_vnni", "avx512bw", "avx512dq", "avx512vl")


def _spec(node: Any) -> TensorSpec:
    names = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}
    dtype = names.get(node.type, node.type.removeprefix("tensor(").removesuffix(")"))
    shape = tuple(size if isinstance(size, int) and size >= 0 else None for size in node.shape)
    return TensorSpec(node.name, shape, dtype)
