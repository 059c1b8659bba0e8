"""A native library's chatter stays off the terminal, and is not lost when it matters."""

import os
import sys
from pathlib import Path

import pytest

from edge.quiet import quiet


def chatter(error: BaseException) -> None:
    with quiet():
        os.write(2, b"from C++: bad \xff op\n")
        print("from Python", file=sys.__stderr__)
        raise error


def test_what_was_held_back_comes_with_the_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="refused") as caught:
        chatter(ValueError("refused"))
    (note,) = caught.value.__notes__
    assert "from C++: bad \ufffd op\n" in note
    assert "from Python" in note
    assert capfd.readouterr().err == ""


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
