"""What TensorFlow, Keras and ONNX Runtime leave in TMPDIR when their process is killed is deleted at the next start."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from edgecnn.__main__ import run
from tests.end_to_end.forks import FORKS


def killed(begins: str, temporary: str, *words: str) -> None:
    """Run a command that is killed as soon as a library reads or deletes a temporary file or folder of that name."""

    def kill(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("open", "shutil.rmtree") and isinstance(arguments[0], str):
            path = arguments[0]
            if Path(path).name.startswith(begins) and path.startswith(temporary) and Path(path).exists():
                os.kill(os.getpid(), signal.SIGKILL)

    os.environ["TMPDIR"], tempfile.tempdir = temporary, None
    sys.argv = ["edgecnn", *words]
    sys.addaudithook(kill)
    run()


@pytest.mark.parametrize(
    ("begins", "command"),
    [
        ("__autograph_generated_file", "export {model} --data {images} --format tflite --quantize float32"),
        (
            "__autograph_generated_file",
            "export {model} --data {images} --format onnx --quantize float32 --onnx-converter tf2onnx",
        ),
        ("pre.quant.", "export {model} --data {images} --format onnx --quantize int8"),
        ("tmp", "train --data {images} --epochs 1 --out {out}"),
    ],
)
def test_a_killed_command_leaves_nothing_once_another_begins(
    begins: str, command: str, artifacts: Path, idx_folder: Path, tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    words = command.format(model=artifacts / "model.keras", images=idx_folder, out=tmp_path / "out").split()
    process = FORKS.Process(target=killed, args=(begins, str(temporary), *words))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert [path for path in temporary.rglob("*") if path.name.startswith(begins)]
    another = [sys.executable, "-m", "edgecnn", "summary", str(artifacts / "float32.tflite")]
    subprocess.run(another, env={**os.environ, "TMPDIR": str(temporary)}, check=True, capture_output=True)
    assert list(temporary.iterdir()) == []
