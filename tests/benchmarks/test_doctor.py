"""The doctor: captured boards, runtimes that are not there, that die or hang, and files that are too new for them."""

import dataclasses
import json
import platform
import re
import shutil
import struct
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import flatbuffers
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper

from benchmarks import doctor
from benchmarks.doctor import Diagnosis, Finding, examine
from benchmarks.known_problems import KNOWN_PROBLEMS, OK, PROBLEM, WARNING
from edge.errors import ArtifactError
from edge.manifest import Artifact, TensorSpec
from edge.model_file import ModelFile

BOARDS = Path(__file__).parent / "boards"
OP = schema.BuiltinOperator

Fake = Callable[..., None]


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "1")


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make other runtimes than these modules as if they were not installed; TensorFlow takes long to import, too."""

    def hide_others(*modules: str) -> None:
        formats = {"ai_edge_litert": "tflite", "tflite_runtime": "tflite", "onnxruntime": "onnx"}
        there = {formats[module] for module in modules if module in formats}
        monkeypatch.setattr(doctor, "find_spec", lambda name: find_spec(name) if name in modules else None)
        monkeypatch.setattr(doctor, "is_installed", lambda model_format: model_format in there)

    return hide_others


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only: Callable[..., None]) -> Fake:
    """Put a package of this name, version and content before the installed ones; it is the only runtime."""

    def install(package: str, version: str, code: str) -> None:
        module, site = package.replace("-", "_"), tmp_path / "site"
        (site / module).mkdir(parents=True)
        (site / module / "__init__.py").write_text(code if module == "onnxruntime" else "")
        (site / module / "interpreter.py").write_text(code)
        (site / f"{module}-{version}.dist-info").mkdir()
        (site / f"{module}-{version}.dist-info/METADATA").write_text(f"Name: {package}\nVersion: {version}\n")
        monkeypatch.syspath_prepend(site)
        monkeypatch.setenv("PYTHONPATH", str(site))
        only(module)

    return install


def board(root: Path, name: str, changes: dict[str, str] | None = None) -> Path:
    _, *sections = re.split(r"^--- (.+)\n", (BOARDS / f"{name}.txt").read_text(), flags=re.MULTILINE)
    for place, content in {**dict(zip(sections[::2], sections[1::2], strict=True)), **(changes or {})}.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text(content)
    return root


def no_tool(command: list[str]) -> str:
    raise FileNotFoundError(command[0])


def findings(diagnosis: Diagnosis, name: str) -> list[Finding]:
    return [finding for finding in diagnosis.findings if finding.name == name]


def finding(diagnosis: Diagnosis, name: str) -> Finding:
    (found,) = findings(diagnosis, name)
    return found


def tflite(path: Path, version: int = 1, code: int = OP.RELU, release: str | None = None, kind: int = 0) -> Path:
    """A file of one operator on float32 (1, 4), or on another type."""
    model = schema.ModelT(version=3, buffers=[schema.BufferT()])
    model.operatorCodes = [schema.OperatorCodeT(deprecatedBuiltinCode=min(code, 127), builtinCode=code, version=version)]
    scale = schema.QuantizationParametersT(scale=[0.1], zeroPoint=[0]) if kind else None
    tensors = [schema.TensorT(shape=[1, 4], type=kind, buffer=0, name=name, quantization=scale) for name in ("x", "y")]
    operators = [schema.OperatorT(opcodeIndex=0, inputs=[0], outputs=[1])]
    model.subgraphs = [schema.SubGraphT(tensors=tensors, inputs=[0], outputs=[1], operators=operators)]
    if release:
        model.buffers.append(schema.BufferT(data=list(release.encode())))
        model.metadata = [schema.MetadataT(name="min_runtime_version", buffer=1)]
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def onnx_file(path: Path, ir_version: int = 8, opset: int = 17, shape: tuple[Any, ...] = (None, 4)) -> Path:
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", tensors[:1], tensors[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version), path)
    return path


@pytest.mark.parametrize(
    ("name", "machine", "bits", "cpu", "governor", "temperature", "throttling"),
    [
        (
            "raspberry-pi-3b-plus",
            "armv7l",
            32,
            "Cortex-A53, 2 cores; dot product no; fp16 no",
            "ondemand",
            (WARNING, "62 °C, slows down at 60"),
            WARNING,
        ),
        (
            "raspberry-pi-4",
            "aarch64",
            64,
            "Cortex-A72, 2 cores; dot product no; fp16 no",
            "ondemand",
            (OK, "48 °C, slows down at 80"),
            PROBLEM,
        ),
        (
            "raspberry-pi-5",
            "aarch64",
            64,
            "Cortex-A76, 2 cores; dot product yes (asimddp); fp16 yes (asimdhp)",
            None,
            (OK, "47 °C, slows down at 80"),
            OK,
        ),
    ],
)
def test_a_board_is_told_with_what_is_wrong_with_it(
    name: str,
    machine: str,
    bits: int,
    cpu: str,
    governor: str | None,
    temperature: tuple[str, str],
    throttling: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    only: Callable[..., None],
) -> None:
    only()
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(doctor, "python_bits", lambda: bits)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    told = examine(root=board(tmp_path, name), run=no_tool)
    assert finding(told, "board").text.startswith("Raspberry Pi ")
    assert f"{machine}, {bits}-bit Python" in finding(told, "system").text  # Python 3.13 adds what does not run on it.
    assert finding(told, "cpu") == Finding("cpu", OK, cpu)
    if governor:
        assert finding(told, "governor").status == WARNING
        assert finding(told, "governor").text.startswith(f"{governor}; ")
        assert "sudo tee" in (finding(told, "governor").fix or "")
    assert (finding(told, "temperature").status, finding(told, "temperature").text) == temperature
    assert findings(told, "throttling")[0].status == throttling


@pytest.mark.parametrize(
    ("bits", "told", "status"),
    [
        ("0x0", "nothing now or since boot", OK),
        ("0x50000", "throttled since boot, under-voltage since boot; the supply was too weak", WARNING),
        ("0x50001", "throttled since boot, under-voltage; the supply is too weak now", PROBLEM),
    ],
)
def test_throttling_now_is_worse_than_before(
    bits: str, told: str, status: str, tmp_path: Path, only: Callable[..., None]
) -> None:
    only()
    diagnosis = examine(root=board(tmp_path, "raspberry-pi-5"), run=lambda _: f"throttled={bits}")
    first = findings(diagnosis, "throttling")[0]
    assert (first.text, first.status) == (told, status)


def test_this_pythons_word_size_is_told(only: Callable[..., None]) -> None:
    only()
    assert finding(examine(), "system").text.endswith(f"{8 * struct.calcsize('P')}-bit Python")


def test_where_nothing_runs_tflite_files_no_command_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only: Callable[..., None]
) -> None:
    only()
    monkeypatch.setattr(platform, "machine", lambda: "armv7l")
    monkeypatch.setattr(doctor, "python_bits", lambda: 32)
    monkeypatch.setattr(platform, "python_version", lambda: "3.13.5")
    told = examine(root=tmp_path, run=no_tool)
    assert finding(told, "ai-edge-litert").fix is None
    assert finding(told, "system").status == PROBLEM
    assert "64-bit" in (finding(told, "system").fix or "")


def test_32_bits_under_a_64_bit_kernel_are_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only: Callable[..., None]
) -> None:
    only()
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(doctor, "python_bits", lambda: 32)
    monkeypatch.setattr(platform, "python_version", lambda: "3.11.2")
    told = examine(root=board(tmp_path, "raspberry-pi-4"), run=no_tool)
    assert finding(told, "system").status == WARNING
    assert "aarch64, 32-bit Python; 32-bit Python under a 64-bit kernel" in finding(told, "system").text
    assert findings(told, "ai-edge-litert")[0].fix == "pip install 'edgecnn[tflite-runtime]'"
    assert findings(told, "onnxruntime")[0].fix is None
    assert "edgecnn export" in (findings(told, "onnxruntime")[1].fix or "")


def test_a_machine_that_tells_nothing_is_well(tmp_path: Path, only: Callable[..., None]) -> None:
    only("ai_edge_litert")
    told = examine(root=tmp_path, run=no_tool)
    assert [found for found in told.findings if found.status != OK] == []
    assert finding(told, "cpu").text.endswith("dot product not told; fp16 not told")
    for name in ("governor", "temperature", "throttling", "memory"):
        assert finding(told, name).text == "this machine does not tell"


@pytest.mark.parametrize(("free", "status"), [("102399 kB", WARNING), ("102400 kB", OK), ("nonsense", OK)])
def test_little_memory_is_a_warning(free: str, status: str, tmp_path: Path, only: Callable[..., None]) -> None:
    only()
    told = examine(root=board(tmp_path, "raspberry-pi-5", {"proc/meminfo": f"MemTotal: 8256096 kB\nMemAvailable: {free}\n"}))
    assert finding(told, "memory").status == status
    assert finding(told, "memory").text.startswith("8,063 MiB")


def test_an_instruction_counts_only_if_every_core_has_it(tmp_path: Path, only: Callable[..., None]) -> None:
    only()
    cores = {"proc/cpuinfo": "Features : fp asimddp asimdhp\n\nFeatures : fp asimdhp\n"}
    assert "dot product no; fp16 yes" in finding(examine(root=board(tmp_path, "raspberry-pi-5", cores)), "cpu").text


def test_another_c_library_is_a_warning(monkeypatch: pytest.MonkeyPatch, only: Callable[..., None]) -> None:
    only()
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert finding(examine(), "glibc").status == WARNING


def test_without_any_runtime_both_are_named_with_their_command(only: Callable[..., None]) -> None:
    only()
    told = examine()
    assert {found.name: found.fix for found in told.problems} == {
        "ai-edge-litert": "pip install 'edgecnn[tflite]'",
        "onnxruntime": "pip install 'edgecnn[onnx]'",
    }


def test_one_runtime_is_enough_until_a_file_needs_the_other(tmp_path: Path, only: Callable[..., None]) -> None:
    only("ai_edge_litert")
    assert examine(tflite(tmp_path / "a.tflite")).problems == ()
    told = examine(onnx_file(tmp_path / "a.onnx"))
    assert [(found.name, found.fix) for found in told.problems] == [("onnxruntime", "pip install 'edgecnn[onnx]'")]
    assert finding(told, "a.onnx").text == "needs IR version 8, opset 17 of ai.onnx; onnxruntime 1.12 or later"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "killed by an illegal instruction (SIGILL): the package"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "it crashed (SIGSEGV)"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed (SIGKILL), as where memory runs out"),
        ("import time; time.sleep(60)", "it did not end within 2 s"),
        ("import os; os._exit(3)", "it ended with code 3"),
        (
            "print('all is well'); raise ImportError('version `GLIBC_2.38\\' not found')",
            "ImportError: version `GLIBC_2.38' not",
        ),
        ("import a_module_that_is_not_there", "ModuleNotFoundError: No module named 'a_module_that_is_not_there'"),
    ],
)
@pytest.mark.parametrize("package", ["onnxruntime", "ai-edge-litert"])
def test_a_runtime_that_dies_when_imported_becomes_a_sentence(
    package: str, code: str, said: str, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "sleep" in code:
        monkeypatch.setattr("benchmarks.doctor_child.CHILD_SECONDS", 2.0)
    fake(package, "9.8.7", code)
    (problem,) = examine().problems
    assert problem.name == package
    assert problem.text.startswith(f"9.8.7 can't be imported: {said}")
    assert problem.fix == f"pip install --upgrade {package}"


def test_a_file_is_not_run_in_a_runtime_that_dies_when_imported(fake: Fake, tmp_path: Path) -> None:
    fake("onnxruntime", "9.8.7", "import os; os.abort()")
    told = examine(onnx_file(tmp_path / "a.onnx"))
    assert [(found.name, found.text) for found in told.problems] == [
        ("onnxruntime", "9.8.7 can't be imported: it crashed (SIGABRT)")
    ]
    assert finding(told, "a.onnx").text == "needs IR version 8, opset 17 of ai.onnx; onnxruntime 1.12 or later"


def test_an_imported_runtime_may_print_and_is_well(fake: Fake) -> None:
    fake("onnxruntime", "9.8.7", "print('hello')")
    told = examine()
    assert finding(told, "onnxruntime").text == "9.8.7 can be imported"
    assert told.problems == ()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("os.kill(os.getpid(), signal.SIGILL)", "its runtime does not run it: killed by an illegal instruction (SIGILL)"),
        # What a runtime that was built for numpy 1 raises.
        ("raise SystemError('CreateWrapperFromBuffer returned a result')", "ai-edge-litert 9.8.7 needs an older numpy"),
    ],
)
def test_a_runtime_that_dies_on_the_file_becomes_a_sentence(body: str, said: str, fake: Fake, tmp_path: Path) -> None:
    code = f"import os, signal\nclass Interpreter:\n    def __init__(self, **_):\n        print('noise')\n        {body}\n"
    fake("ai-edge-litert", "9.8.7", code)
    (problem,) = examine(tflite(tmp_path / "a.tflite")).problems
    assert problem.name == "a.tflite"
    assert problem.text.startswith(said)
    assert problem.fix


def test_a_folder_of_the_users_with_our_name_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: Fake
) -> None:
    fake("onnxruntime", "9.8.7", "")
    (tmp_path / "here/benchmarks").mkdir(parents=True)
    (tmp_path / "here/benchmarks/__init__.py").write_text("raise SystemExit('not ours')")
    monkeypatch.chdir(tmp_path / "here")
    assert examine().problems == ()


def test_tflite_runtime_does_not_count_where_its_successor_is_used(fake: Fake, only: Callable[..., None]) -> None:
    fake("tflite-runtime", "2.14.0", "raise ImportError")
    assert findings(examine(), "tflite-runtime")[0].status == PROBLEM
    only("ai_edge_litert", "tflite_runtime")
    assert findings(examine(), "tflite-runtime") == []


def test_a_file_that_opens_and_fails_when_it_runs_is_a_problem(tmp_path: Path, only: Callable[..., None]) -> None:
    only("onnxruntime")
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("x", "y")]
    nine = helper.make_tensor("nine", TensorProto.INT64, [4], [9] * 4)
    graph = helper.make_graph([helper.make_node("Gather", ["x", "nine"], ["y"], axis=1)], "g", tensors[:1], tensors[1:], [nine])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "a.onnx")
    (problem,) = examine(tmp_path / "a.onnx").problems
    assert problem.text.startswith("its runtime does not run it: InvalidArgument: ")


def test_onnxruntime_is_imported_with_its_telemetry_off(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY")
    fake("onnxruntime", "1.28.0", "import os; assert os.environ['ORT_DISABLE_TELEMETRY'] == '1'")
    assert examine().problems == ()


def test_a_known_problem_joins_the_finding_that_it_is_about(fake: Fake) -> None:
    fake("onnxruntime", "1.30.0", "")
    row = next(row for row in KNOWN_PROBLEMS if "telemetry" in row.text)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ORT_DISABLE_TELEMETRY")
        told = finding(examine(), "onnxruntime")
    assert told == Finding("onnxruntime", WARNING, f"1.30.0 can be imported; {row.text}", row.fix, row.source)
    assert finding(examine(), "onnxruntime").status == OK


def test_a_known_problem_stands_beside_a_worse_finding(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    fake("onnxruntime", "1.30.0", "raise ImportError")
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY")
    assert [found.status for found in findings(examine(), "onnxruntime")] == [PROBLEM, WARNING]


@pytest.mark.parametrize("signature", [None, "serve"])
def test_files_run_once_in_the_real_runtimes(signature: str | None, tmp_path: Path, only: Callable[..., None]) -> None:
    only("ai_edge_litert", "onnxruntime")
    needs, runs = findings(examine(tflite(tmp_path / "a.tflite")), "a.tflite")
    assert needs == Finding("a.tflite", OK, "needs RELU 1; TensorFlow Lite 1.5.0 or later")
    assert (runs.status, re.sub(r"[\d.]+ ", "", runs.text)) == (OK, "ai-edge-litert opens it and ran it once on random input")
    _, runs = findings(examine(onnx_file(tmp_path / "a.onnx"), signature), "a.onnx")
    if signature:
        assert (runs.status, runs.fix) == (PROBLEM, "leave --signature away")
    else:
        assert (runs.status, re.sub(r"[\d.]+ ", "", runs.text)) == (OK, "onnxruntime opens it and ran it once on random input")


def test_a_file_with_free_sizes_is_opened_and_the_rest_is_said(tmp_path: Path, only: Callable[..., None]) -> None:
    only("onnxruntime")
    _, runs = findings(examine(onnx_file(tmp_path / "a.onnx", shape=(1, None))), "a.onnx")
    assert runs.status == OK
    assert "opens it; it was not run: " in runs.text


def test_an_operator_that_the_runtime_does_not_have_is_a_problem(tmp_path: Path, only: Callable[..., None]) -> None:
    only("ai_edge_litert")
    (problem,) = examine(tflite(tmp_path / "a.tflite", version=99)).problems
    assert problem.text == ("the installed runtime is too old for it: Didn't find op for builtin opcode 'RELU' version '99'")
    assert problem.fix == "pip install --upgrade ai-edge-litert"


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
    assert re.fullmatch(f"the installed runtime is too old for it: {said}", problem.text)
    assert problem.fix == "pip install --upgrade onnxruntime"


@pytest.mark.parametrize(("release", "status"), [("2.17.0", PROBLEM), ("2.14.0", OK), ("2.3.0", OK)])
def test_tflite_runtime_is_compared_with_the_release_in_the_file(release: str, status: str, fake: Fake, tmp_path: Path) -> None:
    fake("tflite-runtime", "2.14.0", "")
    needs = findings(examine(tflite(tmp_path / "a.tflite", release=release)), "a.tflite")[0]
    assert needs.status == status
    assert f"needs RELU 1; TensorFlow Lite {release} or later" in needs.text
    assert (needs.fix == "pip install --upgrade ai-edge-litert") == (status == PROBLEM)


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
    assert "; TensorFlow Lite 2.10.0 or later" in needs.text


def test_an_operator_version_after_tflite_runtimes_last_release_is_a_known_problem(fake: Fake, tmp_path: Path) -> None:
    fake("tflite-runtime", "2.14.0", "")
    problems = examine(tflite(tmp_path / "a.tflite", version=12, code=OP.FULLY_CONNECTED)).problems
    assert any("tflite-runtime 2.14 has no FULLY_CONNECTED" in problem.text and problem.source for problem in problems)
    problems = examine(tflite(tmp_path / "b.tflite", version=9, code=OP.FULLY_CONNECTED)).problems
    assert not any("tflite-runtime 2.14 has no" in problem.text for problem in problems)


@pytest.mark.parametrize(("installed", "status"), [("1.14.0", PROBLEM), ("1.15.0", OK)])
def test_onnxruntime_is_compared_with_the_release_in_the_manifest(
    installed: str, status: str, fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake("onnxruntime", installed, "")
    path, spec = onnx_file(tmp_path / "a.onnx"), TensorSpec("x", (None, 4), "float32")
    artifact = Artifact("onnx", "float32", path.name, 1, "", None, spec, spec, "onnxruntime>=1.15", None)
    model = ModelFile(path, "onnx", path.read_bytes(), None, artifact, None)
    monkeypatch.setattr(doctor, "read_model", lambda _: model)
    needs = findings(examine(path), "a.onnx")[0]
    assert needs.status == status
    assert needs.text.startswith("needs IR version 8, opset 17 of ai.onnx; onnxruntime 1.15 or later")


def test_int8_on_a_cpu_without_dot_product_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only: Callable[..., None]
) -> None:
    only("ai_edge_litert")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    int8 = tflite(tmp_path / "int8.tflite", version=2, kind=schema.TensorType.INT8)
    old, new = board(tmp_path / "4", "raspberry-pi-4"), board(tmp_path / "5", "raspberry-pi-5")
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
    assert told.problems[0].text.startswith(f"{folder / 'int8.tflite'} is not the file that manifest.json lists")
    assert (told.problems[0].fix or "").startswith("copy it again or run edgecnn export")
    assert [found.name for found in told.findings if "ran it once" in found.text] == ["float32.tflite", "float32.onnx"]


def test_a_damaged_file_is_a_problem_that_keeps_the_rest_of_the_answer(tmp_path: Path, only: Callable[..., None]) -> None:
    only("ai_edge_litert")
    path = tmp_path / "a.tflite"
    path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(20))
    told = examine(path)
    assert (finding(told, "a.tflite").status, finding(told, "a.tflite").fix) == (PROBLEM, "copy or export it again")
    assert finding(told, "python").status == OK


def test_a_keras_model_is_for_the_workstation(tmp_path: Path, only: Callable[..., None]) -> None:
    only("ai_edge_litert")
    path = tmp_path / "model.keras"
    path.write_bytes(b"PK\x03\x04")
    found = finding(examine(path), "model.keras")
    assert (found.status, found.fix) == (WARNING, f"edgecnn export {path} --format tflite --quantize int8")


@pytest.mark.parametrize("name", ["nothing.tflite", ""])
def test_a_path_that_is_not_there_and_a_folder_without_manifest_are_errors(name: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError):
        examine(tmp_path / name)


def test_a_diagnosis_is_json(only: Callable[..., None]) -> None:
    only()
    read = json.loads(json.dumps(dataclasses.asdict(examine())))
    assert {tuple(found) for found in read["findings"]} == {("name", "status", "text", "fix", "source")}
