"""The doctor's findings about the installed runtimes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edgecnn.benchmarks.doctor.examine import examine
from edgecnn.benchmarks.doctor.findings import Finding
from edgecnn.benchmarks.doctor.known_problems import KNOWN_PROBLEMS, OK, PROBLEM, WARNING
from edgecnn.edge.packages import install_command
from tests.benchmarks.doctor.examined import Fake, finding, findings, onnx_file, tflite
from tests.onnx_text import onnx_bytes


def test_without_any_runtime_both_are_named_with_their_command(only: Callable[..., None]) -> None:
    only()
    told = examine()
    assert {found.name: found.fix for found in told.problems} == {
        "ai-edge-litert": install_command("tflite"),
        "onnxruntime": install_command("onnx"),
    }


def test_one_runtime_is_enough_until_a_file_needs_the_other(tmp_path: Path, only: Callable[..., None]) -> None:
    only("ai_edge_litert")
    assert examine(tflite(tmp_path / "a.tflite")).problems == ()
    told = examine(onnx_file(tmp_path / "a.onnx"))
    assert [(found.name, found.fix) for found in told.problems] == [("onnxruntime", install_command("onnx"))]
    assert finding(told, "a.onnx").text == "needs IR version 8, opset 17 of ai.onnx; onnxruntime 1.12 or later"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "it was killed by an illegal instruction (SIGILL)"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "it was killed (SIGKILL)"),
        ("import time; time.sleep(60)", "it did not end within 2 s"),
        ("import os; os._exit(3)", "it ended with code 3"),
        (
            "print('all is well'); raise ImportError('version `GLIBC_2.38\\' not found')",
            "ImportError: version `GLIBC_2.38' not",
        ),
        ("import a_module_that_is_not_there", "ModuleNotFoundError: No module named 'a_module_that_is_not_there'"),
    ],
)
def test_a_runtime_that_dies_when_imported_becomes_a_sentence(
    code: str, said: str, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = "ai-edge-litert" if "SIGILL" in code else "onnxruntime"
    if "sleep" in code:
        monkeypatch.setattr("edgecnn.benchmarks.doctor.findings.CHILD_SECONDS", 2.0)
    fake(package, "9.8.7", code)
    (problem,) = examine().problems
    assert problem.name == package
    assert problem.text.startswith(f"9.8.7 can't be imported: {said}")
    assert problem.fix == f"pip install -U {package}"


def test_a_file_is_not_run_in_a_runtime_that_dies_when_imported(fake: Fake, tmp_path: Path) -> None:
    fake("onnxruntime", "9.8.7", "import os; os.abort()")
    told = examine(onnx_file(tmp_path / "a.onnx"))
    (problem,) = told.problems
    assert problem.name == "onnxruntime"
    assert all(said in problem.text for said in ("9.8.7 can't be imported: ", "(SIGABRT)"))
    assert all(said in finding(told, "a.onnx").text for said in ("IR version 8, opset 17", "ai.onnx; onnxruntime 1.12"))


def test_an_imported_runtime_may_print_and_is_well(fake: Fake) -> None:
    fake("onnxruntime", "9.8.7", "print('hello')")
    told = examine()
    assert finding(told, "onnxruntime").text == "9.8.7 can be imported"
    assert told.problems == ()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "os.kill(os.getpid(), signal.SIGILL)",
            "its runtime does not run it: it was killed by an illegal",
        ),
        ("raise SystemError('bad internal call')", "its runtime does not run it: SystemError: bad internal call"),
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
    data = onnx_bytes("(float[1, 4] x) => (float[1, 4] y) {y = Gather <axis = 1> (x, nine)}", nine=[9] * 4)
    (tmp_path / "a.onnx").write_bytes(data)
    (problem,) = examine(tmp_path / "a.onnx").problems
    assert "not run it: InvalidArgument: " in problem.text


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
