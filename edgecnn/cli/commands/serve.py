"""`edgecnn serve`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

import edgecnn as ec
from edgecnn.cli.console import print_text
from edgecnn.cli.options import DEFAULT_MODEL, ImageOptions, InterfaceOptions, Threads
from edgecnn.cli.progress import shown

_NETWORK = "Network"


@dataclass(frozen=True)
class NetworkOptions:
    """Who reaches the server."""

    PANEL = _NETWORK

    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen on; 0.0.0.0 for all, which needs a token.")
    ] = "127.0.0.1"
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for any free one.")] = 8000
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Further name by which the server may be called; repeatable."),
    ] = None
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Page of another server that may ask, as https://example.org; repeatable."),
    ] = None


def serve(  # Longer than 50 lines: its options and their help.
    targets: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE",
            help="A folder with a manifest, a bundle, or model files.",
            show_default=str(DEFAULT_MODEL.parent),
        ),
    ] = None,
    network: NetworkOptions = NetworkOptions(),
    camera: Annotated[
        str | None,
        typer.Option(metavar="CAMERA", help="picamera2, the number of a USB camera, or a folder of pictures."),
    ] = None,
    threads: Threads = 1,
    queue: Annotated[int, typer.Option(help="Number of requests that may wait; more get the status 503.")] = 64,
    trust_unverified: Annotated[
        bool, typer.Option("--trust-unverified", help="Also serve files that no manifest lists.")
    ] = False,
    log_json: Annotated[bool, typer.Option("--log-json", help="Write log lines as JSON.")] = False,
    export_page: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write a page that needs no server, for a browser alone, instead of answering."),
    ] = None,
    onnxruntime_web: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="With --export-page: folder or .tgz of that npm package.", show_default="npm downloads it"
        ),
    ] = None,
    images: ImageOptions = ImageOptions(),
    takes: InterfaceOptions = InterfaceOptions(),
    signature: Annotated[str | None, typer.Option(help="Signature to run, if a TFLite file has several.")] = None,
) -> None:
    """Answer pictures with a page to draw on and an API, until Ctrl-C.

    With another --host than this machine's own, clients need the token in the printed address. EDGECNN_TOKEN sets it,
    and then clients on this machine need it too.
    """
    named = targets or [DEFAULT_MODEL.parent]
    if export_page:
        _export_page(named, export_page, onnxruntime_web)
        return
    options = ec.ServeOptions(
        host=network.host,
        port=network.port,
        threads=threads,
        queue=queue,
        camera=camera,
        allow_host=tuple(network.allow_host or ()),
        allow_origin=tuple(network.allow_origin or ()),
        trust_unverified=trust_unverified,
        log_json=log_json,
    )
    with shown() as progress:
        ec.serve(
            named,
            options=options,
            images=images.folder(),
            interface=takes.interface(images),
            signature=signature,
            on_address=lambda address: print_text(f"Serving on {address} (Ctrl-C ends it)"),
            progress=progress,
        )


def _export_page(targets: list[Path], out: Path, onnxruntime_web: Path | None) -> None:
    if len(targets) > 1:
        raise ec.ConfigError("--export-page takes one folder or bundle: name one")
    with shown() as progress:
        page = ec.export_page(targets[0], out, onnxruntime_web=onnxruntime_web, progress=progress)
    print_text(
        f"{page.path}: {', '.join(page.models)} in a browser, with {page.runtime}, {page.size_bytes / 1e6:.1f} MB. "
        f"Try it: python3 -m http.server --bind 127.0.0.1 --directory {page.path}"
    )
