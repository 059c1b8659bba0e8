"""One process of a server takes the place of another, with its sockets: clients wait meanwhile, and none is refused."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.serving.service.systemd import PASSED
from edgecnn.edge.text import last_line, shortened

_START_SECONDS = 60.0
"""How long a program may take to say its version. A board reads Python from a slow card in less."""


def next_program(state: Path) -> Path | None:
    """Return the edgecnn of the environment that edgecnn deploy put into service next to the state's folder, or None."""
    program = state.absolute().parent / "current/venv/bin/edgecnn"
    return program if os.access(program, os.X_OK) else None


def require_runs(program: Path) -> None:
    """Raise unless a program starts, before the one that runs ends for it.

    Raises:
        ArtifactError: If it does not.
    """
    try:
        done = subprocess.run(
            [program, "--version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=_START_SECONDS, check=False
        )
        why = "" if done.returncode == 0 else last_line(done.stderr.decode(errors="replace")) or f"code {done.returncode}"
    except OSError as error:
        why = error.strerror or str(error)
    except subprocess.TimeoutExpired:
        why = f"no answer within {_START_SECONDS:g} s"
    if why:
        raise ArtifactError(f"{program} does not start ({shortened(why)}): install edgecnn there again")


def replace_process(program: Path | None, descriptors: Sequence[int], environment: Mapping[str, str]) -> NoReturn:
    """Let this command line's next process take the place of this one.

    Args:
        program: The edgecnn that it runs. Default, and if that can't be started: the present one.
        descriptors: Sockets that the next process gets: one that listens, and connections.
        environment: Variables that it gets besides those of this process.

    Raises:
        OSError: If not even the present program can be started again.
    """
    for number in descriptors:
        os.set_inheritable(number, True)
    passed = {"LISTEN_PID": str(os.getpid()), PASSED: ",".join(map(str, descriptors))}
    environment = {**os.environ, **environment, **passed}
    if program is not None:
        with suppress(OSError):
            os.execve(program, [str(program), *sys.argv[1:]], environment)  # noqa: S606 - Its own command line.
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606 - As above.
