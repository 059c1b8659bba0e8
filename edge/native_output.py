"""Keeps a native library's messages off the terminal, without losing them when they matter."""

import ctypes
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

# The descriptors belong to the process. Two threads that overlapped would leave what the first one had put there for ever.
_LOCK = threading.RLock()


@contextmanager
def quiet(*, output: bool = False) -> Iterator[None]:
    """Capture what is written to file descriptor 2; if the block raises, attach it to the exception as a note.

    TensorFlow and the TFLite interpreter print pages of notices from C++, where Python's `sys.stderr` does not reach.
    A traceback shows the note. Another thread waits before its own block; what it writes meanwhile is captured, too. If the
    descriptor was closed, as a daemon's may be, it is the null device afterwards. Where no temporary file can be made, as on
    a file system without a writable folder, what is written is lost. With `output` descriptor 1 is captured too, for a library
    that writes notices where results go.
    """
    descriptors = (1, 2) if output else (2,)
    with _LOCK, ExitStack() as stack:
        for descriptor in descriptors:
            open_descriptor(descriptor)
        _flush(output)
        terminals = {descriptor: os.dup(descriptor) for descriptor in descriptors}
        held = stack.enter_context(temporary_file())
        for descriptor in descriptors:
            os.dup2(held.fileno(), descriptor)
        try:
            yield
        except Exception as error:
            _flush(output)
            held.seek(0)
            error.add_note(held.read().decode(errors="replace"))
            raise
        finally:
            _flush(output)
            for descriptor, terminal in terminals.items():
                os.dup2(terminal, descriptor)
                os.close(terminal)


def temporary_file() -> IO[bytes]:
    """Return a file without a name for what a library prints, or the null device where none can be made."""
    try:
        return tempfile.TemporaryFile()
    except OSError:  # It is noise, unless the block raises: the work goes on.
        return Path(os.devnull).open("r+b", buffering=0)


def open_descriptor(descriptor: int) -> None:
    """Open a descriptor if it is closed: otherwise the next file opened gets it, and the messages after this block."""
    try:
        os.fstat(descriptor)
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, descriptor)
        if null != descriptor:
            os.close(null)


def _flush(output: bool) -> None:
    # A daemon may have no descriptor 1 or 2, or have closed it.
    for stream in (sys.stdout, sys.stderr) if output else (sys.stderr,):
        if stream is not None and not stream.closed:
            stream.flush()
    if output:
        ctypes.CDLL(None).fflush(None)  # C keeps what it prints to a pipe, unlike what it prints to descriptor 2.
