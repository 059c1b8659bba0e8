import json
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from ai_edge_litert.interpreter import Interpreter

from edgecnn.benchmarks.timing import profile_onnxruntime as profile_ort
from edgecnn.benchmarks.timing.profile import Profile, profile
from edgecnn.benchmarks.timing.profile_onnxruntime import parse
from edgecnn.edge import formats
from edgecnn.edge.errors import ArtifactError, ConfigError, InvalidMeasurement
from edgecnn.edge.inference.classifier import Classifier

SIDE = 12  # Of the images of `exported`.
BLACK = [np.zeros((1, SIDE, SIDE, 1), np.float32)]
RUNS = 30
RUNTIMES = {name: formats.RUNTIMES[runtime] for name, runtime in (("tflite", "litert"), ("onnx", "onnxruntime"))}
FILES = ["float32.tflite", "int8.tflite", "float32.onnx", "int8.onnx"]


def profile_file(path: Path, runs: int = RUNS, threads: int = 1) -> Profile:
    images = np.random.default_rng(1).integers(0, 256, (4, SIDE, SIDE, 1), np.uint8)
    inputs = Classifier.load(path).singles(images)
    return profile(path.read_bytes(), RUNTIMES[path.suffix[1:]], threads, inputs, runs)


def event(name: str, op: str, duration: int, category: str = "Node") -> dict[str, object]:
    """Return an event as ONNX Runtime 1.32 writes it, without the arguments on memory."""
    args = {"op_name": op, "node_index": "3", "provider": "CPUExecutionProvider"}
    return {"cat": category, "pid": 1, "tid": 1, "dur": duration, "ts": 5, "ph": "X", "name": name, "args": args}


@pytest.mark.parametrize("name", ["keras", "tflite-runtime"])
def test_a_runtime_without_a_profiler_is_refused_and_no_other_one_is_asked(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} has no op profiler"):
        profile(b"", formats.RUNTIMES[name], 1, BLACK, RUNS)


@pytest.mark.parametrize(("images", "runs"), [(0, 1), (1, 0)])
def test_without_inputs_or_runs_there_is_no_profile(images: int, runs: int) -> None:
    with pytest.raises(ValueError, match=f"at least one.*{images} and {runs}$"):
        profile(b"", RUNTIMES["onnx"], 1, BLACK * images, runs)


@pytest.mark.parametrize("model_format", ["tflite", "onnx"])
def test_a_damaged_file_is_refused(model_format: str) -> None:
    with pytest.raises(ArtifactError, match="copy it again"):
        profile(b"damaged", RUNTIMES[model_format], 1, BLACK, RUNS)


@pytest.mark.parametrize("file", FILES)
def test_a_profile_sums_to_its_total_within_the_whole_time_and_leaves_and_prints_nothing(
    exported: Path, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    start = time.perf_counter()
    result = profile_file(exported / file)
    assert 0 < result.total_microseconds * RUNS < 1e6 * (time.perf_counter() - start)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")
    assert result.runs == RUNS
    assert sum(op.share for op in result.ops) == pytest.approx(1)
    assert sum(op.microseconds for op in result.ops) == pytest.approx(result.total_microseconds)
    for op in result.ops:
        assert op.share == pytest.approx(op.microseconds / result.total_microseconds)
    assert result.profiler.startswith("LiteRT 2." if file.endswith("tflite") else "ONNX Runtime 1.")


@pytest.mark.parametrize("file", ["float32.tflite", "int8.tflite"])
def test_a_tflite_files_ops_are_all_there_and_in_order(exported: Path, file: str) -> None:
    nodes = Interpreter(model_path=str(exported / file))._get_ops_details()
    names = {"CONV_2D": "conv", "MAX_POOL_2D": "max", "FULLY_CONNECTED": "fully", "SOFTMAX": "softmax"}
    expected = [names[node["op_name"]] for node in nodes if node["op_name"] in names]
    # XNNPACK names what it runs itself "Convolution (NHWC, F32) IGEMM", and makes two of a reshape.
    found = [op.op.lower() for op in profile_file(exported / file).ops if not op.op.startswith("Static Reshape")]
    assert len(expected) > 4
    assert [op.split()[0].removesuffix("olution") for op in found] == expected


def test_an_onnx_files_ops_are_all_there_and_told_apart_by_their_nodes(exported: Path) -> None:
    nodes = Counter(node.op_type for node in onnx.load(exported / "float32.onnx").graph.node)
    names = [op.op for op in profile_file(exported / "float32.onnx").ops]
    # Some CPUs' convolutions have the activation in them, and say so.
    found = Counter(name.split()[0].removeprefix("Fused") for name in names)
    for op in ("Conv", "MaxPool", "Softmax"):
        assert found[op] == nodes[op] > 0, op
    assert len(set(names)) == len(names)
    assert "Softmax" in names


def test_a_trace_is_summed_by_node_without_the_warm_up() -> None:
    run = [
        event("conv_1_kernel_time", "Conv", 7),
        event("conv_1_fence_after", "Conv", 50),
        event("conv_2_kernel_time", "Conv", 20),
        event("soft_kernel_time", "Softmax", 2),
        event("model_run", "", 40, "Session"),
        event("thread_kernel_time", "", 40, "Session"),
    ]
    first = [event("conv_1_kernel_time", "Conv", 900), *run[1:]]
    loading = event("session_initialization", "", 3000, "Session")
    trace = json.dumps([loading, *first, *run, *run])
    assert parse(trace, 3, 1) == [("Conv conv_1", 14), ("Conv conv_2", 40), ("Softmax", 4)]


@pytest.mark.parametrize("events", [[], [event("conv_kernel_time", "Conv", 7)] * 2])
def test_a_trace_that_misses_an_op_of_a_run_is_refused(events: list[dict[str, object]]) -> None:
    with pytest.raises(InvalidMeasurement, match="same ops in every run"):
        parse(json.dumps(events), 3, 1)


def test_ops_that_all_take_less_than_the_profiler_counts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile_ort, "profile_ops", lambda *_: ("X profiler", [("Conv", 0)]))
    with pytest.raises(InvalidMeasurement, match=r"less than.*microsecond.*X profiler"):
        profile(b"", RUNTIMES["onnx"], 1, BLACK, RUNS)


def test_every_run_gets_one_image_and_the_images_rotate(monkeypatch: pytest.MonkeyPatch) -> None:
    def profile_ops(_: bytes, threads: int, singles: list[np.ndarray], warmup: int) -> tuple[str, list[tuple[str, int]]]:
        assert (threads, len(singles) - warmup) == (2, 5)
        assert warmup > 0
        assert [single.item() for single in singles[:4]] == [0, 1, 2, 0]
        assert singles[0].shape == (1, 1, 1, 1)
        return "X profiler", [("Conv", 15), ("Softmax", 5)]

    monkeypatch.setattr(profile_ort, "profile_ops", profile_ops)
    result = profile(b"", RUNTIMES["onnx"], 2, list(np.arange(3, dtype=np.float32).reshape(3, 1, 1, 1, 1)), 5)
    assert [(op.op, op.microseconds, op.share) for op in result.ops] == [("Conv", 3, 0.75), ("Softmax", 1, 0.25)]
    assert (result.runs, result.total_microseconds) == (5, 4)
