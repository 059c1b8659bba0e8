"""Files that crash a runtime, take all memory or never return: one line, whatever opens them, verified or not."""

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgecnn.edge.compatibility.tflite_graph import from_object, to_object
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.files import sha256
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model.interface import SCHEMES, Interface
from edgecnn.edge.model_file import read_model
from edgecnn.edge.runtimes import base, opener_for
from edgecnn.edge.sandbox import unverified as tried
from tests.onnx_text import ENDLESS, onnx_bytes

UNIT = Interface(SCHEMES["unit"])
SHORT = ("--launches", "1", "--min-runs", "1", "--min-seconds", "0")


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tried, "_here", set())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Endless runs are given up sooner."""
    monkeypatch.setattr(tried, "SECONDS", 1.0)


def crashing(exported: Path, name: str = "bad.tflite", kind: int = schema.TensorType.RESOURCE) -> Path:
    """A real file whose output is declared as RESOURCE, 13: reading it is a segmentation fault."""
    model = to_object((exported / "float32.tflite").read_bytes())
    graph = model.subgraphs[0]
    graph.tensors[graph.outputs[0]].type = kind
    Path(name).write_bytes(from_object(model))
    return Path(name)


def huge_input() -> bytes:
    return onnx_bytes("(float[1, 3, 40000, 20000] x) => (float[1, 3] y) {p = GlobalAveragePool (x) y = Flatten (p)}")


def expanded(*size: int) -> bytes:
    nodes = "m = ReduceMean <keepdims = 0> (x) y = Expand (m, size)"
    return onnx_bytes(f"(float[1, 3, 8, 8] x) => (float[] y) {{{nodes}}}", size=size)


def large_inside() -> bytes:
    """Two small ends with 8 GB between them."""
    nodes = "m = ReduceMean <keepdims = 0> (x) large = Expand (m, size) one = ReduceMean <keepdims = 0> (large)"
    text = f"(float[1, 3, 8, 8] x) => (float[1, 3] y) {{{nodes} y = Expand (one, classes)}}"
    return onnx_bytes(text, size=[2 * 10**9], classes=[1, 3])


def endless_classifier(shape: tuple[int, ...] = (1, 12, 12, 1)) -> bytes:
    nodes = f'l = {ENDLESS} ("", always, x) m = ReduceMean <keepdims = 0> (l) y = Expand (m, classes)'
    return onnx_bytes(f"(float{[*shape]} x) => (float[1, 3] y) {{{nodes}}}", always=np.array(True), classes=[1, 3])


@pytest.mark.parametrize("named", [True, False], ids=["Classifier.load", "open_file"])
def test_a_crash_is_an_error_in_an_application(named: bool, exported: Path) -> None:
    file = crashing(exported)
    with pytest.raises(ArtifactError, match=r"^bad\.tflite.*SIGSEGV"):
        Classifier.load(file, interface=UNIT) if named else opener_for("tflite").open_file(read_model(file), 1)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (huge_input(), "2,400,000,000 numbers"),
        (expanded(1, 2 * 10**9), "2,000,000,000 numbers"),
        (large_inside(), "memory"),
    ],
    ids=["huge input", "2e9 classes", "8 GB inside"],
)
def test_a_small_onnx_file_does_not_take_all_memory(data: bytes, said: str) -> None:
    Path("bad.onnx").write_bytes(data)
    with pytest.raises(ArtifactError, match=rf"^bad\.onnx.* {said}"):
        Classifier.load("bad.onnx", interface=UNIT)


@pytest.mark.parametrize("data", [huge_input(), expanded(1, 2 * 10**9)], ids=["input", "output"])
def test_a_verified_file_has_bounded_ends_too(data: bytes, exported: Path) -> None:
    verified = replace(read_model(exported / "float32.onnx"), data=data)
    with pytest.raises(ArtifactError, match="numbers at once"):
        opener_for("onnx").open_file(verified, 1)


COMMANDS: dict[str, Callable[[Path, str], tuple[str | Path, ...]]] = {
    "predict": lambda file, images: ("predict", file, "--index", "0", "--data", images, "--preprocess", "unit"),
    "evaluate": lambda file, images: ("evaluate", file, "--data", images, "--preprocess", "unit"),
    "verify": lambda file, images: ("verify", file, "--reference", file, "--data", images, "--preprocess", "unit"),
    "diagnose": lambda file, images: ("diagnose", file, "--float", file, "--data", images, "--preprocess", "unit"),
    "bench": lambda file, images: ("bench", file, *SHORT),
    "bench with images": lambda file, images: ("bench", file, "--data", images, "--preprocess", "unit", *SHORT),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_in_one_line_that_a_file_crashes_its_runtime_or_does_not_come_back(
    command: str, exported: Path, terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = Path("bad.onnx")
    endless.write_bytes(endless_classifier())
    for file, seconds, said in ((crashing(exported), tried.SECONDS, "SIGSEGV"), (endless, 1.0, " 1 s")):
        monkeypatch.setattr(tried, "SECONDS", seconds)
        line = terminal.fails(4, *COMMANDS[command](file, Manifest.load(exported).dataset.source))
        assert line.startswith(f"edgecnn: {file}")
        assert said in line


def test_a_quantized_file_that_never_ends_ends_a_diagnosis(
    exported: Path, terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgecnn.edge.sandbox.unverified.SECONDS", 1.0)
    shutil.copy(exported / "float32.onnx", "good.onnx")
    model = onnx.load(exported / "int8.onnx")
    never = onnx.parser.parse_node(f'never = {ENDLESS} ("", always, logits)')
    never.input[2] = model.graph.output[0].name
    model.graph.node.append(never)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "always"))
    model.graph.output.append(onnx.ValueInfoProto(name="never"))
    onnx.save(model, "bad.onnx")
    images = Manifest.load(exported).dataset.source
    takes = ("--preprocess", "unit", "--data", images, "--count", "1")
    line = terminal.fails(4, "diagnose", "bad.onnx", "--float", "good.onnx", *takes)
    assert line.startswith("edgecnn: bad.onnx ")
    assert "2 s" in line


@pytest.mark.usefixtures("soon")
def test_a_summary_does_not_wait_for_a_file_that_never_ends(terminal: Any) -> None:
    # The shape of BiasGelu is only known after a run.
    text = f'(float[1, 3] x) => (float[] y) {{b = com.microsoft.BiasGelu (x, bias) y = {ENDLESS} ("", always, b)}}'
    constants = {"always": np.array(True), "bias": np.ones(3, np.float32)}
    Path("bad.onnx").write_bytes(onnx_bytes(text, domains=("com.microsoft",), **constants))
    assert terminal.fails(4, "summary", "bad.onnx").startswith("edgecnn: bad.onnx ")


def test_the_doctor_runs_a_file_with_bounded_memory(terminal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without the other runtimes, which take long to import.
    monkeypatch.setattr("edgecnn.edge.formats.find_spec", lambda name: find_spec(name) if name == "onnxruntime" else None)
    Path("bad.onnx").write_bytes(large_inside())
    assert terminal.run("doctor", "bad.onnx") == 4
    assert "memory ran out" in terminal.out


def test_a_keras_file_of_a_huge_layer_does_not_take_all_memory() -> None:
    model = keras.Sequential([keras.Input((12, 12, 1)), keras.layers.Flatten(), keras.layers.Dense(3)])
    model.save("good.keras")
    Path("bad.keras").write_bytes(with_units("good.keras", 10**10))
    with pytest.raises(ArtifactError, match=r"^bad\.keras needs more memory"):
        opener_for("keras").open_file(read_model(Path("bad.keras")), 1)


def with_units(file: str, units: int) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(made, "w") as target:
        for info in source.infolist():
            content = source.read(info)
            if info.filename == "config.json":
                content = json.dumps(json.loads(content)).replace('"units": 3', f'"units": {units}').encode()
            target.writestr(info, content)
    return made.getvalue()


def test_an_output_of_a_type_that_numpy_does_not_have_is_refused_in_one_line(exported: Path, terminal: Any) -> None:
    crashing(exported, kind=schema.TensorType.BFLOAT16)
    assert "bad.tflite" in terminal.fails(4, "predict", "bad.tflite", "--preprocess", "unit", "--data", "mnist", "--index", "0")


def test_a_file_that_is_new_here_is_tried_once_whatever_vouches_for_it(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def counted(*given: Any) -> Any:
        started.append(given)
        return tried.run_in_child(*given)

    monkeypatch.setattr(base, "run_in_child", counted)
    shutil.copy(exported / "int8.tflite", "mine.tflite")
    Classifier.load("mine.tflite", interface=UNIT, trusted=True)
    assert not started
    Classifier.load(exported / "int8.tflite")
    assert len(started) == 1
    # Its bytes are known from now on, under any name, and in other processes too.
    Classifier.load("mine.tflite", interface=UNIT)
    monkeypatch.setattr(tried, "_here", set())
    Classifier.load(exported / "int8.tflite")
    assert len(started) == 1
    Classifier.load(exported / "float32.tflite")
    assert len(started) == 2


def test_without_a_folder_to_note_it_in_a_file_is_tried_once_a_process(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", "file")
    data = (exported / "int8.tflite").read_bytes()
    tried.remember_tried(data, "so")
    assert tried.was_tried(data, "so")
    monkeypatch.setattr(tried, "_here", set())
    assert not tried.was_tried(data, "so")


@pytest.mark.parametrize("command", ["predict", "evaluate", "verify", "bench"])
def test_a_manifest_that_vouches_for_a_file_that_crashes_does_not_let_it_crash_the_command(
    command: str, artifacts: Path, terminal: Any
) -> None:
    crashing(artifacts, str(artifacts / "int8.tflite"))
    manifest, data = Manifest.load(artifacts), (artifacts / "int8.tflite").read_bytes()
    entry = manifest.artifact("int8.tflite")
    assert entry is not None
    manifest.with_artifacts(replace(entry, sha256=sha256(data), size_bytes=len(data))).save(artifacts)
    more = {"predict": ["--index", "0"], "bench": ["--runtime", "tflite", *SHORT]}
    target = artifacts if command == "bench" else artifacts / "int8.tflite"
    assert "int8.tflite" in terminal.fails(4, command, target, *more.get(command, []))
