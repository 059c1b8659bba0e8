"""Children that end with their parent, however it ends."""

import os
import select
import subprocess
import sys

import pytest

from edgecnn.edge.sandbox.child import bound_command

STARTS = {
    "another program": "command = bound_command(['/bin/sleep', '3600'])",
    "Python": (
        "import os\nbound = 'from edgecnn.edge.sandbox.child import end_with_parent; '\n"
        "code = f'{bound}end_with_parent({os.getpid()}); print(1); '\n"
        "command = [sys.executable, '-u', '-P', '-c', code + 'import time; time.sleep(3600)']"
    ),
}


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_a_child_ends_when_its_parent_is_killed(start: str) -> None:
    code = f"""
import subprocess, sys
from edgecnn.edge.sandbox.child import bound_command
{start}
child = subprocess.Popen(command)
print(child.pid, flush=True)
child.wait()
"""
    with subprocess.Popen([sys.executable, "-P", "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        first = int(parent.stdout.readline())
        child = os.pidfd_open(first if first > 1 else int(parent.stdout.readline()))
        parent.kill()
    ended = select.poll()
    ended.register(child, select.POLLIN)
    assert ended.poll(60_000), "the child outlives its parent"
    os.close(child)


def test_a_child_whose_parent_has_ended_before_ends_at_once() -> None:
    code = "from edgecnn.edge.sandbox.child import end_with_parent\nend_with_parent(1)\nprint('goes on')"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")


def test_a_bound_program_has_its_arguments_input_output_and_exit_code() -> None:
    command = bound_command(["/bin/sh", "-c", "/bin/cat; echo $0 >&2; exit 7", "an argument"])
    done = subprocess.run(command, input=b"input", capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, b"input", b"an argument\n")
