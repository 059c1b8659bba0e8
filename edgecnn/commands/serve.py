"""Answer pictures with a page to draw on and an API, until Ctrl-C.

With another --host than this machine's own, clients need the token in the printed address. EDGECNN_TOKEN sets it,
and then clients on this machine need it too.

Example: edgecnn serve artifacts/mnist
"""

import os
import secrets
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from edgecnn.commands.shared import DEFAULT_FOLDER, Images, Signature, StatedInterface
from edgecnn.edge.data.folder_options import NO_OPTIONS
from edgecnn.edge.errors import ArtifactError, ConfigError, field
from edgecnn.edge.formats import Package
from edgecnn.edge.manifest import BENCH_NAME
from edgecnn.edge.option import Group, Option, checked
from edgecnn.edge.result import SILENT
from edgecnn.edge.serving.decoder import QUICK_SECONDS, Decoder
from edgecnn.edge.serving.options import ServeOptions
from edgecnn.shell.call import Call
from edgecnn.shell.console import is_read, print_text

if TYPE_CHECKING:
    from edgecnn.benchmarks.results.records import FileResult
    from edgecnn.edge.inference.classifier import Classifier
    from edgecnn.edge.inference.usage import Target
    from edgecnn.edge.model_folder import ModelFolder
    from edgecnn.edge.result import Progress
    from edgecnn.edge.serving.export_page import WrittenPage
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


@checked
def serve(  # Longer than 50 lines: its arguments and their docs.
    targets: Annotated[
        "str | Path | Sequence[str | Path]",
        Option("A folder with a manifest, a bundle, or model files.", argument=True, kind=Path, repeat=True),
    ] = (DEFAULT_FOLDER,),
    *,
    options: Annotated[ServeOptions, Group("How to answer.")] = ServeOptions(),
    images: Images = NO_OPTIONS,
    interface: StatedInterface = None,
    signature: Signature = None,
    on_address: Callable[[str], None] = print,
) -> None:
    """Answer pictures with a page and an API, until SIGTERM or Ctrl-C; SIGHUP loads the files again.

    It must run in the main thread. Logs go to standard error. With a folder for its state, it also does what its control socket
    is asked for; `restart` replaces the process by one with the same command line.

    Args:
        on_address: Receives the address when the server answers; it holds the token, if there is one.

    Raises:
        ArtifactError: If a file is missing, damaged or stale, or its runtime refuses it.
        ConfigError: If a file is unverified and not trusted, the address can't be listened on, or there is no such camera.
        MissingDependency: If a package of the serve extra, a runtime, or the camera's package is not installed.
    """
    named = (targets,) if isinstance(targets, (str, Path)) else tuple(targets)
    if not named:
        raise ConfigError(f"{field('targets')} names nothing to answer with: name a folder with a manifest, or a file")
    for package in _PACKAGES:
        if not package.is_installed:
            raise package.missing
    # It starts while this process imports what it needs, and loads the files.
    with closing(Decoder(QUICK_SECONDS, has_spare=True)) as decoder:
        from edgecnn.edge.inference.usage import Usage
        from edgecnn.edge.serving.models import ModelSource
        from edgecnn.edge.serving.security import is_loopback
        from edgecnn.edge.serving.server import Start, serve_source
        from edgecnn.edge.serving.service.systemd import inherited

        usage = Usage(None, images, interface, (), signature, options.threads)
        source = ModelSource(named, usage.classifier, last_verdict, options.trust_unverified)
        sockets = inherited()
        is_local = all(is_loopback(host) for host in sockets.hosts or (options.host,))
        token = None if is_local and TOKEN_VARIABLE not in os.environ else _token()
        handover = serve_source(Start(source, options, token, decoder, golden_vectors, on_address, sockets))
    if handover:
        from edgecnn.edge.serving.service.handover import replace_process

        replace_process(handover.program, handover.descriptors, {TOKEN_VARIABLE: token} if token else {})


def export_page(
    target: "Target", out: str | Path, *, onnxruntime_web: str | Path | None = None, progress: "Progress" = SILENT
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
    from edgecnn.edge.model_folder import opened
    from edgecnn.edge.serving.export_page import web_runtime, write_page

    with opened(target) as models:
        progress.say("fetching onnxruntime-web")
        runtime = web_runtime(Path(onnxruntime_web) if onnxruntime_web else None)
        return write_page(models, Path(out), runtime, last_verdict(models), progress.say)


def golden_vectors(file: Path, classifier: "Classifier") -> dict[str, Any]:
    """Run a file of an unpacked bundle on its golden vectors, and return what edgecnn deploy wants to know of it.

    Raises:
        ArtifactError: If it computes something else here than where the bundle was made, or its vectors are missing.
    """
    from edgecnn.benchmarks.bundle.golden import GoldenCheck, check_golden

    found = check_golden(file, classifier)
    if problem := GoldenCheck(file.parent.name, found.made_by, (found,), {}).problem:
        raise ArtifactError(problem)
    return {name: getattr(found, name) for name in ("file", "runtime", "vectors", "largest_difference", "tolerance", "passed")}


def last_verdict(models: "ModelFolder") -> "LastVerdict | None":
    """Return what the last benchmark of a folder said; None if there was none, or it can't be read."""
    if not models.manifest or not (models.path / BENCH_NAME).is_file():
        return None
    from edgecnn.benchmarks.machine.host import machine_text
    from edgecnn.benchmarks.results.read import kept_report
    from edgecnn.benchmarks.show.remarks import images_show, ship_line
    from edgecnn.edge.serving.models import LastVerdict

    report = kept_report(models)
    if report is None:
        return None
    hashes = {artifact.path: artifact.sha256 for artifact in models.manifest.exported}
    measured = {file.artifact.path: file.artifact.sha256 for file in report.files if file.artifact.exported}
    return LastVerdict(
        status=report.verdict.status,
        text=" ".join(filter(None, (images_show(report), ship_line(report)))),
        measured=report.after.time,
        machine=machine_text(report.machine),
        current=measured.items() <= hashes.items(),
        files={file.artifact.path: file.verdict.status for file in report.files if _served(file)},
    )


def _served(file: "FileResult") -> bool:
    """Whether a row of a benchmark is of the runtime that serves the file: with several, its name has the runtime's."""
    from edgecnn.edge.runtimes.installed import runtimes_of

    path, rows = file.artifact.path, runtimes_of(file.artifact.format)
    ran = file.runtime.partition(" ")[0]
    return ran in {row.package.name for row in rows} and file.name in (path, *(f"{path} {row.name}" for row in rows))


def _token() -> str:
    """Return the token of the environment, or a new one.

    Raises:
        ConfigError: If the one of the environment is too short, or has what no client can send.
    """
    given = os.environ.get(TOKEN_VARIABLE)
    if given is None:
        return secrets.token_urlsafe(16)
    if len(given) < _SHORTEST_TOKEN or not all("!" <= letter <= "~" for letter in given):
        needs = f"at least {_SHORTEST_TOKEN} ASCII characters and no spaces"
        raise ConfigError(f"{TOKEN_VARIABLE} must have {needs}: make one with openssl rand -hex 16")
    return given


def _announce(address: str) -> None:
    """Print where the server answers. It must answer also if nobody reads that."""
    if is_read(sys.stdout):
        print_text(f"Serving on {address} (Ctrl-C ends it)")
    else:
        from edgecnn.edge.serving.logs import log

        log(f"serving on {address.partition('#')[0]}, which nobody reads on standard output")


def command(
    call: Call,
    *,
    export: Annotated[
        Path | None,
        Option(
            "Write a page that needs no server, for a browser alone, instead of answering.", name="--export-page", metavar="DIR"
        ),
    ] = None,
    onnxruntime_web: Annotated[
        Path | None,
        Option("With --export-page: folder or .tgz of that npm package.", metavar="PATH", default="npm downloads it"),
    ] = None,
) -> None:
    """Serve, or write a page."""
    if export is None:
        if onnxruntime_web is not None:
            raise ConfigError("--onnxruntime-web is for the page of --export-page: add that, or omit it")
        call(on_address=_announce)
        return
    if other := call.beside("targets"):
        raise ConfigError(f"--export-page writes a page that no server answers: omit {field(other)}")
    targets = call.arguments().get("targets", (DEFAULT_FOLDER,))
    if len(targets) > 1:
        raise ConfigError("--export-page takes one folder or bundle: name one")
    page = call(export_page, target=targets[0], out=export, onnxruntime_web=onnxruntime_web)
    print_text(
        f"{page.path}: {', '.join(page.models)} in a browser, with {page.runtime}, {page.size_bytes / 1e6:.1f} MB. "
        f"Try it: python3 -m http.server --bind 127.0.0.1 --directory {page.path}"
    )
