"""LiteRT's profiler, through the C library of its package, since the Python API does not offer it.

The declarations are those of litert/c/*.h, Apache-2.0, https://github.com/google-ai-edge/LiteRT.
"""

import ctypes
import importlib
from contextlib import ExitStack
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint64, c_void_p
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgecnn.edge.errors import InvalidMeasurement, MissingDependency, field
from edgecnn.edge.native_output import quiet
from edgecnn.edge.runtimes.litert import InterpretedModel, open_model

# The first version known to have these declarations; those of 2.1.0 differ and crash.
_OLDEST = (2, 2)

_OUT = POINTER(c_void_p)
_FREE = ctypes.CFUNCTYPE(None, c_void_p)
# Functions in the order of use. Each returns a status; 0 is success.
_FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "LiteRtCreateEnvironment": (c_int, c_void_p, _OUT),
    "LiteRtCreateModelFromBuffer": (c_void_p, c_char_p, c_size_t, _OUT),
    "LiteRtCreateOptions": (_OUT,),
    "LiteRtSetOptionsHardwareAccelerators": (c_void_p, c_int),
    "LiteRtCreateOpaqueOptions": (c_char_p, c_char_p, _FREE, _OUT),
    "LiteRtAddOpaqueOptions": (c_void_p, c_void_p),
    "LiteRtCreateCompiledModel": (c_void_p, c_void_p, c_void_p, _OUT),
    "LiteRtCompiledModelGetProfiler": (c_void_p, _OUT),
    "LiteRtGetModelSubgraph": (c_void_p, c_size_t, _OUT),
    "LiteRtGetSubgraphInput": (c_void_p, c_size_t, _OUT),
    "LiteRtGetSubgraphOutput": (c_void_p, c_size_t, _OUT),
    "LiteRtGetRankedTensorType": (c_void_p, c_void_p),
    "LiteRtGetCompiledModelInputBufferRequirements": (c_void_p, c_size_t, c_size_t, _OUT),
    "LiteRtGetCompiledModelOutputBufferRequirements": (c_void_p, c_size_t, c_size_t, _OUT),
    "LiteRtCreateManagedTensorBufferFromRequirements": (c_void_p, c_void_p, c_void_p, _OUT),
    "LiteRtGetTensorBufferPackedSize": (c_void_p, POINTER(c_size_t)),
    "LiteRtLockTensorBuffer": (c_void_p, _OUT, c_int),
    "LiteRtUnlockTensorBuffer": (c_void_p,),
    "LiteRtStartProfiler": (c_void_p,),
    "LiteRtRunCompiledModel": (c_void_p, c_size_t, c_size_t, _OUT, c_size_t, _OUT),
    "LiteRtStopProfiler": (c_void_p,),
    "LiteRtGetNumProfilerEvents": (c_void_p, POINTER(c_int)),
    "LiteRtGetProfilerEvents": (c_void_p, c_int, c_void_p),
    "LiteRtResetProfiler": (c_void_p,),
}
_DESTROYERS = ("Environment", "Model", "Options", "CompiledModel", "TensorBuffer")
_CPU = 1  # kLiteRtHwAcceleratorCpu
_WRITE = 1  # kLiteRtTensorBufferLockModeWrite
# An op of LiteRT itself, and one inside a delegate that reports its ops (XNNPACK). Other events are not ops, or are inside one.
_OP_EVENTS = (1 << 1, 1 << 3)
_SOURCES = (0, 1, 2)  # LiteRT, its interpreter, a delegate.
_UNTOUCHED = b"\xab"

CAVEAT = "LiteRT counts each op of XNNPACK in whole microseconds, rounded down: a figure may be up to 1 µs too small"


class _Event(ctypes.Structure):
    """ProfiledEventData as in the library's C++; the C header's is shorter, with other memory fields."""

    _fields_ = (
        ("tag", c_char_p),
        ("event_type", c_int),
        ("start_microseconds", c_uint64),
        ("microseconds", c_uint64),
        ("memory", c_uint64 * 6),
        ("metadata", c_uint64 * 2),
        ("source", c_int),
    )


def profile_ops(data: bytes, threads: int, singles: list[NDArray[Any]], warmup: int) -> tuple[str, list[tuple[str, int]]]:
    """See `edgecnn.benchmarks.timing.profile.OpProfiler`."""
    runtime = open_model(data, threads)  # Raises an error for files on which the C library may crash.
    library = _load(runtime)
    with quiet(), ExitStack() as stack:
        session = _Session(library, data, threads, stack)
        counted = [session.run(single) for single in singles][warmup:]
    tags = [tag for tag, _ in counted[0]]
    if not tags or any([tag for tag, _ in ops] != tags for ops in counted):
        raise _odd("it does not report the same ops in every run")
    sums = [sum(times) for times in zip(*([time for _, time in ops] for ops in counted), strict=True)]
    return f"LiteRT {runtime.version} profiler", list(zip(tags, sums, strict=True))


class _Session:
    """A compiled model with its profiler, input and output. `stack` destroys them in reverse order."""

    def __init__(self, library: ctypes.CDLL, data: bytes, threads: int, stack: ExitStack) -> None:
        self._library, self._stack = library, stack
        environment = self._create("Environment", "CreateEnvironment", 0, None)
        model = self._create("Model", "CreateModelFromBuffer", environment, data, len(data))
        options = self._create("Options", "CreateOptions")
        self._call("SetOptionsHardwareAccelerators", options, _CPU)
        self._keep = _FREE(lambda payload: None)  # Python owns the payloads.
        self._payloads = {b"xnnpack": b"num_threads = %d\n" % threads, b"runtime_options_string": b"enable_profiling = true\n"}
        for name, payload in self._payloads.items():
            self._call("AddOpaqueOptions", options, self._get("CreateOpaqueOptions", name, payload, self._keep))
        self._model = self._create("CompiledModel", "CreateCompiledModel", environment, model, options)
        self._profiler = self._get("CompiledModelGetProfiler", self._model)
        graph = self._get("GetModelSubgraph", model, 0)
        self._input, self._output = (self._buffer(environment, graph, end) for end in ("Input", "Output"))

    def run(self, single: NDArray[Any]) -> list[tuple[str, int]]:
        """Run one input; return each op and its microseconds, in order."""
        size = c_size_t()
        self._call("GetTensorBufferPackedSize", self._input, byref(size))
        if size.value != single.nbytes:
            raise ValueError(f"an input must have {size.value} bytes, got {single.nbytes}")
        ctypes.memmove(self._get("LockTensorBuffer", self._input, last=_WRITE), single.ctypes.data, single.nbytes)
        self._call("UnlockTensorBuffer", self._input)
        self._call("StartProfiler", self._profiler)
        self._call("RunCompiledModel", self._model, 0, 1, byref(self._input), 1, byref(self._output))
        self._call("StopProfiler", self._profiler)
        count = c_int()
        self._call("GetNumProfilerEvents", self._profiler, byref(count))
        events = self._events(count.value)
        self._call("ResetProfiler", self._profiler)  # 2.3.0 also does it at the start, but without a promise.
        return events

    def _events(self, count: int) -> list[tuple[str, int]]:
        end = count * ctypes.sizeof(_Event)
        memory = bytearray(_UNTOUCHED * (4 * end + 1))
        events = (_Event * count).from_buffer(memory)
        self._call("GetProfilerEvents", self._profiler, count, byref(events))
        # A version with longer events writes beyond the end; one with shorter ones leaves the last one's end unchanged.
        if not count or memory[end:].strip(_UNTOUCHED) or events[-1].source not in _SOURCES:
            raise _odd("its events are not laid out as they were")
        ops = [event for event in events if event.event_type in _OP_EVENTS]
        return [(event.tag.decode(errors="replace"), int(event.microseconds)) for event in ops]

    def _buffer(self, environment: c_void_p, graph: c_void_p, end: str) -> c_void_p:
        tensor_type = ctypes.create_string_buffer(1024)  # Passed on unread; so far at most 80 bytes.
        self._call("GetRankedTensorType", self._get(f"GetSubgraph{end}", graph, 0), tensor_type)
        requirements = self._get(f"GetCompiledModel{end}BufferRequirements", self._model, 0, 0)
        return self._create("TensorBuffer", "CreateManagedTensorBufferFromRequirements", environment, tensor_type, requirements)

    def _create(self, kind: str, function: str, *arguments: Any) -> c_void_p:
        created = self._get(function, *arguments)
        self._stack.callback(getattr(self._library, f"LiteRtDestroy{kind}"), created)
        return created

    def _get(self, function: str, *arguments: Any, last: int | None = None) -> c_void_p:
        result = c_void_p()
        self._call(function, *arguments, byref(result), *([] if last is None else [last]))
        if not result.value:
            raise _odd(f"LiteRt{function} gave nothing")
        return result

    def _call(self, function: str, *arguments: Any) -> None:
        status = getattr(self._library, f"LiteRt{function}")(*arguments)
        if status:
            raise _odd(f"LiteRt{function} failed with status {status}")


def _load(runtime: InterpretedModel) -> ctypes.CDLL:
    installed = f"{runtime.name} {runtime.version}"
    mend = f"pip install -U ai-edge-litert, or bench without {field('profile')}"
    if tuple(int(part) for part in runtime.version.split(".")[:2]) < _OLDEST:
        raise MissingDependency(f"{installed} has no op profiler that can be reached: {mend}")
    path = Path(importlib.import_module("ai_edge_litert").__file__ or "").with_name("libLiteRt.so")
    try:
        library = ctypes.CDLL(str(path))
        for name, arguments in _FUNCTIONS.items():
            function = getattr(library, name)
            function.argtypes, function.restype = arguments, c_int
        for kind in _DESTROYERS:
            function = getattr(library, f"LiteRtDestroy{kind}")
            function.argtypes, function.restype = (c_void_p,), None
    except (OSError, AttributeError) as error:  # A missing library; a missing symbol.
        raise MissingDependency(f"{installed} has no op profiler that can be reached ({error}): {mend}") from error
    return library


def _odd(reason: str) -> InvalidMeasurement:
    return InvalidMeasurement(f"LiteRT's profiler can't be used, {reason}: bench without {field('profile')}")
