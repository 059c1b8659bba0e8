"""Talks to several devices at once, each over its own connection."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from edgecnn.benchmarks.remote.ssh import Connection
from edgecnn.edge.errors import EdgeCnnError
from edgecnn.edge.text import printable

Tell = Callable[[str], None]
"""Receives a line of progress."""
T = TypeVar("T")


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What came of a conversation with one device.

    Attributes:
        host: Host as named.
        value: The answer; None without one.
        error: Why there is no answer, in a sentence; None if there is one.
    """

    host: str
    value: T | None
    error: str | None


def side_by_side(
    hosts: Sequence[str], talk: Callable[[Connection, Tell], T], say: Tell, most: int | None = None
) -> tuple[Answer[T], ...]:
    """Talk to devices at once, at most to `most` of them; an exception here, such as Ctrl-C, ends the runs on all of them.

    `say` gets lines of progress, each with its device.
    """
    lines, calls = threading.Lock(), _Calls()

    def on_device(host: str) -> Answer[T]:
        def tell(text: str) -> None:
            with lines:
                say(f"{host}: {printable(text)}")

        try:
            with calls.connected(host) as connection:
                return Answer(host, talk(connection, tell), None)
        except EdgeCnnError as error:
            reason = printable(str(error))
            if not calls.ended:
                tell(reason)
            return Answer(host, None, reason)

    with ThreadPoolExecutor(most or len(hosts)) as pool:
        try:
            return tuple(pool.map(on_device, hosts))
        finally:
            calls.end()


def converse(
    connection: Connection,
    request: dict[str, Any],
    files: Mapping[str, Path],
    tell: Tell,
    others: Mapping[str, Callable[[list[Any]], None]] | None = None,
) -> tuple[int, str, str]:
    """Let a device answer a request; return the exit code there, the output, and the last line of errors.

    Args:
        connection: The device.
        request: What `edgecnn.benchmarks.remote.agent` is asked.
        files: Files that it may want, by the words with which it asks for them.
        tell: Receives lines of progress.
        others: What to do on other events, by their first words; each gets the rest of the event.

    Raises:
        EdgeCnnError: If it has no answer; the message is the reason.
    """
    connection.ask(request)
    connection.wait_until_ready()
    while True:
        match connection.event():
            case ["alive"]:
                pass
            case ["say", str(text)]:
                tell(text)
            case ["send", str(kind)] if kind in files:
                tell(f"sending {files[kind].name}, {files[kind].stat().st_size / 2**20:.1f} MiB")
                connection.send(files[kind])
            case ["error", str(text)]:
                raise EdgeCnnError(text)
            case ["done", int(code), str(printed), str(last)]:
                return code, printed, last
            case [str(kind), *rest] if others and kind in others:
                others[kind](rest)
            case _:
                raise not_understood()


def not_understood() -> EdgeCnnError:
    """Return the error for an answer that nobody asked for."""
    return EdgeCnnError("its answer can't be understood: try again")


class _Calls:
    """The open connections, which another thread can end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: list[Connection] = []
        self.ended = False

    @contextmanager
    def connected(self, host: str) -> Iterator[Connection]:
        """Open a connection for the block, unless all were ended before."""
        with self._lock:
            if self.ended:
                raise EdgeCnnError("interrupted")
            connection = Connection(host)
            self._open.append(connection)
        try:
            with connection:
                yield connection
        finally:
            with self._lock:
                self._open.remove(connection)

    def end(self) -> None:
        """End all connections, and prevent further ones."""
        with self._lock:
            self.ended = True
            for connection in self._open:
                connection.end()
