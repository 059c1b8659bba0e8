"""Delays signals to a safe moment."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

_HELD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class HeldInterrupt:
    """A context manager that holds back the first Ctrl-C, SIGTERM or SIGHUP until `check` is called.

    Their handlers raise between any two Python instructions, even in code that TensorFlow's and HDF5's C code calls back.
    Work left half done can crash the process when it ends. A second signal is not held back. Only a signal with a handler
    in Python is held. Outside the main thread nothing changes: signals never arrive there.

    Meanwhile no wake-up descriptor is notified: a watchdog that ends a process which handles no signal would mistake a held
    signal for an unhandled one.
    """

    def __init__(self) -> None:
        self._asked: int | None = None
        self._previous: dict[int, Any] = {}
        self._wakeup = -1

    def check(self) -> None:
        """Act on a signal that was held back, if any: raise KeyboardInterrupt or SystemExit."""
        if self._asked is not None:
            number, self._asked = self._asked, None
            self._previous[number](number, None)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: handler for number in _HELD if callable(handler := signal.getsignal(number))}
            self._wakeup = signal.set_wakeup_fd(-1)
        for number in self._previous:
            signal.signal(number, self._hold)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._let_go()
        if kind is None:
            self.check()

    def _hold(self, number: int, frame: FrameType | None) -> None:
        self._asked = number
        self._let_go()

    def _let_go(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        if self._wakeup != -1:
            signal.set_wakeup_fd(self._wakeup, warn_on_full_buffer=False)
