import ctypes
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgecnn.benchmarks.timing import profile_litert
from edgecnn.benchmarks.timing.profile_litert import profile_ops
from edgecnn.edge.errors import InvalidMeasurement, MissingDependency
from edgecnn.edge.runtimes.litert import open_model

SIDE = 12  # Of the images of `exported`.
# Of one inference with LiteRT 2.3.0: tag, type, microseconds, index, as 104 bytes each.
CAPTURED = [
    (b"LiteRT::Run[buffer registration]", 1, 21, 0),
    (b"Invoke", 1, 45, 0),
    (b"Convolution (NHWC, QC8) IGEMM", 8, 11, 0),
    (b"inside a delegate's op", 4, 9, 0),
    (b"SOFTMAX", 2, 1, 7),
    (b"Invoke", 32, 4294967296, 18446744073709551615),
    (b"LiteRT::Run[Buffer sync]", 1, 19, 0),
]


def singles(count: int) -> list[Any]:
    return [np.zeros((1, SIDE, SIDE, 1), np.int8) for _ in range(count)]


def session_with(get_events: Callable[..., int]) -> Any:
    session: Any = object.__new__(profile_litert._Session)
    session._library = SimpleNamespace(LiteRtGetProfilerEvents=get_events)
    session._profiler = None
    return session


def captured(extra: bytes = b"", missing: int = 0) -> Callable[..., int]:
    """Return a LiteRtGetProfilerEvents that gives the captured events, each `extra` longer or cut off."""

    def get_events(profiler: object, count: int, memory: Any) -> int:
        assert (profiler, count) == (None, len(CAPTURED))
        events = [profile_litert._Event(tag, kind, 5, us, (1,) * 6, (index, 0), 0) for tag, kind, us, index in CAPTURED]
        data = b"".join(bytes(event)[: 104 - missing] + extra for event in events)
        ctypes.memmove(memory, data, len(data))
        return 0

    return get_events


def test_an_event_is_as_long_as_the_librarys_and_only_those_of_ops_count() -> None:
    assert ctypes.sizeof(profile_litert._Event) == 104
    events = session_with(captured())._events(len(CAPTURED))
    assert events == [("Convolution (NHWC, QC8) IGEMM", 11), ("SOFTMAX", 1)]


@pytest.mark.parametrize(("extra", "missing"), [(b"\0" * 8, 0), (b"", 16)])
def test_events_of_another_length_are_refused(extra: bytes, missing: int) -> None:
    with pytest.raises(InvalidMeasurement, match=r"not laid out.*without profile"):
        session_with(captured(extra, missing))._events(len(CAPTURED))


def test_no_events_are_refused_and_a_failure_is_told_with_its_function_and_status() -> None:
    with pytest.raises(InvalidMeasurement, match="not laid out"):
        session_with(lambda *_: 0)._events(0)
    with pytest.raises(InvalidMeasurement, match=r"LiteRtGetProfilerEvents.*status 3:.*without profile"):
        session_with(lambda *_: 3)._events(1)


def test_a_runtime_without_a_known_profiler_is_refused_before_its_library_is_opened() -> None:
    runtime: Any = SimpleNamespace(name="ai-edge-litert", version="2.1.6")
    with pytest.raises(MissingDependency, match=r"ai-edge-litert 2\.1\.6.*no op profiler.*pip install"):
        profile_litert._load(runtime)


def test_an_input_of_another_size_and_a_missing_function_or_library_are_refused(
    exported: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=f"have {SIDE * SIDE} bytes, got {4 * SIDE * SIDE}"):
        profile_ops((exported / "int8.tflite").read_bytes(), 1, [np.zeros((1, SIDE, SIDE, 1), np.float32)], 0)
    monkeypatch.setitem(profile_litert._FUNCTIONS, "LiteRtRenamed", ())
    with pytest.raises(MissingDependency, match=r"LiteRtRenamed.*bench without profile"):
        profile_ops((exported / "int8.tflite").read_bytes(), 1, singles(1), 0)
    monkeypatch.setattr("ai_edge_litert.__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(MissingDependency, match=r"libLiteRt\.so.*bench without profile"):
        profile_ops((exported / "int8.tflite").read_bytes(), 1, singles(1), 0)


@pytest.mark.parametrize("runs", [[], [("Softmax", 1)], [("Convolution", 1)]])
def test_runs_with_other_ops_are_refused(exported: Path, monkeypatch: pytest.MonkeyPatch, runs: list[tuple[str, int]]) -> None:
    answers = iter([[("Convolution", 1), ("Softmax", 1)] if runs else [], runs])
    monkeypatch.setattr(profile_litert._Session, "run", lambda *_: next(answers))
    with pytest.raises(InvalidMeasurement, match="same ops in every run"):
        profile_ops((exported / "int8.tflite").read_bytes(), 1, singles(2), 0)


def test_the_warm_up_does_not_count(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(
        [[("Convolution", 900), ("Softmax", 90)], [("Convolution", 3), ("Softmax", 1)], [("Convolution", 4), ("Softmax", 0)]]
    )
    monkeypatch.setattr(profile_litert._Session, "run", lambda *_: next(answers))
    assert profile_ops((exported / "int8.tflite").read_bytes(), 1, singles(3), 1)[1] == [("Convolution", 7), ("Softmax", 1)]


def test_the_profiled_session_computes_what_the_runtime_computes(exported: Path) -> None:
    data = (exported / "int8.tflite").read_bytes()
    runtime = open_model(data, 1)
    single = np.random.default_rng(1).integers(-128, 128, (1, SIDE, SIDE, 1), np.int8)
    expected = runtime.run(single)
    with ExitStack() as stack:
        session = profile_litert._Session(profile_litert._load(runtime), data, 1, stack)
        session.run(single)
        address = session._get("LockTensorBuffer", session._output, last=0).value
        assert address is not None
        assert ctypes.string_at(address, expected.nbytes) == expected.tobytes()
        session._call("UnlockTensorBuffer", session._output)


def test_the_runtime_gets_its_threads(exported: Path) -> None:
    data = (exported / "int8.tflite").read_bytes()
    library = profile_litert._load(open_model(data, 1))
    tasks = Path("/proc/self/task")
    with ExitStack() as stack:
        before = len(list(tasks.iterdir()))
        session = profile_litert._Session(library, data, 3, stack)
        session.run(singles(1)[0])
        assert len(list(tasks.iterdir())) == before + 2
