"""The child process that runs one file: what it answers, and what comes out of it when it fails or dies."""

import functools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.latency import Plan
from benchmarks.process import ModelProcess
from benchmarks.worker import Classify, Open, Time, peak_memory_bytes
from convert.dataset import load_split
from edge.classifier import Classifier
from edge.errors import ArtifactError, EdgeCnnError
from edge.files import sha256
from edge.runtimes import Opener, opener_for

TFLITE = opener_for("tflite")


def request(path: Path, opener: Opener = TFLITE) -> Open:
    return Open(path, sha256(path.read_bytes()), opener, 1)


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Every process that is started from here on."""
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def start(*args: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*args, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    return started


def test_a_file_that_the_runtime_refuses_is_an_artifact_error_here_too(
    tmp_path: Path, children: list[subprocess.Popen[bytes]]
) -> None:
    path = tmp_path / "bad.tflite"
    path.write_bytes(b"\0\0\0\0TFL3" + b"\xff" * 64)
    with pytest.raises(ArtifactError, match=r"can't load the TFLite model.*export it again"):
        ModelProcess(request(path))
    assert [child.poll() for child in children] == [-signal.SIGKILL]


def test_a_file_that_changed_since_the_parent_read_its_hash_is_refused(exported: Path) -> None:
    with pytest.raises(EdgeCnnError, match=r"int8\.tflite changed while it was measured: run edgecnn bench again"):
        ModelProcess(Open(exported / "int8.tflite", "0" * 64, TFLITE, 1))


@pytest.mark.parametrize(
    ("die", "number"),
    [(os.abort, signal.SIGABRT), (partial(signal.raise_signal, signal.SIGSEGV), signal.SIGSEGV)],
    ids=["abort", "segfault"],
)
def test_a_runtime_that_crashes_is_an_artifact_error_that_names_the_signal(
    die: Callable[[], None], number: int, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # For the core file, where the system writes one.
    with pytest.raises(ArtifactError, match=rf"int8\.tflite: its runtime crashed \(signal {number}\): export the file again"):
        ModelProcess(request(exported / "int8.tflite", Opener(die, TFLITE.open_model)))


def test_a_crash_after_opening_names_the_signal_too(exported: Path, children: list[subprocess.Popen[bytes]]) -> None:
    with ModelProcess(request(exported / "int8.tflite")) as process:
        children[0].kill()
        children[0].wait()
        with pytest.raises(ArtifactError, match=r"int8\.tflite: its runtime crashed \(signal 9\)"):
            process.classify(Classify(np.zeros((1, 12, 12, 1), np.uint8)))


def test_an_exception_that_nobody_expected_shows_the_childs_traceback(exported: Path) -> None:
    opener = Opener(partial(int, "no number"), TFLITE.open_model)  # type: ignore[arg-type]  # Wrong on purpose.
    with pytest.raises(RuntimeError, match=r"int8\.tflite ended with code 1") as caught:
        ModelProcess(request(exported / "int8.tflite", opener))
    assert "Traceback (most recent call last)" in str(caught.value)
    assert "ValueError: invalid literal for int() with base 10: 'no number'" in str(caught.value)


def test_the_child_ends_when_the_block_is_left_by_an_exception(exported: Path, children: list[subprocess.Popen[bytes]]) -> None:
    with pytest.raises(KeyboardInterrupt), ModelProcess(request(exported / "int8.tflite")):  # noqa: PT012  # Two checks.
        assert children[0].poll() is None
        raise KeyboardInterrupt
    assert children[0].poll() == -signal.SIGKILL


def test_a_folder_of_the_users_with_our_name_is_not_imported(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__init__.py").write_text("raise SystemExit('not ours')")
    monkeypatch.chdir(tmp_path)
    with ModelProcess(request(exported / "int8.tflite")) as process:
        assert process.opened.runtime


@pytest.mark.parametrize("name", ["int8.tflite", "float32.onnx"])
def test_a_file_opens_times_and_classifies_as_it_does_in_this_process(name: str, exported: Path, idx_folder: Path) -> None:
    images = load_split(idx_folder, "test").images
    here = Classifier.load(exported / name)
    with ModelProcess(request(exported / name, opener_for(name.split(".")[1]))) as process:
        sample, peak = process.time(Time(images[:4], Plan(warmup_runs=3, min_runs=7, min_seconds=0)))
        probabilities = process.classify(Classify(images))
    assert process.opened.runtime == f"{here.runtime.name} {here.runtime.version}"
    assert min(process.opened.import_ns, process.opened.load_ns, *sample.warmup_ns, *sample.measured_ns) > 0
    assert (len(sample.warmup_ns), len(sample.measured_ns)) == (3, 7)
    assert peak > 2**20
    np.testing.assert_array_equal(probabilities, here.probabilities(images))


def test_the_childs_memory_is_its_own_and_not_tensorflows(exported: Path) -> None:
    assert "tensorflow" in sys.modules
    assert peak_memory_bytes() > 300e6
    with ModelProcess(request(exported / "int8.tflite")) as process:
        _, peak = process.time(Time(np.zeros((1, 12, 12, 1), np.uint8), Plan(1, 1, 0)))
    assert peak < 150e6


def test_what_a_runtime_prints_is_not_taken_for_a_result(exported: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with ModelProcess(request(exported / "int8.tflite", Opener(functools.partial(print, "noise"), TFLITE.open_model))):
        pass
    assert "noise" not in capfd.readouterr().out
