"""The doctor's findings about files."""

import dataclasses
import json
import platform
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from ai_edge_litert import schema_py_generated as schema

from edgecnn.benchmarks.doctor import examine as doctor
from edgecnn.benchmarks.doctor.examine import examine
from edgecnn.benchmarks.doctor.findings import Finding
from edgecnn.benchmarks.doctor.known_problems import OK, PROBLEM, WARNING
from edgecnn.edge import model_folder
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.export_records import ProgramFile
from edgecnn.edge.files import sha256
from edgecnn.edge.manifest import Artifact, Manifest, TensorSpec
from edgecnn.edge.model_file import ModelFile
from tests.benchmarks.doctor.examined import OP, Fake, finding, findings, onnx_file, tflite
from tests.benchmarks.machine.boards import no_tool, tree


def test_files_run_once_in_the_real_runtimes(tmp_path: Path, only: Callable[..., None]) -> None:
    only("ai_edge_litert", "onnxruntime")
    needs, runs = findings(examine(tflite(tmp_path / "a.tflite")), "a.tflite")
    assert needs == Finding("a.tflite", OK, "needs RELU 1; TensorFlow Lite 1.5.0 or later")
    assert (runs.status, bool(re.match(r"ai-edge-litert [\d.]+ opens.*ran it once.*random", runs.text))) == (OK, True)
    _, runs = findings(examine(onnx_file(tmp_path / "a.onnx")), "a.onnx")
    assert (runs.status, bool(re.match(r"onnxruntime [\d.]+ opens.*ran it once.*random", runs.text))) == (OK, True)
    _, runs = findings(examine(tmp_path / "a.onnx", "serve"), "a.onnx")
    assert (runs.status, runs.fix) == (PROBLEM, "omit signature")


def test_a_file_with_free_sizes_is_opened_and_the_rest_is_said(tmp_path: Path, only: Callable[..., None]) -> None:
    only("onnxruntime")
    _, runs = findings(examine(onnx_file(tmp_path / "a.onnx", shape="1, N")), "a.onnx")
    assert runs.status == OK
    assert re.search("opens it;.*was not run: ", runs.text)


def test_an_operator_that_the_runtime_does_not_have_is_a_problem(tmp_path: Path, only: Callable[..., None]) -> None:
    only("ai_edge_litert")
    (problem,) = examine(tflite(tmp_path / "a.tflite", version=99)).problems
    assert re.search("installed runtime.*too old.*'RELU' version '99'$", problem.text)
    assert problem.fix == "pip install -U ai-edge-litert"


@pytest.mark.parametrize(
    ("ir_version", "opset", "said"),
    [
        (99, 17, r"Unsupported model IR version: 99, max supported IR version: \d+"),
        (8, 99, r"Opset 99 is under development, official support for domain ai.onnx is till opset \d+"),
    ],
)
def test_an_ir_version_or_opset_that_the_runtime_does_not_have_is_a_problem(
    ir_version: int, opset: int, said: str, tmp_path: Path, only: Callable[..., None]
) -> None:
    only("onnxruntime")
    (problem,) = examine(onnx_file(tmp_path / "a.onnx", ir_version, opset)).problems
    assert re.fullmatch(f"the installed runtime.*too old.*: {said}", problem.text)
    assert problem.fix == "pip install -U onnxruntime"


@pytest.mark.parametrize(("release", "status"), [("2.17.0", PROBLEM), ("2.14.0", OK), ("2.3.0", OK)])
def test_tflite_runtime_is_compared_with_the_release_in_the_file(release: str, status: str, fake: Fake, tmp_path: Path) -> None:
    fake("tflite-runtime", "2.14.0", "")
    needs = findings(examine(tflite(tmp_path / "a.tflite", release=release)), "a.tflite")[0]
    assert needs.status == status
    assert f"RELU 1; TensorFlow Lite {release}" in needs.text
    assert (needs.fix == "pip install -U ai-edge-litert") == (status == PROBLEM)


@pytest.mark.parametrize(("installed", "status"), [("2.9.1", PROBLEM), ("2.10.0", OK)])
def test_a_file_that_would_load_and_compute_something_else_is_a_problem(
    installed: str, status: str, fake: Fake, exported: Path, tmp_path: Path
) -> None:
    fake("tflite-runtime", installed, "")
    path = tmp_path / "int8.tflite"
    path.write_bytes((exported / "int8.tflite").read_bytes())
    needs = findings(examine(path), "int8.tflite")[0]
    assert needs.status == status
    assert "FULLY_CONNECTED per channel 1" in needs.text
    assert "TensorFlow Lite 2.10.0 or later" in needs.text


@pytest.mark.parametrize(
    ("code", "has", "lacks"), [(OP.FULLY_CONNECTED, 9, 12), (OP.CONV_2D, 7, 8), (OP.EQUAL, 4, 5), (OP.NOT_EQUAL, 3, 9)]
)
def test_an_operator_version_after_tflite_runtimes_last_release_is_a_problem(
    code: int, has: int, lacks: int, fake: Fake, tmp_path: Path
) -> None:
    fake("tflite-runtime", "2.14.0", "")
    needs = findings(examine(tflite(tmp_path / "a.tflite", version=lacks, code=code)), "a.tflite")[0]
    assert needs.status == PROBLEM
    assert needs.text.endswith("and tflite-runtime 2.14.0 is installed")
    assert needs.fix == "pip install -U ai-edge-litert"
    assert findings(examine(tflite(tmp_path / "b.tflite", version=has, code=code)), "b.tflite")[0].status == OK


def test_on_a_32_bit_board_a_file_that_is_too_new_is_exported_again(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake("tflite-runtime", "2.14.0", "")
    monkeypatch.setattr(platform, "machine", lambda: "armv7l")
    monkeypatch.setattr(doctor, "python_bits", lambda: 32)
    monkeypatch.setattr(platform, "python_version", lambda: "3.11.2")
    needs = findings(examine(tflite(tmp_path / "a.tflite", version=8, code=OP.CONV_2D), root=tmp_path), "a.tflite")[0]
    assert re.match(r"edgecnn export MODEL\.keras,.*workstation", needs.fix or "")


@pytest.mark.parametrize(("installed", "status"), [("1.14.0", PROBLEM), ("1.15.0", OK)])
def test_onnxruntime_is_compared_with_the_release_in_the_manifest(
    installed: str, status: str, fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake("onnxruntime", installed, "")
    path, spec = onnx_file(tmp_path / "a.onnx"), TensorSpec("x", (None, 4), "float32")
    artifact = Artifact("onnx", "float32", path.name, 1, "", None, spec, spec, "onnxruntime>=1.15", None)
    model = ModelFile(path, "onnx", path.read_bytes(), None, artifact, None)
    monkeypatch.setattr(model_folder, "read_model", lambda *_: model)
    needs = findings(examine(path), "a.onnx")[0]
    assert needs.status == status
    assert all(said in needs.text for said in ("IR version 8, opset 17", "ai.onnx; onnxruntime 1.15 or later"))


def test_int8_on_a_cpu_without_dot_product_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only: Callable[..., None]
) -> None:
    only("ai_edge_litert")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    int8 = tflite(tmp_path / "int8.tflite", version=2, kind=schema.TensorType.INT8)
    old, new = tree(tmp_path / "4", "raspberry-pi-4"), tree(tmp_path / "5", "raspberry-pi-5")
    assert [found.status for found in findings(examine(int8, root=old, run=no_tool), int8.name)] == [OK, WARNING, OK]
    assert [found.status for found in findings(examine(int8, root=new, run=no_tool), int8.name)] == [OK, OK]
    plain = tflite(tmp_path / "a.tflite")
    assert [found.status for found in findings(examine(plain, root=old, run=no_tool), plain.name)] == [OK, OK]


def test_a_folder_is_all_its_device_files_and_an_altered_one_is_a_problem(
    three_files: Path, tmp_path: Path, only: Callable[..., None]
) -> None:
    only("ai_edge_litert", "onnxruntime")
    folder = tmp_path / "bars"
    shutil.copytree(three_files, folder)
    (folder / "int8.tflite").write_bytes((folder / "float32.tflite").read_bytes())
    told = examine(folder)
    assert [found.name for found in told.problems] == ["int8.tflite"]
    assert re.match(rf"{re.escape(str(folder))}/int8\.tflite is not.*manifest\.json", told.problems[0].text)
    assert re.match("copy.*or run edgecnn export", told.problems[0].fix or "")
    assert [found.name for found in told.findings if "ran it once" in found.text] == ["float32.tflite", "float32.onnx"]


def test_files_for_other_programs_are_compared_with_the_manifest(
    three_files: Path, tmp_path: Path, only: Callable[..., None]
) -> None:
    only("ai_edge_litert", "onnxruntime")
    folder = tmp_path / "bars"
    shutil.copytree(three_files, folder)
    (folder / "labels.txt").write_text("a\n")
    (folder / "altered.json").write_text("{}")
    listed = [ProgramFile(name, 2, sha256(b"a\n"), "0" * 64) for name in ("labels.txt", "altered.json", "gone.json")]
    dataclasses.replace(Manifest.load(folder), for_programs=tuple(listed)).save(folder)
    told = examine(folder)
    assert finding(told, "labels.txt").status == OK
    assert [found.name for found in told.problems] == ["altered.json", "gone.json"]
    assert [found.fix for found in told.problems] == ["run edgecnn export again"] * 2


def test_a_damaged_file_is_a_problem_that_keeps_the_rest_of_the_answer(tmp_path: Path, only: Callable[..., None]) -> None:
    only("ai_edge_litert")
    path = tmp_path / "a.tflite"
    path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(20))
    told = examine(path)
    assert (finding(told, "a.tflite").status, finding(told, "a.tflite").fix) == (PROBLEM, "copy it again")
    assert finding(told, "python").status == OK


def test_a_keras_model_is_for_the_workstation(tmp_path: Path, only: Callable[..., None]) -> None:
    only("ai_edge_litert")
    path = tmp_path / "model.keras"
    path.write_bytes(b"PK\x03\x04")
    found = finding(examine(path), "model.keras")
    assert (found.status, found.fix) == (WARNING, f"edgecnn export {path}")


@pytest.mark.parametrize("name", ["nothing.tflite", ""])
def test_a_path_that_is_not_there_and_a_folder_without_manifest_are_errors(name: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError):
        examine(tmp_path / name)


def test_a_diagnosis_is_json(only: Callable[..., None]) -> None:
    only()
    read = json.loads(json.dumps(dataclasses.asdict(examine())))
    assert {tuple(found) for found in read["findings"]} == {("name", "status", "text", "fix", "source")}
