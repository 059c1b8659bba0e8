"""A native library's messages stay off the terminal, and are not lost when they matter."""

import errno
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from edgecnn.edge.native_output import quiet


def chatter(error: BaseException, descriptor: int = 2) -> None:
    with quiet(output=descriptor == 1):
        os.write(descriptor, b"from C++: bad \xff op\n")
        print("from Python", file=sys.__stdout__ if descriptor == 1 else sys.__stderr__, flush=True)
        raise error


@pytest.mark.parametrize("descriptor", [1, 2])
def test_what_was_held_back_comes_with_the_error(descriptor: int, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="refused") as caught:
        chatter(ValueError("refused"), descriptor)
    (note,) = caught.value.__notes__
    assert "from C++: bad \ufffd op\n" in note
    assert "from Python" in note
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("error", [ValueError("refused"), KeyboardInterrupt()])
def test_the_terminal_is_back_after_an_error_and_no_descriptor_is_left(
    error: BaseException, capfd: pytest.CaptureFixture[str]
) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(type(error)):
        chatter(error)
    os.write(2, b"seen\n")
    assert capfd.readouterr().err == "seen\n"
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_chatter_is_held_back_and_stdout_is_not(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet():
        os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate\n")
        os.write(1, b"result\n")
    os.write(2, b"seen\n")
    assert capfd.readouterr() == ("result\n", "seen\n")


def test_a_library_that_writes_where_results_go_is_held_back_too() -> None:
    """What C prints to a pipe, it keeps until the process ends, unless Python does not buffer."""
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    code = (
        "import ctypes\nfrom edgecnn.edge.native_output import quiet\nprint('before')\nwith quiet(output=True):\n"
        "    print('from Python')\n    ctypes.CDLL(None).puts(b'from C')\nprint('after')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=buffered)
    assert (done.returncode, done.stdout, done.stderr) == (0, "before\nafter\n", "")


def test_without_a_standard_error_what_was_held_back_still_comes_with_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    with pytest.raises(ValueError, match="refused") as caught:
        chatter(ValueError("refused"))
    assert "from C++" in caught.value.__notes__[0]


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_closed_descriptor_2_is_never_one_of_a_file_that_is_opened_later(closed: str, tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom edgecnn.edge.native_output import quiet\nwith quiet():\n    os.write(2, b'chatter')\n"
        "with open(sys.argv[1], 'wb', buffering=0) as result:\n    os.write(2, b'chatter')\n    result.write(b'result')\n"
    )
    result = tmp_path / "result"
    done = subprocess.run(["/bin/sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", code, str(result)], check=False)
    assert done.returncode == 0
    assert result.read_bytes() == b"result"


def test_blocks_of_two_threads_leave_the_terminal_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    first_has_ended = threading.Event()

    def second() -> None:
        with quiet():
            first_has_ended.wait(60)

    thread = threading.Thread(target=second)
    with quiet():
        thread.start()
        thread.join(0.1)  # Its block would begin here.
    first_has_ended.set()
    thread.join()
    os.write(2, b"seen\n")
    assert capfd.readouterr().err == "seen\n"


def test_without_a_temporary_folder_the_work_goes_on(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def nowhere() -> None:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "TemporaryFile", nowhere)
    with pytest.raises(ValueError, match="refused"):
        chatter(ValueError("refused"))
    assert capfd.readouterr().err == ""
