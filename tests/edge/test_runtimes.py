"""The two runtimes, for real: what they refuse, and that batches are what single images are."""

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from ai_edge_litert.interpreter import Interpreter
from onnx import TensorProto, helper

from edge.errors import ArtifactError, ConfigError, MissingDependency
from edge.manifest import Manifest
from edge.runtimes import opener_for

TFLITE = ["float32.tflite", "float16.tflite", "dynamic.tflite", "int8.tflite", "int16x8.tflite"]
FILES = [*TFLITE, "float32.onnx", "int8.onnx"]
NOISE = np.random.default_rng(0).bytes(5000)

Hide = Callable[..., None]


@pytest.fixture
def hide(monkeypatch: pytest.MonkeyPatch) -> Hide:
    """Make packages as if they were not installed."""

    class Absent:
        def __init__(self, packages: tuple[str, ...]) -> None:
            self.packages = packages

        def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
            if name.partition(".")[0] in self.packages:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            return None

    def hide_packages(*packages: str) -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setattr(sys, "meta_path", [Absent(packages), *sys.meta_path])

    return hide_packages


def two_headed_onnx() -> bytes:
    def tensor(name: str) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 3])

    nodes = [helper.make_node("Identity", ["x"], [name]) for name in ("y", "z")]
    graph = helper.make_graph(nodes, "two", [tensor("x")], [tensor("y"), tensor("z")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(onnx.ModelProto.SerializeToString(model))


def test_keras_does_not_run_on_a_device() -> None:
    with pytest.raises(ConfigError, match="keras does not run on a device: export the model to tflite or onnx"):
        opener_for("keras")


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
@pytest.mark.parametrize(
    "damage",
    [lambda data: NOISE, lambda data: b"\x1c\0\0\0TFL3" + NOISE, lambda data: data[: len(data) // 2], lambda data: data[:8]],
    ids=["noise", "mark and noise", "half", "first bytes"],
)
def test_damaged_bytes_are_refused_with_the_runtimes_name_and_reason(
    damage: Callable[[bytes], bytes], kind: str, exported: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = damage((exported / f"float32.{kind}").read_bytes())
    package, title = {"tflite": ("ai-edge-litert", "TFLite"), "onnx": ("onnxruntime", "ONNX")}[kind]
    with pytest.raises(
        ArtifactError, match=rf"^{package} [\d.]+ can't load the {title} model \(.+\): export it again$"
    ) as caught:
        opener_for(kind).open_model(data, 1)
    assert caught.value.__cause__ is not None
    assert capfd.readouterr() == ("", "")


def test_a_model_of_two_outputs_is_refused() -> None:
    with pytest.raises(ArtifactError, match="the ONNX model has 1 inputs and 2 outputs: give one with one each"):
        opener_for("onnx").open_model(two_headed_onnx(), 1)


@pytest.mark.parametrize(
    ("kind", "packages", "message"),
    [
        ("onnx", ["onnxruntime"], r"^ONNX Runtime is not installed: pip install 'edgecnn\[onnx\]'$"),
        (
            "tflite",
            ["ai_edge_litert", "tflite_runtime"],
            r"^no TFLite runtime is installed: pip install 'edgecnn\[tflite\]' \(",
        ),
    ],
)
def test_a_missing_package_is_named_with_the_command(kind: str, packages: list[str], message: str, hide: Hide) -> None:
    hide(*packages)
    for call in (opener_for(kind).import_library, lambda: opener_for(kind).open_model(b"", 1)):
        with pytest.raises(MissingDependency, match=message):
            call()


@pytest.mark.parametrize(
    ("kind", "package", "module"), [("tflite", "ai_edge_litert", "interpreter.py"), ("onnx", "onnxruntime", "__init__.py")]
)
def test_a_broken_install_is_not_called_missing(
    kind: str, package: str, module: str, hide: Hide, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(package)
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").touch()
    (tmp_path / package / module).write_text("import edgecnn_needs_this\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", sys.meta_path[1:])
    with pytest.raises(ModuleNotFoundError, match="edgecnn_needs_this"):
        opener_for(kind).import_library()
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]


def test_tflite_runtime_runs_the_file_where_ai_edge_litert_is_absent(
    hide: Hide, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide("ai_edge_litert")
    (tmp_path / "tflite_runtime-2.14.0.dist-info").mkdir()
    metadata = "Metadata-Version: 2.1\nName: tflite-runtime\nVersion: 2.14.0\n"
    (tmp_path / "tflite_runtime-2.14.0.dist-info" / "METADATA").write_text(metadata)
    monkeypatch.syspath_prepend(tmp_path)
    package, module = ModuleType("tflite_runtime"), ModuleType("tflite_runtime.interpreter")
    vars(package)["__path__"] = []
    vars(module)["Interpreter"] = Interpreter
    monkeypatch.setitem(sys.modules, "tflite_runtime", package)
    monkeypatch.setitem(sys.modules, "tflite_runtime.interpreter", module)
    runtime = opener_for("tflite").open_model((exported / "int8.tflite").read_bytes(), 1)
    assert (runtime.name, runtime.version) == ("tflite-runtime", "2.14.0")
    assert runtime.run(np.zeros((2, 12, 12, 1), np.int8)).shape == (2, 3)


@pytest.mark.parametrize(("before", "after"), [(None, "1"), ("0", "0")])
def test_telemetry_is_off_unless_the_user_decided(before: str | None, after: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", before or "")
    if before is None:
        monkeypatch.delenv("ORT_DISABLE_TELEMETRY")
    opener_for("onnx").import_library()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == after


@pytest.mark.parametrize("name", ["int8.tflite", "float32.tflite", "float32.onnx"])
def test_opening_and_running_a_good_file_writes_nothing_on_the_terminal(name: str, exported: Path) -> None:
    # In a fresh interpreter: LiteRT announces its delegate once a process.
    code = (
        f"from edge.classifier import Classifier\nimport numpy as np\nmodel = Classifier.load({str(exported / name)!r})\n"
        "model.predict(np.zeros((3, 12, 12, 1), np.uint8))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", FILES)
def test_a_batch_gives_what_its_images_give_alone(name: str, threads: int, exported: Path) -> None:
    runtime = opener_for(name.split(".")[1]).open_model((exported / name).read_bytes(), threads)
    dtype = np.dtype(runtime.input_spec.dtype)
    low, high = (0, 2) if dtype.kind == "f" else (-128, 128)
    batch = np.random.default_rng(0).integers(low, high, (7, 12, 12, 1)).astype(dtype)
    together = runtime.run(batch)
    alone = [runtime.run(batch[i : i + 1]) for i in range(7)]
    assert together.shape == (7, 3)
    assert together.dtype == runtime.output_spec.dtype
    assert len({row.tobytes() for row in together}) > 1
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=0, atol=1e-6 if dtype.kind == "f" else 0)


@pytest.mark.parametrize("name", FILES)
def test_what_a_runtime_says_of_the_model_is_what_the_manifest_says(name: str, exported: Path) -> None:
    runtime = opener_for(name.split(".")[1]).open_model((exported / name).read_bytes(), 1)
    artifact = Manifest.load(exported).artifact(name)
    assert artifact is not None
    assert (runtime.input_spec, runtime.output_spec) == (artifact.input, artifact.output)
    assert runtime.input_spec.shape[1:] == (12, 12, 1)


def test_an_onnx_file_with_a_fixed_batch_of_one_runs_image_by_image(exported: Path) -> None:
    model = onnx.load(exported / "float32.onnx")
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    free, fixed = (
        opener_for("onnx").open_model(m.SerializeToString(), 1) for m in (onnx.load(exported / "float32.onnx"), model)
    )
    images = np.random.default_rng(0).random((5, 12, 12, 1), np.float32)
    assert fixed.input_spec.shape[0] == 1
    assert np.allclose(fixed.run(images), free.run(images), atol=1e-6)
