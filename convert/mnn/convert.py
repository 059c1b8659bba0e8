"""Runs MNN's converter, which reads .onnx files, and reads and writes MNN's own.

It is called natively: the command `mnnconvert` installs a package for telemetry with whichever pip is on the path.
"""

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgecnn.edge.errors import ConversionError, field
from edgecnn.edge.formats import RUNTIMES
from edgecnn.edge.isolation.child import child_environment, python_command, signal_name
from edgecnn.edge.temporary import temporary_folder

# What it says of operators that MNN lacks: "These Op Not Support: ONNX::A | ONNX::B".
_LACKING = re.compile(r"ONNX::(\S+)")
# Its files have a random name otherwise, so that no two are the same.
_NAME = {"version": "0.0.0", "mnnUuid": "00000000-0000-4000-8000-000000000000"}


def to_mnn(onnx: bytes, half: bool) -> bytes:
    """Convert a float32 .onnx file.

    Args:
        onnx: The file.
        half: Whether the weights become float16; MNN computes with them in float32.

    Raises:
        ConversionError: If the converter fails, or MNN lacks an operator.
        MissingDependency: If MNN is not installed.
    """
    return _run("ONNX", onnx, "--MNNModel", "--fp16" if half else "")


def with_parameters(mnn: bytes, parameters: Mapping[str, Any]) -> bytes:
    """Return a float32 MNN file quantized by parameters, as MNN's `MNN_compression.proto` defines them. Errors as `to_mnn`."""
    return _run("MNN", mnn, "--MNNModel", "", parameters)


def described(mnn: bytes) -> dict[str, Any]:
    """Return an MNN file's network and weights as its schema names them, the numbers to six digits. Errors as `to_mnn`."""
    found: dict[str, Any] = json.loads(_run("MNN", mnn, "--JsonFile", ""))
    return found


def _run(kind: str, data: bytes, written: str, option: str, parameters: Mapping[str, Any] | None = None) -> bytes:
    """Return what the converter writes. It may crash, reports success always, and leaves files in the current folder."""
    package = RUNTIMES["mnn"].package
    if not package.is_installed:
        raise package.missing
    with temporary_folder() as folder:
        given, parameter_file, result = (folder / name for name in ("given", "parameters.json", "result"))
        given.write_bytes(data)
        parameter_file.write_text(json.dumps({**_NAME, **(parameters or {})}))
        options = ["-f", kind, "--modelFile", given.name, written, result.name, "--bizCode", "edgecnn"]
        options += ["--compressionParamsFile", parameter_file.name, *filter(None, [option])]
        said, code = _called(options, folder)
        if code or not result.exists():
            raise _failed(said, code)
        return result.read_bytes()


def _called(options: list[str], folder: Path) -> tuple[str, int]:
    command = [*python_command("import sys, _tools; _tools.mnnconvert(['mnnconvert', *sys.argv[1:]])"), *options]
    done = subprocess.run(
        command, cwd=folder, env=child_environment(), capture_output=True, text=True, errors="replace", check=False
    )
    return done.stdout + done.stderr, done.returncode


def _failed(said: str, code: int) -> ConversionError:
    named = sorted(set(_LACKING.findall(said)))
    ended = f"its converter crashed, {signal_name(-code)}" if code < 0 else "its converter wrote no file"
    reason = f"MNN has no {', '.join(named)}" if named else ended
    fix = f"replace that layer, or use other {field('formats')}"
    return ConversionError(f"mnn: the model can't be converted ({reason}): {fix}")
