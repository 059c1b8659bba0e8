import signal
import threading

import pytest

from convert.interrupt import HeldInterrupt


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
