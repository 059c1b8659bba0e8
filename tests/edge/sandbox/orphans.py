"""A process that is killed, and what becomes of its child."""

import os
import select
import subprocess
import sys


def child_ends_with(code: str) -> bool:
    """Run code that prints the process id of a child and waits; kill it, and return whether the child ends within a minute."""
    with subprocess.Popen([sys.executable, "-P", "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
    ended = select.poll()
    ended.register(child, select.POLLIN)
    found = bool(ended.poll(60_000))
    os.close(child)
    return found
