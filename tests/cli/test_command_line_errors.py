"""Files, packages and machines that fail a command: exit codes, and one line that says what is wrong."""

import os
import re
import resource
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgecnn.convert.training import train as training
from edgecnn.convert.training.model import custom_model
from edgecnn.edge.packages import install_command
from tests.cli.always_right import SHORT

RESULT = Path(__file__).parents[1] / "benchmarks/kept_results/schema-5.json"


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("missing.tflite", "missing.tflite does not exist: check the path"),
        ("empty.tflite", "empty.tflite is empty: copy it again"),
        ("text.tflite", "text.tflite is not a TFLite file"),
        ("text.keras", "text.keras is not a Keras file"),
        ("text.onnx", "the ONNX model can't be read"),
        ("text.txt", "text.txt is not a .keras, .tflite, .onnx, .ncnn, .mnn or .pte file: name one"),
    ],
)
def test_a_file_that_is_no_model_exits_with_4(name: str, part: str, terminal: Any) -> None:
    if name != "missing.tflite":
        Path(name).write_text("" if name.startswith("empty") else "just some text")
    assert part in terminal.fails(4, "evaluate", name, "--preprocess", "unit")
    assert terminal.out == ""


@pytest.mark.parametrize("command", ["evaluate", "bench", "export", "summary"])
def test_an_altered_file_exits_with_4(command: str, artifacts: Path, terminal: Any) -> None:
    name = "model.keras" if command == "export" else "int8.tflite"
    data = bytearray((artifacts / name).read_bytes())
    data[len(data) // 2] ^= 1
    (artifacts / name).write_bytes(data)
    target = artifacts if command == "bench" else artifacts / name
    line = terminal.fails(4, command, target, *(["--runtime", "tflite"] if command == "bench" else []))
    assert re.search(rf"{name} is not.*manifest\.json lists", line)


@pytest.mark.parametrize("option", ["--json", "--csv"])
def test_a_result_does_not_replace_a_model_or_a_manifest(option: str, artifacts: Path, terminal: Any) -> None:
    before = (artifacts / "manifest.json").read_bytes()
    line = terminal.fails(2, "bench", artifacts, option, artifacts / "manifest.json")
    assert "manifest.json has a model's" in line
    assert (artifacts / "manifest.json").read_bytes() == before


def test_bench_measures_what_is_installed_and_says_what_is_not(
    exported: Path, terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgecnn.edge.formats.find_spec", lambda name: find_spec(name) if name == "onnxruntime" else None)
    text = terminal.passes("bench", exported, *SHORT, "--max-drop", "100")
    assert "keras files were not measured" in text
    assert "tflite files were not measured" in text
    assert "int8.onnx" in text
    assert "int8.tflite" not in text


@pytest.mark.parametrize("typed", ["bench {exported} --runtime onnx", "evaluate {exported}/float32.onnx"])
def test_a_runtime_that_is_not_installed_exits_with_6_before_anything_runs_and_says_what_to_install(
    typed: str, exported: Path, terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    line = terminal.fails(6, *typed.format(exported=exported).split())
    assert line.endswith(f"onnxruntime is not installed: {install_command('onnx')}")
    assert [said for said in terminal.err.splitlines() if not said.endswith(": loading")] == [line]


def evaluation_raises(error: BaseException, exported: Path, terminal: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return the exit code of `edgecnn evaluate` if this is raised in the middle of it."""

    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr("edgecnn.edge.inference.model_test_images.model_test_images", fail)
    code: int = terminal.run("evaluate", exported / "int8.tflite")
    assert "Traceback" not in terminal.err
    assert terminal.out == ""
    return code


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "edgecnn: interrupted"),
        (MemoryError("Unable to allocate 1 TiB"), 2, r"not enough memory \(.*1 TiB\).*--size.*--batch-size"),
        (ImportError("_csv.so: failed to map segment from shared object"), 2, "Cannot allocate memory: free some"),
    ],
)
def test_ctrl_c_and_too_little_memory_are_one_line(
    error: BaseException, code: int, said: str, exported: Path, terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert evaluation_raises(error, exported, terminal, monkeypatch) == code
    assert re.search(said, terminal.err.splitlines()[-1])


@pytest.mark.parametrize("error", [ZeroDivisionError("our bug"), ImportError("cannot import name 'absent'")])
def test_an_exception_that_nobody_expected_keeps_its_traceback(
    error: Exception, exported: Path, terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(type(error), match=str(error)):
        evaluation_raises(error, exported, terminal, monkeypatch)


def test_test_images_of_another_shape_are_refused_and_both_shapes_named(exported: Path, terminal: Any, tmp_path: Path) -> None:
    shutil.copy(exported / "int8.tflite", tmp_path / "copy.tflite")
    for command in (("evaluate",), ("predict", "--index", "0")):
        bare = (*command, tmp_path / "copy.tflite", "--preprocess", "unit")
        assert re.search(r"which images it was made.*--data", terminal.fails(2, *bare))
        line = terminal.fails(2, *bare, "--data", "mnist")
        assert re.search(r"\(12, 12, 1\).*\(28, 28, 1\).*--data", line)


def test_an_altered_manifest_exits_with_4(artifacts: Path, terminal: Any) -> None:
    path = artifacts / "manifest.json"
    path.write_text(path.read_text().replace('"class_names": ["0", "1"', '"class_names": ["1", "0"'))
    line = terminal.fails(4, "predict", artifacts / "int8.tflite", "--index", "0")
    assert "manifest.json was altered" in line


def test_a_full_standard_output_exits_with_2(exported: Path) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "edgecnn", "evaluate", str(exported / "int8.tflite")]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()[1:]
    assert re.search(r"standard output .*\(No space left", line)


def test_a_terminal_without_block_characters_gets_question_marks(exported: Path) -> None:
    command = [sys.executable, "-m", "edgecnn", "predict", str(exported / "int8.tflite"), "--index", "0"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "predicted" in done.stdout
    assert "?" in done.stdout


@pytest.mark.parametrize(
    ("name", "text"),
    [("ResourceExhaustedError", "OOM when allocating tensor"), ("DecodeError", "Error parsing message: Arena alloc failed")],
)
def test_what_tensorflow_calls_exhausted_is_memory(
    name: str, text: str, idx_folder: Path, terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise type(name, (Exception,), {})(text)

    monkeypatch.setattr(training, "train", fail)
    assert f"memory ({text})" in terminal.fails(2, "train", "--data", idx_folder, "--out", "out")


def test_a_disk_that_is_full_is_not_called_memory(idx_folder: Path, terminal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        import tensorflow as tf  # noqa: PLC0415 - Other tests here don't need it.

        with tf.io.gfile.GFile("/dev/full", "w") as file:
            file.write("x")

    monkeypatch.setattr(training, "train", fail)
    line = terminal.fails(2, "train", "--data", idx_folder, "--out", "out")
    assert line.startswith("edgecnn: /dev/full: No space left")


def limited(kind: int, most: int, *arguments: str | Path) -> tuple[int, str]:
    """Run a command with a limit of this process; return its exit code, and the last line of its standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "edgecnn", *map(str, arguments)],
        preexec_fn=lambda: resource.setrlimit(kind, (most, most)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr.splitlines()[-1]


def test_few_open_files_are_one_line_in_each_command(exported: Path) -> None:
    shutil.copy(RESULT, "result.json")
    for arguments in (
        ("bench", exported, "--runtime", "onnx", *SHORT),
        ("report", "result.json", "--html", "result.html"),
        ("bundle", exported, "--out", "new.zip"),
        ("doctor", exported),
        ("selftest", exported / "int8.tflite", "--trials", "4"),
        ("serve", exported / "int8.tflite", "--port", "0"),
    ):
        code, line = limited(resource.RLIMIT_NOFILE, 8, *arguments)
        assert (code, "Too many open files" in line, line.endswith("ulimit -n")) == (2, True, True), (arguments, line)


def test_a_limit_of_file_size_is_one_line_also_from_a_child(exported: Path, idx_folder: Path) -> None:
    (exported.parent / "alone").mkdir(exist_ok=True)
    alone = shutil.copy(exported / "model.keras", exported.parent / "alone")  # It is unverified: a child process tries it.
    for arguments in (
        ("bundle", exported, "--out", "new.zip"),
        ("summary", alone),
        ("evaluate", exported / "model.keras"),
        ("train", "--data", idx_folder, "--epochs", "1", "--out", "out"),
    ):
        code, line = limited(resource.RLIMIT_FSIZE, 40_000, *arguments)
        assert (code, "File too large" in line, line.endswith("ulimit -f")) == (2, True, True), (arguments, line)


def test_where_no_temporary_file_can_be_written_predict_works(exported: Path) -> None:
    """A limit of 0 bytes is like a file system that can't be written: Python finds no folder for temporary files."""
    Image.fromarray(np.eye(28, dtype=np.uint8) * 255).save("picture.png")
    code, line = limited(resource.RLIMIT_FSIZE, 0, "predict", exported / "int8.tflite", "picture.png")
    assert code == 0, line


@pytest.mark.parametrize("command", ["bench", "doctor", "predict"])
def test_a_working_directory_that_is_gone_is_named(command: str, exported: Path, tmp_path: Path, terminal: Any) -> None:
    (tmp_path / "gone").mkdir()
    os.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert "working directory can't be used" in terminal.fails(2, command, exported / "int8.tflite")


def test_a_clock_before_1980_is_named(idx_folder: Path, terminal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(custom_model, "time", SimpleNamespace(localtime=lambda: time.gmtime(0)))
    line = terminal.fails(2, "train", "--data", idx_folder, "--epochs", "1", "--out", "out")
    assert "this machine's clock says 1970" in line
