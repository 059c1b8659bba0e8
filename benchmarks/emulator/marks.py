"""Marks, on the emulated board, between which the emulator counts instructions."""

import ctypes
from collections.abc import Callable

WARM_UP, REPEATS = 5, 5
_ASKED_BY = 7391  # The same number is in icount.c.
_call = ctypes.CDLL(None).syscall


def stretch(work: Callable[[], object], label: int, warm_up: int = WARM_UP, repeats: int = REPEATS) -> None:
    """Repeat the call until it allocates nothing new, then `repeats` times between marks."""
    for _ in range(warm_up):
        work()
    for _ in range(repeats):
        _call(_ASKED_BY, label)
        work()
        _call(_ASKED_BY, label)
