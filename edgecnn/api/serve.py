"""Answers pictures over HTTP."""

import os
import secrets
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgecnn.edge.data.folder_options import NO_OPTIONS, FolderOptions
from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.folder.file_names import BENCH_NAME
from edgecnn.edge.formats import MOST_THREADS, Package
from edgecnn.edge.model.interface import Interface
from edgecnn.edge.progress import SILENT, Progress
from edgecnn.edge.provenance import versions
from edgecnn.edge.serving.decoder import QUICK_SECONDS, Decoder

if TYPE_CHECKING:
    from edgecnn.api.usage import Target
    from edgecnn.benchmarks.results.records import FileResult
    from edgecnn.edge.folder.model_folder import ModelFolder
    from edgecnn.edge.serving.browser_page.export_page import WrittenPage
    from edgecnn.edge.serving.models import LastVerdict

TOKEN_VARIABLE = "EDGECNN_TOKEN"
"""Environment variable with the token, for a service."""
_PACKAGES = (
    Package("starlette", "starlette", "serve"),
    Package("uvicorn", "uvicorn", "serve"),
    Package("python-multipart", "python_multipart", "serve"),
    Package("prometheus-client", "prometheus_client", "serve"),
    Package("pillow", "PIL", "serve"),
)
_SHORTEST_TOKEN = 16


@dataclass(frozen=True)
class ServeOptions:
    """How a server answers.

    Attributes:
        host: Address to listen on. Any other than this machine's own needs a token of its clients; this one too if the
            environment sets a token.
        port: Port to listen on; 0 for any free one.
        threads: Number of threads of each runtime, 1 to 64.
        queue: Number of requests that may wait; more get the status 503.
        camera: `picamera2`, the number of a USB camera, or a folder of pictures; None for no camera.
        allow_host: Further names by which clients may call the server.
        allow_origin: Pages of other servers that may ask, as `https://example.org`.
        trust_unverified: Whether files are served that no manifest lists.
        log_json: Whether log lines are JSON; then no progress is shown.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    threads: int = 1
    queue: int = 64
    camera: str | None = None
    allow_host: tuple[str, ...] = ()
    allow_origin: tuple[str, ...] = ()
    trust_unverified: bool = False
    log_json: bool = False

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigError: If one is out of range.
        """
        for name, value, least, most in (
            ("port", self.port, 0, 65535),
            ("threads", self.threads, 1, MOST_THREADS),
            ("queue", self.queue, 0, 10_000),
        ):
            if not least <= value <= most:
                raise ConfigError(f"{field(name)} must be {least} to {most:,}, got {value}")
        for name in self.allow_host:
            if not name or set(name) & set(":/@ "):
                raise ConfigError(f"{field('allow_host')}={name} is no name of a machine: omit scheme and port")
        for origin in self.allow_origin:
            if not origin.startswith(("http://", "https://")) or origin.count("/") != 2:
                raise ConfigError(f"{field('allow_origin')}={origin} is no origin: write it as https://example.org")


def serve(  # Longer than 50 lines: its arguments and their docs.
    targets: str | Path | Sequence[str | Path],
    *,
    options: ServeOptions = ServeOptions(),
    images: FolderOptions = NO_OPTIONS,
    interface: Interface | str | None = None,
    signature: str | None = None,
    on_address: Callable[[str], None] = print,
    progress: Progress = SILENT,
) -> None:
    """Answer pictures with a page and an API, until SIGTERM or Ctrl-C; SIGHUP loads the files again.

    It must run in the main thread. Logs go to standard error.

    Args:
        targets: Folders with a manifest, bundles or model files. Of a folder, all exported files that run here are served.
        options: How to answer.
        images: The class names of files without a manifest, and how pictures are fitted to them.
        interface: For files without a manifest: as in `edgecnn.evaluate`.
        signature: Name of the signature to run, if a TFLite file has several.
        on_address: Receives the address when the server answers; it holds the token, if there is one.
        progress: Receives the progress until then.

    Raises:
        ArtifactError: If a file is missing, damaged or stale, or its runtime refuses it.
        ConfigError: If a file is unverified and not trusted, the address can't be listened on, or there is no such camera.
        MissingDependency: If a package of the serve extra, a runtime, or the camera's package is not installed.
    """
    for package in _PACKAGES:
        if not package.is_installed:
            raise package.missing
    # It starts while this process imports what it needs, and loads the files.
    with closing(Decoder(QUICK_SECONDS, has_spare=True)) as decoder:
        from edgecnn.api.usage import Usage  # noqa: PLC0415 - It imports numpy.
        from edgecnn.edge.runtimes.base import installed_version  # noqa: PLC0415 - As above.
        from edgecnn.edge.serving.models import ModelSource  # noqa: PLC0415 - As above.
        from edgecnn.edge.serving.security import is_loopback  # noqa: PLC0415 - The serve extra is there now.
        from edgecnn.edge.serving.serve import ServerSettings, serve_source  # noqa: PLC0415

        usage = Usage(None, images, interface, (), signature, options.threads)
        named = (targets,) if isinstance(targets, (str, Path)) else tuple(targets)
        source = ModelSource(named, usage.classifier, last_verdict, options.trust_unverified)
        settings = ServerSettings(
            host=options.host,
            port=options.port,
            queue=options.queue,
            camera=options.camera,
            hosts=tuple(name.lower() for name in options.allow_host),
            origins=tuple(origin.lower() for origin in options.allow_origin),
            token=None if is_loopback(options.host) and TOKEN_VARIABLE not in os.environ else _token(),
            log_json=options.log_json,
            version=installed_version("edgecnn") or versions()["edgecnn"],  # The latter raises the error, and takes longer.
        )
        serve_source(source, settings, decoder, on_address, SILENT if options.log_json else progress)


def export_page(
    target: "Target", out: str | Path, *, onnxruntime_web: str | Path | None = None, progress: Progress = SILENT
) -> "WrittenPage":
    """Write a page that needs no server of ours: a browser runs the .onnx files itself, for a phone without a board.

    Args:
        target: A folder with a manifest, a bundle, or the result of `edgecnn.open`.
        out: Folder for the page, which any web server can serve.
        onnxruntime_web: Folder of that npm package, or the .tgz file of `npm pack`. Default: npm downloads it.
        progress: Receives the progress.

    Returns:
        What was written.

    Raises:
        ArtifactError: If a file is missing, damaged or stale.
        ConfigError: If no manifest lists the files, a browser runs none of them, or the folder can't be written.
        MissingDependency: If npm is needed and not installed.
    """
    from edgecnn.edge.folder.model_folder import opened  # noqa: PLC0415 - It imports numpy.
    from edgecnn.edge.serving.browser_page.export_page import write_page  # noqa: PLC0415 - A server needs neither.
    from edgecnn.edge.serving.browser_page.onnxruntime_web import web_runtime  # noqa: PLC0415 - As above.

    with opened(target) as models:
        progress.say("fetching onnxruntime-web")
        runtime = web_runtime(Path(onnxruntime_web) if onnxruntime_web else None)
        return write_page(models, Path(out), runtime, progress.say)


def last_verdict(models: "ModelFolder") -> "LastVerdict | None":
    """Return what the last benchmark of a folder said; None if there was none, or it can't be read."""
    if not models.manifest or not (models.path / BENCH_NAME).is_file():
        return None
    from edgecnn.benchmarks.report.pareto import pareto_points  # noqa: PLC0415 - A server without a benchmark starts sooner.
    from edgecnn.benchmarks.report.recommendations import advice, recommend  # noqa: PLC0415 - As above.
    from edgecnn.benchmarks.results.read import kept_report  # noqa: PLC0415 - As above.
    from edgecnn.edge.serving.models import LastVerdict  # noqa: PLC0415 - It imports numpy.

    report = kept_report(models)
    if report is None:
        return None
    hashes = {artifact.path: artifact.sha256 for artifact in models.manifest.exported}
    measured = {file.artifact.path: file.artifact.sha256 for file in report.files if file.artifact.exported}
    return LastVerdict(
        status=report.verdict.status,
        text=advice(report, recommend(report, pareto_points(report))),
        measured=report.after.time,
        machine=", ".join(filter(None, (report.machine.cpu or report.machine.machine, report.machine.board))),
        current=measured.items() <= hashes.items(),
        files={file.artifact.path: file.verdict.status for file in report.files if _served(file)},
    )


def _served(file: "FileResult") -> bool:
    """Whether a row of a benchmark is of the runtime that serves the file: with several, its name has the runtime's."""
    from edgecnn.edge.runtimes.installed import runtimes_of  # noqa: PLC0415 - It imports numpy.

    path, rows = file.artifact.path, runtimes_of(file.artifact.format)
    ran = file.runtime.partition(" ")[0]
    return ran in {row.package.name for row in rows} and file.name in (path, *(f"{path} {row.name}" for row in rows))


def _token() -> str:
    """Return the token of the environment, or a new one.

    Raises:
        ConfigError: If the one of the environment is too short.
    """
    given = os.environ.get(TOKEN_VARIABLE)
    if given is None:
        return secrets.token_urlsafe(16)
    if len(given) < _SHORTEST_TOKEN or not given.isascii():
        raise ConfigError(f"{TOKEN_VARIABLE} must have at least {_SHORTEST_TOKEN} ASCII characters: make it longer")
    return given
