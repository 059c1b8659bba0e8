"""What the agent and its requester say to each other, and how it ends."""

from __future__ import annotations

import errno
import json
import os
import selectors
import signal
import sys
import time
from typing import Any

SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
ALIVE_SECONDS = 60.0
"""After so much silence, the requester hears that what it waits for goes on."""
_last_told = time.monotonic()


class Failed(Exception):
    """A problem that the user can fix; the message is one line."""


class Interrupted(Exception):
    """The requester is gone, or this process got a signal to end."""


def tell(*event: Any) -> None:
    """Send an event.

    Raises:
        Interrupted: If the requester is gone.
    """
    global _last_told  # Of this process, which has one requester.
    _last_told = time.monotonic()
    data = memoryview((json.dumps(event) + "\n").encode())
    try:
        while data:
            data = data[os.write(1, data) :]
    except BrokenPipeError:
        raise Interrupted from None


def pause(seconds: float) -> None:
    """Wait, but not for a requester that is gone.

    Raises:
        Interrupted: If it is.
    """
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        if selector.select(seconds) and not os.read(0, 1):
            raise Interrupted
    if time.monotonic() - _last_told >= ALIVE_SECONDS:
        tell("alive")


def read_bytes(size: int) -> bytes:
    """Read what the requester sends.

    Raises:
        Interrupted: If it is gone before it has sent so many bytes.
    """
    data = bytearray()
    while len(data) < size:
        some = os.read(0, size - len(data))
        if not some:
            raise Interrupted
        data += some
    return bytes(data)


def read_line() -> bytes:
    """Read the request byte by byte: the bytes after it must stay in the pipe."""
    line = bytearray()
    while not line.endswith(b"\n"):
        line += read_bytes(1)
    return bytes(line)


def os_error(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk there is full{where}: free some space there, for example ~/.cache/edgecnn"
    return f"{error.strerror or error}{where} on the device: fix that there"


def last_words(text: str) -> None:
    try:
        tell("error", text)
    except Interrupted:
        sys.exit(1)


def interrupt(number: int, frame: Any) -> None:
    ignore_signals()
    raise Interrupted


def ignore_signals() -> None:
    """Ignore signals, so that nothing interrupts the cleaning up."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
