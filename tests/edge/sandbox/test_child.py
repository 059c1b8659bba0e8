"""Whatever happens in a child with unverified bytes reaches the parent as one error, and children end with their parent."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.sandbox.child import Child, Lost, bound_command
from edgecnn.edge.sandbox.unverified import SECONDS, memory_limit, run_in_child
from tests.edge.sandbox.orphans import child_ends_with


def raising(error: str) -> Callable[[], Any]:
    return partial(exec, f"from edgecnn.edge.errors import ConfigError\nraise {error}")


@pytest.mark.parametrize(
    ("call", "seconds", "said"),
    [
        (os.abort, SECONDS, "SIGABRT"),
        (partial(exec, "import os\nos.kill(os.getpid(), 11)"), SECONDS, "SIGSEGV"),
        # RLIMIT_DATA, in QEMU's linux-user/syscall.c.
        pytest.param(
            partial(bytearray, 3 * 2**30), SECONDS, "memory", marks=pytest.mark.workstation("QEMU passes no memory limit on")
        ),
        (raising("ConfigError('runtime') from RuntimeError('x' * 300 + 'std::bad_alloc')"), SECONDS, "memory"),
        # Endless native code: Python never gets to run a signal handler.
        (partial(exec, "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))\nwhile True: pass"), 3.0, "3 s"),
        (partial(exec, "import os\nos.kill(os.getpid(), 19)"), 3.0, "3 s"),
        (partial(exec, "import os, time\nos.closerange(3, 100)\ntime.sleep(600)"), SECONDS, "closed"),
    ],
    ids=["aborts", "segmentation fault", "memory", "a runtime's memory", "never ends", "stops", "closes its pipe"],
)
def test_what_a_child_does_not_survive_is_one_error_with_the_files_name(
    call: Callable[[], Any], seconds: float, said: str
) -> None:
    with pytest.raises(ArtifactError, match=rf"^a\.onnx.*{said}"):
        run_in_child(call, "a.onnx", 100, seconds)


def test_a_child_that_is_killed_leaves_no_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    killed = "import os\nfrom edgecnn.edge.files import temporary_folder\nwith temporary_folder(): os.kill(os.getpid(), 9)"
    with pytest.raises(ArtifactError, match="SIGKILL"):
        run_in_child(partial(exec, killed), "a.onnx", 100)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        ("ZeroDivisionError('ours')", RuntimeError, r"Traceback(.|\n)*ZeroDivisionError"),
        ("ConfigError('name one with signature')", ConfigError, r"^name one with signature$"),
    ],
)
def test_an_error_of_ours_comes_back_as_it_is_and_another_with_its_traceback(
    error: str, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        run_in_child(raising(error), "a.onnx", 100)


def test_what_a_library_prints_is_no_answer_and_standard_input_is_empty(capfd: pytest.CaptureFixture[str]) -> None:
    noise = "import os, sys\nos.write(1, b'noise')\nprint('noise')\nassert sys.stdin.read() == ''"
    assert run_in_child(partial(exec, noise), "a.onnx", 100) is None
    assert run_in_child(partial(max, 3, 4), "a.onnx", 100) == 4
    assert capfd.readouterr() == ("", "")


def test_a_folder_of_the_users_with_our_name_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "edge").mkdir()
    (tmp_path / "edge/__init__.py").write_text("raise SystemExit('not ours')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    assert run_in_child(partial(max, 3, 4), "a.onnx", 100) == 4


def test_a_frozen_application_is_not_started_again_and_the_limit_grows_with_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(ArtifactError, match=r"a\.onnx .*trusted=True"):
        run_in_child(partial(max, 3, 4), "a.onnx", 100)
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert memory_limit(0) == min(machine, 2**31)
    assert memory_limit(10**6) - memory_limit(0) in (16 * 10**6, 0)
    assert memory_limit(2**60) == machine


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_child_that_hears_no_signal_ends_with_its_parent(number: signal.Signals, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "started")
    deaf = (
        f"import os, signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))\n"
        f"open({str(tmp_path / 'started')!r}, 'w').write(str(os.getpid()))\nwhile True: pass"
    )
    code = (
        "import signal, sys\nfrom functools import partial\nfrom edgecnn.edge.sandbox.unverified import run_in_child\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
        f"run_in_child(partial(exec, {deaf!r}), 'a.onnx', 100, 200.0)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) as parent:
        child = int((tmp_path / "started").read_text())
        parent.send_signal(number)
        parent.communicate()
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    assert parent.returncode == (-signal.SIGINT if number == signal.SIGINT else 143)


def test_a_child_whose_parent_was_killed_ends_too(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "started")
    # The child keeps the FIFO open as long as it lives.
    deaf = f"import os\nos.write(os.open({str(tmp_path / 'started')!r}, os.O_WRONLY), b'.')\nwhile True: pass"
    code = (
        "from functools import partial\nfrom edgecnn.edge.sandbox.unverified import run_in_child\n"
        f"run_in_child(partial(exec, {deaf!r}), 'a.onnx', 100, 200.0)"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as parent, (tmp_path / "started").open("rb", buffering=0) as fifo:
        assert fifo.read(1) == b"."
        parent.kill()
        assert fifo.read() == b""  # Closed: the kernel ended it.


def test_a_child_makes_one_call_after_another_and_keeps_what_they_changed() -> None:
    with Child() as child:
        child.call(partial(exec, "import os; os.environ['KEPT'] = 'yes'"))
        with pytest.raises(ConfigError, match="signature"):
            child.call(raising("ConfigError('name one with signature')"))
        assert child.call(partial(os.getenv, "KEPT")) == "yes"
        assert child.call(partial(bytes, 3_000_000)) == bytes(3_000_000)  # More than a pipe holds.


@pytest.mark.parametrize(
    ("code", "how"), [("raise SystemExit(3)", "ended with code 3"), ("import os; os.abort()", "crashed (SIGABRT)")]
)
def test_a_child_that_is_lost_says_how_and_what_it_printed(code: str, how: str) -> None:
    with Child() as child, pytest.raises(Lost) as caught:
        child.call(partial(exec, f"import os; os.write(2, b'last words'); {code}"))
    assert caught.value.how == how
    assert caught.value.output.startswith("last words")  # An emulator adds its own.


def test_a_child_that_can_not_be_started_leaves_no_descriptor_open(monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(Path("/proc/self/fd").iterdir())
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(OSError, match="nowhere"):
        Child()
    assert set(Path("/proc/self/fd").iterdir()) == before


def test_what_a_child_started_ends_with_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "started")
    reader = os.open(tmp_path / "started", os.O_RDONLY | os.O_NONBLOCK)
    with Child() as child, os.fdopen(reader, "rb", buffering=0) as fifo:
        held = f"stdout=open({str(tmp_path / 'started')!r}, 'wb')"
        sleep = f"import subprocess; subprocess.Popen('echo; sleep 600', shell=True, {held})"
        child.call(partial(exec, sleep))
        os.set_blocking(reader, True)
        assert fifo.read(1) == b"\n"
        child.end()
        assert fifo.read() == b""  # Closed: nothing holds it any more.


def test_a_child_that_was_given_up_gives_no_late_answer() -> None:
    with Child() as child:
        with pytest.raises(TimeoutError):
            child.call(partial(time.sleep, 2), 0.2)
        with pytest.raises(Lost, match="SIGKILL"):
            child.call(partial(max, 3, 4))


def test_what_a_child_started_holds_nobody_up_and_ends_even_if_the_child_has_crashed() -> None:
    with Child() as child, pytest.raises(Lost, match="SIGABRT") as caught:
        child.call(partial(exec, "import os\nos.system('sleep 600 & echo $!')\nos.abort()"), 60.0)
    (sleeper,) = re.findall(r"^\d+$", caught.value.output, re.MULTILINE)  # The shell may complain of its folder.
    for _ in range(100):
        if not Path(f"/proc/{sleeper}/cmdline").exists() or not Path(f"/proc/{sleeper}/cmdline").read_bytes():
            return
        time.sleep(0.1)
    pytest.fail("it lives on")


@pytest.mark.parametrize("closed", [(0,), (1,), (0, 1), (0, 1, 2)], ids=str)
def test_a_daemon_that_has_closed_its_standard_descriptors_has_children_too(closed: tuple[int, ...], tmp_path: Path) -> None:
    code = (
        "import os\nfrom functools import partial\nfrom pathlib import Path\n"
        "from edgecnn.edge.sandbox.unverified import run_in_child\n"
        f"[os.close(number) for number in {closed}]\n"
        f"Path({str(tmp_path / 'said')!r}).write_text(str(run_in_child(partial(max, 3, 4), 'a.onnx', 100)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "said").read_text() == "4"


def test_a_bound_program_ends_when_its_parent_is_killed() -> None:
    code = """
import subprocess
from edgecnn.edge.sandbox.child import bound_command
child = subprocess.Popen(bound_command(['/bin/sleep', '3600']))
while open(f'/proc/{child.pid}/comm').read() != 'sleep\\n':  # Until then it looks for its parent itself.
    pass
print(child.pid, flush=True)
child.wait()
"""
    assert child_ends_with(code)


def test_a_child_whose_parent_has_ended_before_ends_at_once() -> None:
    code = "from edgecnn.edge.sandbox.child import end_with_parent\nend_with_parent(1)\nprint('goes on')"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")


def test_a_bound_program_has_its_arguments_input_output_and_exit_code() -> None:
    command = bound_command(["/bin/sh", "-c", "/bin/cat; echo $0 >&2; exit 7", "an argument"])
    done = subprocess.run(command, input=b"input", capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, b"input", b"an argument\n")
