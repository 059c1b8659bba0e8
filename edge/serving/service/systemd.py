"""What systemd gives a service and wants to hear from it, by environment variables and a datagram socket: no library is needed.

A server passes its sockets on to the process that takes its place in nearly the same way: see `handover`.
"""

import asyncio
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from edgecnn.edge.errors import ConfigError

# Where systemd's sockets begin: SD_LISTEN_FDS_START in <systemd/sd-daemon.h>.
_FIRST = 3
PASSED = "EDGECNN_SOCKETS"
"""Environment variable with the numbers of the sockets that a server passes on. It can't give them those of `LISTEN_FDS`, which
its own threads still use."""
# How long a message waits for room in systemd's queue, which it empties at once.
_SEND_SECONDS = 1.0
# Beats in the time that systemd allows. It recommends two; with four, one may be missing: see `Engine.has_moved`.
_BEATS = 4
# Time until the first beat of a process that takes another's place: it imports from a slow card and may try new files.
_START_MICROSECONDS = 300_000_000


class Inherited(NamedTuple):
    """Sockets that this process was started with.

    Attributes:
        listening: Those that listen, for IPv4 or IPv6.
        connections: Connections of clients, between two requests.
    """

    listening: tuple[socket.socket, ...] = ()
    connections: tuple[socket.socket, ...] = ()

    @property
    def hosts(self) -> tuple[str, ...]:
        """The addresses that are listened on."""
        return tuple(str(entrance.getsockname()[0]) for entrance in self.listening)


def inherited() -> Inherited:
    """Take the sockets that are for this process; a second call, or a child process, gets none.

    Raises:
        ConfigError: If one is not a socket for HTTP.
    """
    names = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", PASSED)
    process, count, _, passed = (os.environ.pop(name, "") for name in names)
    if process != str(os.getpid()):
        return Inherited()
    numbers = passed.split(",") if passed else range(_FIRST, _FIRST + int(count)) if _is_number(count) else ()
    found = [_socket(int(number)) for number in numbers]
    listening = [one for one in found if one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)]
    return Inherited(tuple(listening), tuple(one for one in found if one not in listening))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _socket(number: int) -> socket.socket:
    try:
        found = socket.socket(fileno=number)
    except OSError as error:
        raise ConfigError(
            f"LISTEN_FDS: descriptor {number} is no socket ({error.strerror}): correct the socket unit"
        ) from error
    if found.family not in (socket.AF_INET, socket.AF_INET6) or found.type != socket.SOCK_STREAM:
        raise ConfigError(f"LISTEN_FDS: socket {number} is not for TCP: use ListenStream= with a port in the socket unit")
    found.set_inheritable(False)
    return found


def notify(*states: str) -> None:
    """Tell systemd, if it started this process and wants to be told; nothing depends on whether it hears."""
    place = os.environ.get("NOTIFY_SOCKET", "")
    if not place.startswith(("/", "@")):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(_SEND_SECONDS)
        sender.sendto("\n".join(states).encode(), place.replace("@", "\0", 1) if place.startswith("@") else place)


def notify_reloading(*states: str) -> None:
    """Tell systemd that the service loads its files again, until it hears READY=1."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", *states)


def notify_leaving() -> None:
    """Tell systemd that the next process starts, which may take longer to its first beat than any beat after that."""
    notify_reloading(*([f"WATCHDOG_USEC={_START_MICROSECONDS}"] if _watched_microseconds() else []))


async def beat(is_well: Callable[[], bool]) -> None:
    """Tell systemd again and again that the service is alive, as long as the loop runs and `is_well`; else at once return.

    Whoever does not hear it for the time that the unit states starts the service again.
    """
    microseconds = _watched_microseconds()
    again = [f"WATCHDOG_USEC={microseconds}"]  # The process before this one may have asked for more: `notify_leaving`.
    while microseconds:
        if is_well():
            notify("WATCHDOG=1", *again)
            again.clear()
        await asyncio.sleep(microseconds / 1e6 / _BEATS)


def _watched_microseconds() -> int:
    """Return the time within which systemd wants to hear of this process; 0 if it does not."""
    microseconds, process = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID")
    return int(microseconds) if _is_number(microseconds) and process in (None, str(os.getpid())) else 0
