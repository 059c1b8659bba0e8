"""Child processes that end with their parent, even if the parent is killed and can't end them."""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>.
_BOUND = (
    "import ctypes, os, sys\n"
    f"ctypes.CDLL(None).prctl({_SET_DEATH_SIGNAL}, {int(signal.SIGKILL)})\n"
    "os.getppid() == int(sys.argv[1]) or os._exit(1)\n"
    "os.execv(sys.argv[2], sys.argv[2:])"
)


def end_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent ends. Call this first in a child.

    For the kernel, the parent is the thread that started the child: it must live as long as the child is needed.

    Args:
        parent: Process id of the parent; if it has already ended, this process ends at once.
    """
    ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def bound_command(command: Sequence[str]) -> list[str]:
    """Return a command that runs another program, given by its path, and ends it with the current thread of this process."""
    return [sys.executable, "-I", "-S", "-c", _BOUND, str(os.getpid()), *command]
