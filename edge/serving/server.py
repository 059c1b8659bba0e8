"""Puts the parts of a server together, and runs it until a signal ends it; SIGHUP loads the files again.

At the end, another process may take its place: then it gets the sockets.
"""

import asyncio
import errno
import ipaddress
import os
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, Timer
from typing import Any, NamedTuple
from urllib.parse import quote

import uvicorn

from edgecnn.edge.errors import ConfigError, EdgeCnnError, field
from edgecnn.edge.packages import versions
from edgecnn.edge.runtimes.base import installed_version
from edgecnn.edge.serving.answered.answers import Answers
from edgecnn.edge.serving.app import Site, application
from edgecnn.edge.serving.connection import IDLE_SECONDS, MOST_CONNECTIONS, Bounded
from edgecnn.edge.serving.decoder import Decoder
from edgecnn.edge.serving.engine import Engine
from edgecnn.edge.serving.logs import log, log_bug, log_minute, logging_to_stderr
from edgecnn.edge.serving.metrics import Metrics
from edgecnn.edge.serving.models import ModelSource
from edgecnn.edge.serving.options import ServeOptions
from edgecnn.edge.serving.security import HEADERS, Access, own_names
from edgecnn.edge.serving.service.candidate import Requests, Vectors
from edgecnn.edge.serving.service.control import Control, control_socket, state_folder
from edgecnn.edge.serving.service.systemd import Inherited, beat, notify, notify_leaving, notify_reloading

_SEND_BUFFER = 2**17
"""Bytes of the kernel's buffer of each connection. By itself it grows to megabytes, which hide that a client does not read."""
_GRACE_SECONDS = 3.0
"""Time for the requests under way once the server has been told to end."""
_END_SECONDS = 4.5
"""Time after which the process ends whatever still runs: native code, a camera or a card may never return."""
_HANDOVER_SECONDS = 30.0
"""The same where another process takes its place. Whoever keeps it in service then starts it again."""
_FILES = 4096
_ROUNDS = 10
"""Rounds of the loop until a connection that was just accepted is in uvicorn's list; it takes three."""
_LOOK_SECONDS = 0.01


@dataclass(frozen=True)
class Start:
    """What a server starts with.

    Attributes:
        source: The files.
        options: How to answer.
        token: As in `Access`.
        decoder: Decodes pictures.
        vectors: Checks the files of a candidate: see `Requests`.
        on_address: Receives the address when the server answers.
        inherited: Sockets that are open already. With one that listens, the options' host and port are not used.
    """

    source: ModelSource
    options: ServeOptions
    token: str | None
    decoder: Decoder
    vectors: Vectors
    on_address: Callable[[str], None]
    inherited: Inherited


class Handover(NamedTuple):
    """What the next process of a server goes on with.

    Attributes:
        program: The edgecnn that it runs; None for the present one.
        descriptors: Its sockets.
    """

    program: Path | None
    descriptors: tuple[int, ...] = ()


def serve_source(start: Start) -> Handover | None:
    """Answer until SIGTERM or SIGINT; requests under way are answered first. The second such signal ends it at once.

    If it has not ended 4.5 seconds after the signal, whatever holds it, the process does.

    Returns:
        What the next process gets, which is to take the place of this one; None if the server has ended.

    Raises:
        ArtifactError: If a file is missing, damaged or stale, or its runtime refuses it.
        ConfigError: If the address can't be listened on, there is no such camera, another server uses the state's folder, or a
            file is not to be served.
        MissingDependency: If a runtime or the camera's package is not installed.
    """
    options = start.options
    with ExitStack() as signals, ExitStack() as stack:
        # There is nothing to load again yet.
        signals.callback(signal.signal, signal.SIGHUP, signal.signal(signal.SIGHUP, signal.SIG_IGN))
        # What fails at once is said before files are loaded.
        state, desk = None if options.state is None else Path(options.state), None
        if state is not None:
            desk = _Desk(state, stack.enter_context(control_socket(stack.enter_context(state_folder(state)))))
        entrances = start.inherited.listening or (listening(options.host, options.port),)
        for entrance in (*entrances, *start.inherited.connections):
            stack.enter_context(entrance)
            entrance.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)  # Connections inherit it.
        logs_each = options.verbose or options.log_json
        metrics = Metrics(Answers(state, lambda minute: None if logs_each else log_minute(minute)))
        stack.enter_context(logging_to_stderr(options.log_json, metrics.dropped_lines.inc))
        camera = None
        if options.camera is not None:
            from edgecnn.edge.serving.camera import Camera, open_camera  # noqa: PLC0415 - Without one, a server answers sooner.

            camera = Camera(open_camera(options.camera), metrics)
            stack.callback(camera.close)
        engine = Engine(start.source.load(), start.decoder, options.queue, metrics)
        stack.callback(engine.close)
        version = installed_version("edgecnn") or versions()["edgecnn"]  # The latter raises the error, and takes longer.
        site = Site(engine, metrics, version, camera, logs_each)
        _allow_connections()
        named = None if start.inherited.listening else options.host
        server = _Server(site, start, _address(entrances[0], named, start.token), desk)
        signals.callback(server.ended)
        stack.enter_context(metrics.answers.kept())
        asyncio.run(server.serve([*entrances]))
        if server.handover:
            signals.pop_all()  # SIGHUP stays ignored until the next process answers.
            signals.callback(server.ended)
        return server.handover


def _address(entrance: socket.socket, named: str | None, token: str | None) -> str:
    host, port = entrance.getsockname()[:2]
    host = own_names()[1] if host in ("0.0.0.0", "::") else named or host  # noqa: S104
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/" + (f"#token={quote(token, safe='')}" if token else "")


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


class _Desk(NamedTuple):
    """The server's own folder, and its control socket."""

    folder: Path
    entrance: socket.socket


class _Server(uvicorn.Server):
    """uvicorn that says when it answers, with signal handlers of its own: uvicorn's would end this process by the signal."""

    handover: Handover | None = None

    def __init__(self, site: Site, start: Start, address: str, desk: _Desk | None) -> None:
        options = start.options
        hosts = tuple(name.lower() for name in (options.host, *options.allow_host))
        access = Access(start.token, hosts, tuple(origin.lower() for origin in options.allow_origin))
        config = uvicorn.Config(
            application(site, access),
            http=Bounded,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            headers=list(HEADERS.items()),
            timeout_keep_alive=int(IDLE_SECONDS),
            timeout_graceful_shutdown=int(_END_SECONDS),
            backlog=MOST_CONNECTIONS,
        )
        super().__init__(config)
        self._site, self._start, self._address, self._desk = site, start, address, desk
        self._late: Timer | None = None
        self._loading = Lock()
        self._control: asyncio.Server | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals while the server runs."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._end)
        loop.add_signal_handler(signal.SIGINT, self._end)
        loop.add_signal_handler(signal.SIGHUP, loop.run_in_executor, None, self._reload)
        yield
        # Else the loop, when it is closed, would let SIGHUP end the process.
        loop.remove_signal_handler(signal.SIGHUP)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to answer."""
        await super().startup(sockets)
        if not self.started:
            return
        for connection in self._start.inherited.connections:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)
        if self._desk:
            folder, entrance = self._desk
            address = self._address.partition("#")[0]
            requests = Requests(self._site, self._start.source, self._start.vectors, folder, address, self._leave)
            self._control = await Control(requests.answer).start(entrance)
        self._start.on_address(self._address)
        notify("READY=1")
        self._beats = asyncio.create_task(beat(self._site.engine.has_moved))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what is under way, for a while."""
        late = asyncio.get_running_loop().call_later(_GRACE_SECONDS, self._abort)
        if self.handover:
            await self._pass_on(sockets or [])
        await super().shutdown(sockets)
        late.cancel()

    def _protocol(self) -> Bounded:
        return Bounded(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    async def _pass_on(self, sockets: list[socket.socket]) -> None:
        """Keep the sockets for the next process: those that listen, and each connection once its request is answered."""
        taken = [os.dup(entrance.fileno()) for entrance in sockets]
        for entrance in sockets:
            asyncio.get_running_loop().remove_reader(entrance)
        # asyncio drops what it has just accepted if its server is closed then.
        for _ in range(_ROUNDS):
            await asyncio.sleep(0)
        while self.server_state.connections and self.handover:  # Until `_abort` closes those that take too long.
            for connection in list(self.server_state.connections):
                if isinstance(connection, Bounded):
                    connection.leave(taken)
            await asyncio.sleep(_LOOK_SECONDS)
        if self.handover:
            self.handover = self.handover._replace(descriptors=tuple(taken))

    def _leave(self, program: Path | None) -> None:
        """Let the next process take this one's place."""
        log("the next process takes over: requests under way are answered first")
        notify_leaving()
        self.handover = Handover(program)
        self._stop(_HANDOVER_SECONDS, 1)

    def _end(self) -> None:
        if self.should_exit and not self.handover:
            self.force_exit = True
            self._abort()
            return
        self.handover = None
        log("ending: requests under way are answered first")
        notify("STOPPING=1")
        self._stop(_END_SECONDS, 0)

    def ended(self) -> None:
        """Say that all is closed, so that the process need not be ended."""
        if self._late:
            self._late.cancel()

    def _stop(self, seconds: float, code: int) -> None:
        """Answer no more new requests; after some seconds, end the process with this exit code."""
        self.ended()
        self._late = Timer(seconds, os._exit, (code,))
        self._late.daemon = True
        self._late.start()
        self.should_exit = True
        if self._control:
            self._control.close()
        if self._site.camera:
            self._site.camera.end()

    def _abort(self) -> None:
        """Close all connections. Their requests then end by themselves; uvicorn would log a traceback for each."""
        self._site.engine.end_decoding()
        for connection in self.server_state.connections:
            connection.transport.abort()

    def _reload(self) -> None:
        """Load the files again. An error leaves everything as it was."""
        with self._loading:  # Of two signals, the later one must load what is there then.
            notify_reloading()
            engine = self._site.engine
            before = engine.models
            try:
                loaded = self._start.source.load()
                if engine.models is before:
                    engine.models = loaded
                    log("the files were loaded again")
                else:
                    log("not loaded again: another bundle was put into service meanwhile")
            except Exception as error:  # Whatever it was, systemd waits for the end of this.
                if not isinstance(error, EdgeCnnError):
                    log_bug("SIGHUP")
                log(f"not loaded again, the earlier files go on answering: {error}")
            notify("READY=1")


def _allow_connections() -> None:
    """Let this process have as many files open as connections may need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
