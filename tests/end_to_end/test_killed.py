"""What TensorFlow, Keras and ONNX Runtime leave in TMPDIR when their process is killed is deleted at the next start."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

# Runs a command that is killed as soon as a library reads or deletes a temporary file or folder of that name.
KILLED = """
import os, signal, sys

begins = sys.argv.pop(1)

def kill(event, arguments):
    if event in ("open", "shutil.rmtree") and isinstance(arguments[0], str):
        path = arguments[0]
        if os.path.basename(path).startswith(begins) and path.startswith(os.environ["TMPDIR"]) and os.path.exists(path):
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(kill)
from edgecnn.__main__ import run
run()
"""


@pytest.mark.parametrize(
    ("begins", "command"),
    [
        ("__autograph_generated_file", "export {model} --data {images} --format tflite --quantize float32"),
        ("__autograph_generated_file", "export {model} --data {images} --format onnx --quantize float32"),
        ("pre.quant.", "export {model} --data {images} --format onnx --quantize int8"),
        ("tmp", "train --data {images} --epochs 1 --out {out}"),
    ],
)
def test_a_killed_command_leaves_nothing_once_another_begins(
    begins: str, command: str, artifacts: Path, idx_folder: Path, tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary)}
    words = command.format(model=artifacts / "model.keras", images=idx_folder, out=tmp_path / "out").split()
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, begins, *words], env=environment, check=False, capture_output=True, text=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [path for path in temporary.rglob("*") if path.name.startswith(begins)]
    another = [sys.executable, "-m", "edgecnn", "summary", str(artifacts / "float32.tflite")]
    subprocess.run(another, env=environment, check=True, capture_output=True)
    assert list(temporary.iterdir()) == []
