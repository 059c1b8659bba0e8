"""Keeping a native library's chatter off the terminal without losing it when it matters."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back what is written to file descriptor 2; if the block raises, attach it to the exception as a note.

    TensorFlow and the TFLite interpreter print pages of notices from C++, where Python's `sys.stderr` does not reach.
    A traceback shows the note. Not thread-safe: the descriptor belongs to the process.
    """
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except Exception as error:
            sys.stderr.flush()
            held.seek(0)
            error.add_note(held.read().decode(errors="replace"))
            raise
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
