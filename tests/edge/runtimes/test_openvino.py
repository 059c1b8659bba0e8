"""OpenVINO as another runtime of .onnx and .tflite files: it computes what their own do, and is measured beside them."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.edge.compatibility.tflite_graph import from_object, to_object
from edgecnn.edge.data.dataset import load_test
from edgecnn.edge.data.splits import Split
from edgecnn.edge.errors import ArtifactError, MissingDependency
from edgecnn.edge.formats import PRECISIONS
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.model_file import read_model
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.runtimes.base import Opener
from edgecnn.edge.runtimes.openvino import import_library

import_library()  # Not installed, these tests are an error, and on an emulated board skipped with that reason.

SHORT = ("--launches", "1", "--min-runs", "20", "--min-seconds", "0", "--max-drop", "100")


@pytest.fixture
def few(artifacts: Path) -> Path:
    """The float32 and int8 files of `exported`: to measure all takes twice as long."""
    manifest = Manifest.load(artifacts)
    kept = tuple(item for item in manifest.artifacts if Path(item.path).stem in ("model", "float32", "int8"))
    replace(manifest, artifacts=kept).save(artifacts)
    return artifacts


def probabilities(path: Path, runtime: str, test: Split) -> NDArray[np.float32]:
    model = read_model(path)
    return Classifier(model, opener_for(runtime).open_file(model, 1)).predict(test.images(range(60))).probabilities


@pytest.mark.parametrize(
    ("folder", "suffix", "precision"),
    [
        *product(("exported",), ("onnx", "tflite"), ("float32", "int8")),
        *product(("any_batch",), ("onnx",), ("float32", "int8")), ("any_batch", "tflite", "float32"),
    ],
)  # fmt: skip
def test_it_computes_what_the_format_s_own_runtime_computes(
    folder: str, precision: str, suffix: str, idx_folder: Path, request: pytest.FixtureRequest
) -> None:
    path, test = request.getfixturevalue(folder) / f"{precision}.{suffix}", load_test(idx_folder)
    ours, other = (probabilities(path, runtime, test) for runtime in ("openvino", suffix))
    assert np.ptp(other, axis=0).max() > 0.5
    np.testing.assert_allclose(ours, other, atol=PRECISIONS[precision].drift)


def test_it_opens_a_file_in_which_the_quantizer_gave_an_operator_no_early_code(any_batch: Path, idx_folder: Path) -> None:
    path, test = any_batch / "int8.tflite", load_test(idx_folder)
    data = path.read_bytes()  # It was written before from_object gave every operator both of its codes.
    assert any(code.builtinCode > 0 == code.deprecatedBuiltinCode for code in to_object(data).operatorCodes)
    model = replace(read_model(path), data=from_object(to_object(data)))
    ours, other = (
        Classifier(model, opener_for(runtime).open_model(model.data, 1)).predict(test.images(range(60))).probabilities
        for runtime in ("openvino", "litert")
    )
    assert np.ptp(other, axis=0).max() > 0.5
    np.testing.assert_allclose(ours, other, atol=PRECISIONS["int8"].drift)


def test_a_tflite_file_that_keeps_state_is_refused(remembering: Path) -> None:
    with pytest.raises(ArtifactError, match="keeps state"):
        opener_for("openvino").open_model((remembering / "float32.tflite").read_bytes(), 1)


@pytest.mark.workstation("whole benchmarks, a process for each launch, take minutes under emulation")
def test_two_runtimes_of_a_format_are_rows_of_one_benchmark(few: Path, tmp_path: Path, terminal: Any) -> None:
    result = tmp_path / "result.json"
    runtimes = ("--runtime", "onnxruntime", "--runtime", "openvino")
    assert terminal.run("bench", few, *runtimes, *SHORT, "--allow", "noise", "--json", result) == 0, terminal.err
    files = {file["name"]: file for file in json.loads(result.read_text())["files"]}
    of_onnx = [f"{name}.onnx {runtime}" for name in ("float32", "int8") for runtime in ("onnxruntime", "openvino")]
    assert [name for name in files if ".onnx" in name] == of_onnx
    assert {"float32.tflite openvino", "int8.tflite openvino"} <= {*files}
    for name, file in files.items():
        assert file["runtime"].split()[0] == name.split()[1]
        assert file["artifact"]["path"] == name.split()[0]
        assert file["accuracy"]["images"] == 60
    assert terminal.run("bench", few / "int8.onnx", *runtimes, *SHORT, "--json", result) == 0, terminal.err
    named = [file["name"] for file in json.loads(result.read_text())["files"]]
    assert named == ["int8.onnx onnxruntime", "int8.onnx openvino"]
    assert terminal.run("bench", few / "int8.tflite", "--runtime", "openvino", *SHORT[:-2], "--json", result) == 0, terminal.err
    assert [file["name"] for file in json.loads(result.read_text())["files"]] == ["int8.tflite openvino"]


@pytest.mark.workstation("whole benchmarks, a process for each launch, take minutes under emulation")
def test_a_runtime_that_is_missing_or_refuses_a_file_is_a_line_and_the_others_are_measured(
    few: Path, terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("bench", few, "--runtime", "onnxruntime", "--runtime", "openvino", *SHORT, "--allow", "noise")
    tried = Opener.try_first

    def refusing(self: Opener, model: Any, *rest: Any) -> None:
        if self.runtime and self.runtime.name == "openvino" and model.path.name == "int8.onnx":
            raise ArtifactError(f"{model.path}: openvino crashed on it")
        tried(self, model, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Opener, "try_first", refusing)
        text = " ".join(terminal.passes(*command).split())
    assert "int8.onnx openvino was not measured: " in text
    assert "openvino crashed on it" in text
    with monkeypatch.context() as patch:
        patch.setattr("edgecnn.edge.formats.find_spec", lambda name: None if name == "openvino" else find_spec(name))
        text = " ".join(terminal.passes(*command).split())
        assert all(part in text for part in ("openvino was not measured: openvino", "not installed: pip install"))
        assert terminal.fails(6, *command[:2], "--runtime", "openvino").startswith("edgecnn: openvino is not installed")
        with pytest.raises(MissingDependency):
            opener_for("openvino")


def test_its_import_sends_nothing_and_leaves_nothing_in_the_home_folder(exported: Path, tmp_path: Path) -> None:
    """Its own stub takes the place of the package that would; the package itself can be imported afterwards."""
    code = (
        "import sys; from edgecnn.edge.runtimes import opener_for\n"
        f"opener_for('openvino').open_model(open({str(exported / 'float32.onnx')!r}, 'rb').read(), 1)\n"
        "print(sys.modules['openvino'].tools.ovc.telemetry.__class__.__module__)\n"
        "import openvino_telemetry; print(openvino_telemetry.__name__)"
    )
    unset = {"CI", "TF_BUILD", "JENKINS_URL"}
    environment = {name: value for name, value in os.environ.items() if name not in unset} | {"HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["openvino.tools.ovc.telemetry_stub", "openvino_telemetry"], done.stderr
    assert list(tmp_path.iterdir()) == []
