"""The child processes in which the doctor imports runtimes and runs files.

A crash, usually by an illegal instruction, becomes a sentence here.
"""

import importlib
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from edgecnn.benchmarks.timing.random_inputs import random_inputs
from edgecnn.edge.errors import ArtifactError, EdgeCnnError, why
from edgecnn.edge.folder.model_file import read_model
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.runtimes.onnxruntime import NO_TELEMETRY
from edgecnn.edge.sandbox.child import child_environment, lacks_memory, limit_memory, python_command, signal_name
from edgecnn.edge.text import last_line

CHILD_SECONDS = 60.0
"""Time limit in seconds: a board imports a runtime from a slow card in a few; beyond the limit, it hangs."""

# Exit codes of a child whose answer is an error message; an interpreter that can't even start gives 1 or 2.
_REFUSED, _FAILED = 64, 65

# How the runtimes report that a file needs a later release.
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
        answer: Its answer, if all went well.
        error: The message of an `EdgeCnnError`, which ends with the fix.
        failure: Another end: a signal, the time limit or an exception.
    """

    answer: str = ""
    error: str | None = None
    failure: str | None = None


def import_module(module: str) -> Ended:
    """Import a module in a child process."""
    return _run("import", module)


def run_file(path: Path, signature: str | None) -> Ended:
    """Open a .tflite or .onnx file and run it once on random input, in a child process."""
    return _run("run", str(path), signature or "")


def too_old(message: str) -> str | None:
    """Return a runtime's message about a file that is too new for it; None if the message says something else."""
    found = [match[0] for pattern in _TOO_OLD if (match := re.search(pattern, message))]
    return ", ".join(found) or None


def _run(task: str, *arguments: str) -> Ended:
    environment = {**child_environment(), **NO_TELEMETRY, "TF_CPP_MIN_LOG_LEVEL": "2"}
    try:
        child = subprocess.run(
            [*python_command(f"from {__name__} import answer; answer()"), task, *arguments],
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
    return Ended(failure=last_line(child.stderr) or f"it ended with code {child.returncode}")


def _death(number: int) -> str:
    if number == signal.SIGILL:
        return "killed by an illegal instruction (SIGILL): the package may be built for a newer CPU"
    if number == signal.SIGKILL:
        return "killed (SIGKILL): memory may have run out"
    return f"it crashed ({signal_name(number)})"


def answer() -> None:
    """Run in the child: do the task of its command line."""
    task, *arguments = sys.argv[1:]
    answers = os.dup(1)
    os.dup2(2, 1)  # A library's output must not mix with the answer.
    try:
        told = import_here(*arguments) if task == "import" else run_here(*arguments)
    except EdgeCnnError as error:
        os.write(answers, str(_reason(error)).encode())
        sys.exit(_REFUSED)
    except Exception as error:  # A runtime may raise anything, and that is the finding.
        said = why(error, 200, named=True)
        os.write(answers, ("memory ran out" if lacks_memory(error) else said).encode())
        sys.exit(_FAILED)
    os.write(answers, told.encode())


def import_here(module: str) -> str:
    """Import a module; the answer is its name."""
    return importlib.import_module(module).__name__


def run_here(path: str, signature: str) -> str:
    """Open a file and run it; the answer names the runtime."""
    model = read_model(Path(path))
    if model.unverified is not None:
        limit_memory(len(model.data))
    runtime = opener_for(model.format).open_file(model, 1, signature or None, trusted=True)  # This is already the child.
    try:
        singles = random_inputs(runtime.input_spec, path)
    except ArtifactError as error:
        return f"{runtime.name} {runtime.version} opens it; it was not run: {error}"
    runtime.run(singles[0])
    return f"{runtime.name} {runtime.version} opens it and ran it once on random input"


def _reason(error: BaseException) -> BaseException:
    """Return the runtime's own exception if it says that it is too old: messages that quote it are cut before that."""
    inner = error
    while inner.__cause__ is not None:
        inner = inner.__cause__
    return inner if too_old(str(inner)) else error
