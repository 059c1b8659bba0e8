"""`edgecnn bundle`."""

from pathlib import Path
from typing import Annotated

import typer

import edgecnn as ec
from edgecnn.cli.console import check_writable, emit, json_file
from edgecnn.cli.options import DEFAULT_MODEL, ImageOptions, Json
from edgecnn.cli.progress import shown


def bundle(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder with a manifest and exported files.")
    ] = DEFAULT_MODEL.parent,
    out: Annotated[
        Path | None,
        typer.Option(metavar="ZIP", help="Bundle to write.", show_default="the folder's name with .zip, next to the folder"),
    ] = None,
    file: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="File to include; repeatable.", show_default="all exported files")
    ] = None,
    count: Annotated[
        int | None,
        typer.Option("--images", metavar="N", help="Number of test images to include, spread evenly.", show_default="all"),
    ] = None,
    images: ImageOptions = ImageOptions(),
    json: Json = None,
) -> None:
    """Write one file with models, test images and the proof of what they compute, for another machine.

    On the device, bench, evaluate, predict, serve, summary, verify and doctor accept it in place of a folder.
    """
    check_writable(out, json_file(json))
    with shown() as progress:
        result = ec.bundle(folder, out, files=file or (), test_images=count, **images.arguments(), progress=progress)
    emit(result, json)
