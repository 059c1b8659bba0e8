"""`edgecnn bundle`."""

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.bundle import bundled_text, write_bundle
from commands.options import DEFAULT_MODEL, ImageOptions, Json
from convert.own_images import recorded_images
from edge.bundle import SUFFIX
from edge.console import check_writable, emit, json_file, say
from edge.errors import ConfigError
from edge.manifest import Manifest


def bundle(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder with a manifest and exported files.")
    ] = DEFAULT_MODEL.parent,
    out: Annotated[Path | None, typer.Option(metavar="ZIP", help="Default: the folder's name, beside it.")] = None,
    file: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Take this file of it; may be repeated. Default: all exported.")
    ] = None,
    count: Annotated[
        int | None, typer.Option("--images", metavar="N", help="Take so many test images, evenly. Default: all.")
    ] = None,
    images: ImageOptions = ImageOptions(),
    json: Json = None,
) -> None:
    """Write one file with models, test images and the proof of what they compute, for another machine.

    On the device, bench, evaluate, predict, verify and doctor take it where they take a folder.
    """
    out = out or folder.parent / f"{folder.name or folder.resolve().name}{SUFFIX}"
    if out.suffix.lower() != SUFFIX:
        raise ConfigError(f"{out} is not a {SUFFIX} name: a bundle is a zip file")
    check_writable(out, json_file(json))
    manifest = Manifest.load(folder)
    test = recorded_images(manifest.dataset, images.data, manifest.class_names, images.folder())
    result = write_bundle(out, folder, test, tuple(file or ()), count, say)
    emit(bundled_text(result), result, json)
