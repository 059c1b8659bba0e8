import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

from edgecnn.convert.training.fit.interrupt import HeldInterrupt


def test_ctrl_c_is_held_back_until_the_check() -> None:
    reached = []
    with pytest.raises(KeyboardInterrupt), HeldInterrupt() as held:  # noqa: PT012  # What runs before the check is the point.
        held.check()
        signal.raise_signal(signal.SIGINT)
        reached.append("after the signal")
        held.check()
        reached.append("after the check")
    assert reached == ["after the signal"]


def test_ctrl_c_without_a_check_comes_when_the_block_ends() -> None:
    with pytest.raises(KeyboardInterrupt), HeldInterrupt():
        signal.raise_signal(signal.SIGINT)


def test_a_second_ctrl_c_is_not_held_back() -> None:
    reached = []
    with pytest.raises(KeyboardInterrupt), HeldInterrupt():  # noqa: PT012  # What runs between the two is the point.
        signal.raise_signal(signal.SIGINT)
        reached.append("first")
        signal.raise_signal(signal.SIGINT)
        reached.append("second")
    assert reached == ["first"]


def test_an_error_in_the_block_is_not_replaced_and_the_handler_comes_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ValueError, match="loss"), HeldInterrupt():  # noqa: PT012  # The signal comes before the error.
        signal.raise_signal(signal.SIGINT)
        raise ValueError("loss")
    assert signal.getsignal(signal.SIGINT) is before


def test_who_waits_for_signals_that_nobody_handles_hears_of_none_that_is_held() -> None:
    # edgecnn.__main__ ends the process some seconds later; a step of training may take longer.
    reader, writer = os.pipe()
    for descriptor in (reader, writer):
        os.set_blocking(descriptor, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        with pytest.raises(KeyboardInterrupt), HeldInterrupt() as held:  # noqa: PT012  # The signal comes before the check.
            signal.raise_signal(signal.SIGINT)
            with pytest.raises(BlockingIOError):
                os.read(reader, 1)
            held.check()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert os.read(reader, 9) == bytes([signal.SIGINT])
    finally:
        signal.set_wakeup_fd(before)
        os.close(reader)
        os.close(writer)


def test_another_thread_leaves_signals_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work() -> None:
        with HeldInterrupt() as held:
            seen.append(signal.getsignal(signal.SIGINT))
            held.check()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


@pytest.fixture
def terminating() -> Iterator[None]:
    """SIGTERM raises SystemExit, as it does in a command."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    previous = signal.signal(signal.SIGTERM, end)
    yield
    signal.signal(signal.SIGTERM, previous)


@pytest.mark.usefixtures("terminating")
def test_sigterm_is_held_back_too_and_does_what_it_does_elsewhere() -> None:
    reached = []
    with pytest.raises(SystemExit, match="143"), HeldInterrupt() as held:  # noqa: PT012  # What runs before is the point.
        signal.raise_signal(signal.SIGTERM)
        reached.append("after the signal")
        held.check()
        reached.append("after the check")
    assert reached == ["after the signal"]


def test_a_signal_that_is_not_handled_in_python_stays_as_it_is() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with HeldInterrupt() as held:
            signal.raise_signal(signal.SIGHUP)
            held.check()
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
