"""Puts the parts of a server together, and runs it until a signal ends it; SIGHUP loads the files again."""

import asyncio
import errno
import ipaddress
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from edgecnn.edge.errors import ConfigError, EdgeCnnError, field
from edgecnn.edge.packages import versions
from edgecnn.edge.runtimes.base import installed_version
from edgecnn.edge.serving.app import Site, application
from edgecnn.edge.serving.decoder import Decoder
from edgecnn.edge.serving.engine import Engine
from edgecnn.edge.serving.logs import log, logging_to_stderr
from edgecnn.edge.serving.metrics import Metrics
from edgecnn.edge.serving.models import ModelSource
from edgecnn.edge.serving.options import ServeOptions
from edgecnn.edge.serving.security import HEADERS, Access, own_names
from edgecnn.edge.serving.service.state import state_folder

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


def serve_source(
    source: ModelSource, options: ServeOptions, token: str | None, decoder: Decoder, on_address: Callable[[str], None]
) -> None:
    """Answer until SIGTERM or SIGINT; requests under way are answered first. The second such signal ends it at once.

    Args:
        source: The files.
        options: How to answer.
        token: As in `Access`.
        decoder: Decodes pictures.
        on_address: Receives the address when the server answers.

    Raises:
        ArtifactError: If a file is missing, damaged or stale, or its runtime refuses it.
        ConfigError: If the address can't be listened on, there is no such camera, another server uses the state's folder, or a
            file is not to be served.
        MissingDependency: If a runtime or the camera's package is not installed.
    """
    with ExitStack() as stack:
        # There is nothing to load again yet.
        stack.callback(signal.signal, signal.SIGHUP, signal.signal(signal.SIGHUP, signal.SIG_IGN))
        # What fails at once is said before files are loaded.
        if options.state is not None:
            stack.enter_context(state_folder(options.state))
        entrance = stack.enter_context(listening(options.host, options.port))
        metrics = Metrics()
        stack.enter_context(logging_to_stderr(options.log_json, metrics.dropped_lines.inc))
        camera = None
        if options.camera is not None:
            from edgecnn.edge.serving.camera import Camera, open_camera  # noqa: PLC0415 - Without one, a server answers sooner.

            camera = Camera(open_camera(options.camera), metrics)
            stack.callback(camera.close)
        engine = Engine(source.load(), decoder, options.queue, metrics)
        stack.callback(engine.close)
        version = installed_version("edgecnn") or versions()["edgecnn"]  # The latter raises the error, and takes longer.
        site = Site(engine, metrics, version, camera)
        hosts = tuple(name.lower() for name in (options.host, *options.allow_host))
        access = Access(token, hosts, tuple(origin.lower() for origin in options.allow_origin))
        on_start = partial(on_address, _address(options.host, entrance.getsockname()[1], token))
        _allow_connections()
        asyncio.run(_Server(site, access, source, on_start).serve([entrance]))


def _address(host: str, port: int, token: str | None) -> str:
    host = own_names()[1] if host in ("0.0.0.0", "::") else host  # noqa: S104
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/" + (f"#token={token}" if token else "")


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens: of two servers that start at once, the second one gets the error.

    Clients wait until the server answers. The port 0 is any free one.

    Raises:
        ConfigError: If the address is not this machine's, or the port is taken.
    """
    try:
        # As bytes, a plain name needs no IDNA codec, which takes time to import.
        encoded = host.encode() if host.isascii() else host
        found = socket.getaddrinfo(encoded, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, place = found[0]
    except (OSError, ValueError) as error:  # The latter if a name can't be encoded.
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{field('host')}={host} is no address of this machine ({why}): name one") from error
    if _is_for_many(family, place):
        raise ConfigError(f"{field('host')}={host} is for multicast or broadcast: name an address of this machine")
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)  # Connections inherit it.
    try:
        made.bind(place)
        made.listen(MOST_CONNECTIONS)  # Two sockets may be bound to one port; only one may listen.
    except (OSError, OverflowError) as error:
        made.close()
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"{host}:{port} can't be listened on ({why}): choose another {field('port')} or {field('host')}"
        ) from error
    return made


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
    """uvicorn that says when it answers, with signal handlers of its own: uvicorn's would end this process by the signal."""

    def __init__(self, site: Site, access: Access, source: ModelSource, on_start: Callable[[], None]) -> None:
        config = uvicorn.Config(
            application(site, access),
            http=_Bounded,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            headers=list(HEADERS.items()),
            timeout_keep_alive=int(_IDLE_SECONDS),
            timeout_graceful_shutdown=int(2 * _GRACE_SECONDS),
            backlog=MOST_CONNECTIONS,
        )
        super().__init__(config)
        self._site, self._source, self._on_start = site, source, on_start

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals while the server runs."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._end)
        loop.add_signal_handler(signal.SIGINT, self._end)
        loop.add_signal_handler(signal.SIGHUP, loop.run_in_executor, None, self._reload)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to answer."""
        await super().startup(sockets)
        if self.started:
            self._on_start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what is under way, for a while."""
        late = asyncio.get_running_loop().call_later(_GRACE_SECONDS, self._abort)
        await super().shutdown(sockets)
        late.cancel()

    def _end(self) -> None:
        if self.should_exit:
            self.force_exit = True
            self._abort()
        self.should_exit = True
        log("ending: requests under way are answered first")
        if self._site.camera:
            self._site.camera.end()

    def _abort(self) -> None:
        """Close all connections. Their requests then end by themselves; uvicorn would log a traceback for each."""
        self._site.engine.end_decoding()
        for connection in self.server_state.connections:
            connection.transport.abort()

    def _reload(self) -> None:
        """Load the files again. An error leaves everything as it was."""
        try:
            self._site.engine.models = self._source.load()
            log("the files were loaded again")
        except EdgeCnnError as error:
            log(f"not loaded again, the earlier files go on answering: {error}")


def _allow_connections() -> None:
    """Let this process have as many files open as connections may need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
