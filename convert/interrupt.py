"""Ctrl-C at a moment of our choosing."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Self


class HeldInterrupt:
    """A context manager that holds the first Ctrl-C back until `check` is called.

    Python raises KeyboardInterrupt between any two of its own instructions, those that TensorFlow's and HDF5's C code
    calls back included; what they leave half done can crash the process when it ends. A second Ctrl-C is not held back.
    Outside the main thread nothing is changed: signals never come there.
    """

    def __init__(self) -> None:
        self._asked = False

    def check(self) -> None:
        """Raise KeyboardInterrupt if one is held back."""
        if self._asked:
            self._asked = False
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            self._previous = signal.signal(signal.SIGINT, self._hold)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._main:
            signal.signal(signal.SIGINT, self._previous)
        if kind is None:
            self.check()

    def _hold(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        signal.signal(signal.SIGINT, self._previous)
