"""Keeps a native library's messages off the terminal, without losing them when they matter."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Capture what is written to file descriptor 2; if the block raises, attach it to the exception as a note.

    TensorFlow and the TFLite interpreter print pages of notices from C++, where Python's `sys.stderr` does not reach.
    A traceback shows the note. Not thread-safe: the descriptor belongs to the process. If it was closed, as a daemon's
    may be, it is the null device afterwards.
    """
    _open_descriptor()
    _flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except Exception as error:
            _flush()
            held.seek(0)
            error.add_note(held.read().decode(errors="replace"))
            raise
        finally:
            _flush()
            os.dup2(terminal, 2)
            os.close(terminal)


def _open_descriptor() -> None:
    """Open descriptor 2 if it is closed: otherwise the next file opened gets it, and the messages after this block."""
    try:
        os.fstat(2)
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        if null != 2:
            os.close(null)


def _flush() -> None:
    # A daemon may have no descriptor 2, or have closed it.
    if sys.stderr is not None and not sys.stderr.closed:
        sys.stderr.flush()
