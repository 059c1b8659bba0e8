"""Puts the parts of a server together, and takes them apart when it ends."""

import signal
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecnn.edge.errors import EdgeCnnError
from edgecnn.edge.serving.app import Site, application
from edgecnn.edge.serving.decoder import Decoder
from edgecnn.edge.serving.engine import Engine
from edgecnn.edge.serving.logs import log, logging_to_stderr
from edgecnn.edge.serving.metrics import Metrics
from edgecnn.edge.serving.models import ModelSource
from edgecnn.edge.serving.security import Access, is_loopback, own_names
from edgecnn.edge.serving.uvicorn_server import Address, Running, run

if TYPE_CHECKING:
    from edgecnn.edge.serving.camera import Camera


@dataclass(frozen=True)
class ServerSettings:
    """How a server answers.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; 0 for any free one.
        queue: Number of requests that may wait.
        camera: Camera, as `open_camera` takes it; None for none.
        hosts: As in `Access`.
        origins: As in `Access`.
        token: As in `Access`.
        log_json: Whether log lines are JSON.
        version: edgecnn's version.
    """

    host: str
    port: int
    queue: int
    camera: str | None
    hosts: tuple[str, ...]
    origins: tuple[str, ...]
    token: str | None
    log_json: bool
    version: str


def serve_source(
    source: ModelSource,
    settings: ServerSettings,
    decoder: Decoder,
    on_address: Callable[[str], None],
) -> None:
    """Answer until a signal ends the process.

    Args:
        source: The files.
        settings: How to answer.
        decoder: Decodes pictures.
        on_address: Receives the address when the server answers.

    Raises:
        ArtifactError: If a file is missing, damaged or stale, or its runtime refuses it.
        ConfigError: If the address can't be listened on, there is no such camera, or a file is not to be served.
        MissingDependency: If a runtime or the camera's package is not installed.
    """
    with ExitStack() as stack:
        # There is nothing to load again yet.
        stack.callback(signal.signal, signal.SIGHUP, signal.signal(signal.SIGHUP, signal.SIG_IGN))
        # What fails at once is said before files are loaded.
        listening = stack.enter_context(Address(settings.host, settings.port).listening())
        metrics = Metrics()
        stack.enter_context(logging_to_stderr(settings.log_json, metrics.dropped_lines.inc))
        camera = None if settings.camera is None else _camera(settings.camera, metrics)
        if camera:
            stack.callback(camera.close)
        engine = Engine(source.load(), decoder, settings.queue, metrics, _say_failure)
        stack.callback(engine.close)
        site = Site(engine, metrics, settings.version, camera)
        access = Access(settings.token, (settings.host.lower(), *settings.hosts), settings.origins)
        address = _address(settings, listening.getsockname()[1])

        def reload() -> None:
            engine.models = source.load()
            log("the files were loaded again")

        def end() -> None:
            log("ending: requests under way are answered first")
            if camera:
                camera.end()

        run(Running(application(site, access), lambda: on_address(address), reload, end, engine.end_decoding), listening)


def _camera(named: str, metrics: Metrics) -> "Camera":
    # Without a camera, a server answers sooner.
    from edgecnn.edge.serving.camera import Camera, open_camera  # noqa: PLC0415

    return Camera(open_camera(named), metrics)


def _address(settings: ServerSettings, port: int) -> str:
    host = settings.host if is_loopback(settings.host) or settings.host not in ("0.0.0.0", "::") else own_names()[1]  # noqa: S104
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/" + (f"#token={settings.token}" if settings.token else "")


def _say_failure(error: EdgeCnnError) -> None:
    log(f"no answer: {error}")
