"""The child processes in which the doctor imports runtimes and runs files.

What kills one, an illegal instruction above all, becomes a sentence here.
"""

import importlib
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.random_inputs import random_inputs
from edge.errors import ArtifactError, EdgeCnnError
from edge.model_file import read_model
from edge.runtimes import opener_for

CHILD_SECONDS = 60.0
"""A board imports a runtime from a slow card in a few seconds; what takes longer than this hangs."""

# Exit codes of a child whose answer is an error's message; an interpreter that can't even start gives 1 or 2.
_REFUSED, _FAILED = 64, 65

# How the runtimes say that a file is of a later release than they are.
_TOO_OLD = (
    r"Didn't find op for builtin opcode '\w+' version '\d+'",
    r"Unsupported model IR version: \d+, max supported IR version: \d+",
    r"Opset \d+ is under development",
    r"official support for domain \S+ is till opset \d+",
)


@dataclass(frozen=True)
class Ended:
    """How a child process ended.

    Attributes:
        answer: What it had to say, if all went well.
        error: The message of an `EdgeCnnError`, which ends with the fix.
        failure: What ended it otherwise: a signal, the time limit or an exception.
    """

    answer: str = ""
    error: str | None = None
    failure: str | None = None


def import_module(module: str) -> Ended:
    """Import a module in a process of its own."""
    return _run("import", module)


def run_file(path: Path, signature: str | None) -> Ended:
    """Open a .tflite or .onnx file and run it once on random input, in a process of its own."""
    return _run("run", str(path), signature or "")


def too_old(message: str) -> str | None:
    """Return what a runtime says of a file that is too new for it; None if that is not what it says."""
    found = [match[0] for pattern in _TOO_OLD if (match := re.search(pattern, message))]
    return ", ".join(found) or None


def _run(task: str, *arguments: str) -> Ended:
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]  # For a checkout that is not installed.
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "ORT_DISABLE_TELEMETRY": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    try:
        # -P: a folder of the user's with one of our names must not be imported.
        child = subprocess.run(
            [sys.executable, "-P", "-c", f"from {__name__} import answer; answer()", task, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=CHILD_SECONDS,
            env=environment,
            encoding="utf-8",
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        return Ended(failure=f"it did not end within {CHILD_SECONDS:.0f} s")
    if child.returncode == 0:
        return Ended(child.stdout.strip())
    if child.returncode < 0:
        return Ended(failure=_death(-child.returncode))
    if child.returncode == _REFUSED:
        return Ended(error=child.stdout.strip())
    if child.returncode == _FAILED:
        return Ended(failure=child.stdout.strip())
    lines = child.stderr.strip().splitlines()
    return Ended(failure=lines[-1] if lines else f"it ended with code {child.returncode}")


def _death(number: int) -> str:
    if number == signal.SIGILL:
        return "killed by an illegal instruction (SIGILL): the package is built for a newer CPU than this one"
    if number == signal.SIGKILL:
        return "killed (SIGKILL), as where memory runs out"
    names = {known.value: known.name for known in signal.Signals}
    return f"it crashed ({names.get(number, f'signal {number}')})"


def answer() -> None:
    """What the child does: the task of its command line."""
    task, *arguments = sys.argv[1:]
    answers = os.dup(1)
    os.dup2(2, 1)  # What a library prints is no answer.
    try:
        told = import_here(*arguments) if task == "import" else run_here(*arguments)
    except EdgeCnnError as error:
        os.write(answers, str(_reason(error)).encode())
        sys.exit(_REFUSED)
    except Exception as error:  # A runtime may raise anything, and that is the finding.
        os.write(answers, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}".encode())
        sys.exit(_FAILED)
    os.write(answers, told.encode())


def import_here(module: str) -> str:
    """Import a module; the answer is its name."""
    return importlib.import_module(module).__name__


def run_here(path: str, signature: str) -> str:
    """Open a file and run it; the answer says what did."""
    model = read_model(Path(path))
    runtime = opener_for(model.format).open_file(model, 1, signature or None)
    try:
        singles = random_inputs(runtime.input_spec, path)
    except ArtifactError as error:
        return f"{runtime.name} {runtime.version} opens it; it was not run: {error}"
    runtime.run(singles[0])
    return f"{runtime.name} {runtime.version} opens it and ran it once on random input"


def _reason(error: BaseException) -> BaseException:
    """The runtime's own exception, if it says that it is too old: the message that quotes it is cut before that."""
    inner = error
    while inner.__cause__ is not None:
        inner = inner.__cause__
    return inner if too_old(str(inner)) else error
