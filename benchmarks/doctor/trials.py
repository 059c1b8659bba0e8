"""The child processes in which the doctor imports runtimes and runs files.

A crash, usually by an illegal instruction, becomes a sentence here.
"""

import importlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edgecnn.benchmarks.timing.random_inputs import random_inputs
from edgecnn.edge.errors import ArtifactError, EdgeCnnError, why
from edgecnn.edge.model_file import read_model
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.runtimes.onnxruntime import NO_TELEMETRY
from edgecnn.edge.sandbox.child import Child, Lost
from edgecnn.edge.sandbox.unverified import lacks_memory, limit_memory
from edgecnn.edge.text import last_line

CHILD_SECONDS = 60.0
"""Time limit in seconds: a board imports a runtime from a slow card in a few; beyond the limit, it hangs."""

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
    return _run(partial(import_here, module))


def run_file(path: Path, signature: str | None) -> Ended:
    """Open a .tflite or .onnx file and run it once on random input, in a child process."""
    return _run(partial(run_here, path, signature))


def too_old(message: str) -> str | None:
    """Return a runtime's message about a file that is too new for it; None if the message says something else."""
    found = [match[0] for pattern in _TOO_OLD if (match := re.search(pattern, message))]
    return ", ".join(found) or None


def _run(task: Callable[[], str]) -> Ended:
    try:
        with Child() as child:
            return child.call(partial(_ended, task), CHILD_SECONDS)
    except TimeoutError:
        return Ended(failure=f"it did not end within {CHILD_SECONDS:.0f} s")
    except Lost as lost:
        raised = lost.code is not None and lost.code > 0
        return Ended(failure=(last_line(lost.output) if raised else "") or f"it {lost.how}")


def _ended(task: Callable[[], str]) -> Ended:
    """Run in the child: do the task."""
    os.environ.update(**NO_TELEMETRY, TF_CPP_MIN_LOG_LEVEL="2")
    try:
        return Ended(task())
    except EdgeCnnError as error:
        return Ended(error=str(_reason(error)))
    except Exception as error:  # A runtime may raise anything, and that is the finding.
        return Ended(failure="memory ran out" if lacks_memory(error) else why(error, 200, named=True))


def import_here(module: str) -> str:
    """Import a module; the answer is its name."""
    return importlib.import_module(module).__name__


def run_here(path: Path, signature: str | None) -> str:
    """Open a file and run it; the answer names the runtime."""
    model = read_model(path)
    if model.unverified is not None:
        limit_memory(len(model.data))
    runtime = opener_for(model.format).open_file(model, 1, signature, trusted=True)  # This is already the child.
    try:
        singles = random_inputs(runtime.input_spec, str(path))
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
