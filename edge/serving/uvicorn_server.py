"""Runs the server until a signal ends it; SIGHUP loads the files again."""

import asyncio
import errno
import ipaddress
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from edgecnn.edge.errors import ConfigError, EdgeCnnError, field
from edgecnn.edge.serving.logs import log

MOST_CONNECTIONS = 512
"""Connections beyond this are closed at once. A browser opens up to six."""
_IDLE_SECONDS = 10.0
_LEAST_TAKEN = 2**16
"""Bytes of an answer that a client takes in `_IDLE_SECONDS` at least, or all of it."""
_SEND_BUFFER = 2**17
"""Bytes of the kernel's buffer of each connection. By itself it grows to megabytes, which hide that a client does not read."""
_GRACE_SECONDS = 5.0
"""Time for the requests under way once the server has been told to end."""
_FILES = 4096


@dataclass(frozen=True)
class Address:
    """Where the server listens: an address of this machine, or a name, and a port; 0 for any free one."""

    host: str
    port: int

    def listening(self) -> socket.socket:
        """Return a socket that listens on this address: of two servers that start at once, the second one gets the error.

        Clients wait until the server answers.

        Raises:
            ConfigError: If the address is not this machine's, or the port is taken.
        """
        try:
            # As bytes, a plain name needs no IDNA codec, which takes time to import.
            host = self.host.encode() if self.host.isascii() else self.host
            found = socket.getaddrinfo(host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            family, kind, protocol, _, place = found[0]
        except (OSError, ValueError) as error:  # The latter if a name can't be encoded.
            why = getattr(error, "strerror", None) or str(error)
            raise ConfigError(f"{field('host')}={self.host} is no address of this machine ({why}): name one") from error
        if _is_for_many(family, place):
            raise ConfigError(f"{field('host')}={self.host} is for multicast or broadcast: name an address of this machine")
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)  # Connections inherit it.
        try:
            listening.bind(place)
            listening.listen(MOST_CONNECTIONS)  # Two sockets may be bound to one port; only one may listen.
        except (OSError, OverflowError) as error:
            listening.close()
            why = getattr(error, "strerror", None) or str(error)
            raise ConfigError(
                f"{self.host}:{self.port} can't be listened on ({why}): choose another {field('port')} or {field('host')}"
            ) from error
        return listening


def _is_for_many(family: int, place: tuple[Any, ...]) -> bool:
    """Whether an address is for multicast or broadcast: the kernel lets a server listen there, and nobody can connect."""
    if ipaddress.ip_address(place[0].partition("%")[0]).is_multicast:
        return True
    with socket.socket(family, socket.SOCK_DGRAM) as probe:  # Its connection sends nothing.
        return probe.connect_ex((place[0], 9, *place[2:])) == errno.EACCES


class _Bounded(H11Protocol):
    """A connection that is closed if there are too many, if no whole head of a request arrives, or no answer is read in time.

    uvicorn bounds none of them: a thousand connections that say nothing would stay for ever.
    """

    _has_sent_all = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # As in uvicorn.
        """Take a connection, or close it."""
        super().connection_made(transport)
        self._late = self.loop.call_later(_IDLE_SECONDS, self._close_silent, 0)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        self._late.cancel()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]  # As in asyncio.
        """Answer a client that has sent its whole request and closed its side; return whether it waits for an answer."""
        self._has_sent_all = bool(self.cycle and not self.cycle.more_body and not self.cycle.response_started)
        return self._has_sent_all

    def on_response_complete(self) -> None:
        """Wait for the next request, if there can be one."""
        super().on_response_complete()
        self._wait()
        if self._has_sent_all and self._is_idle():
            self.transport.close()

    def pause_writing(self) -> None:
        """Wait for a client that is slower than the answer."""
        super().pause_writing()
        self._wait()

    def resume_writing(self) -> None:
        """Go on with an answer."""
        super().resume_writing()
        if not self._is_idle():
            self._late.cancel()

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _wait(self) -> None:
        self._late.cancel()
        self._late = self.loop.call_later(_IDLE_SECONDS, self._close_silent, self.transport.get_write_buffer_size())

    def _close_silent(self, left: int) -> None:
        """Close the connection if it is idle or its client hardly reads; `left` bytes were to be sent a while ago."""
        if not self._is_idle() and not self.flow.write_paused:
            return
        if 0 < self.transport.get_write_buffer_size() <= left - _LEAST_TAKEN:
            self._wait()
        else:
            self.transport.abort()


class _Server(uvicorn.Server):
    """uvicorn that says when it answers, without its own signal handlers, which would end this process by the signal."""

    def __init__(self, config: uvicorn.Config, running: "Running") -> None:
        super().__init__(config)
        self._running = running

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to answer."""
        await super().startup(sockets)
        if self.started:
            self._running.started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what is under way, for a while."""
        late = asyncio.get_running_loop().call_later(_GRACE_SECONDS, self.abort)
        await super().shutdown(sockets)
        late.cancel()

    def abort(self) -> None:
        """Close all connections. Their requests then end by themselves; uvicorn would log a traceback for each."""
        self._running.late()
        for connection in self.server_state.connections:
            connection.transport.abort()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `run`."""
        yield


@dataclass(frozen=True)
class Running:
    """What `run` runs, and what it calls.

    Attributes:
        app: The application.
        started: Called when the server answers.
        reload: Called in a thread at SIGHUP; an error of it leaves everything as it was.
        ending: Called when the server has been told to end.
        late: Called when the time for the requests under way is up.
    """

    app: ASGIApp
    started: Callable[[], None]
    reload: Callable[[], None]
    ending: Callable[[], None]
    late: Callable[[], None]


def run(running: Running, listening: socket.socket) -> None:
    """Answer until SIGTERM or SIGINT; requests under way are answered first. The second such signal ends it at once."""
    asyncio.run(_run(running, listening))


async def _run(running: Running, listening: socket.socket) -> None:
    _allow_connections()
    config = uvicorn.Config(
        running.app,
        http=_Bounded,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=int(_IDLE_SECONDS),
        timeout_graceful_shutdown=int(2 * _GRACE_SECONDS),
        backlog=MOST_CONNECTIONS,
    )
    server, loop = _Server(config, running), asyncio.get_running_loop()

    def end() -> None:
        if server.should_exit:
            server.force_exit = True
            server.abort()
        server.should_exit = True
        running.ending()

    loop.add_signal_handler(signal.SIGTERM, end)
    loop.add_signal_handler(signal.SIGINT, end)
    reloading: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = loop.create_task(_reload(running))
        reloading.add(task)
        task.add_done_callback(reloading.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    await server.serve([listening])


async def _reload(running: Running) -> None:
    try:
        await asyncio.to_thread(running.reload)
    except EdgeCnnError as error:
        log(f"not loaded again, the earlier files go on answering: {error}")


def _allow_connections() -> None:
    """Let this process have as many files open as connections may need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
