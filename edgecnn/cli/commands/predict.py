"""`edgecnn predict`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

import edgecnn as ec
from edgecnn.cli.console import check_writable, emit, json_file, print_columns, say, write_text
from edgecnn.cli.options import ImageOptions, InterfaceOptions, Json, ModelOptions, ModelTarget, Threads, png
from edgecnn.cli.progress import shown

if TYPE_CHECKING:
    from edgecnn.words import Side


def predict(  # Longer than 50 lines: its options and their help.
    target: ModelTarget,
    chosen: Annotated[
        list[Path] | None, typer.Argument(metavar="IMAGE", help="PNG or JPEG files, folders of them, or - for standard input.")
    ] = None,
    index: Annotated[list[int] | None, typer.Option(metavar="N", help="Number of a test image, from 0; repeatable.")] = None,
    top: Annotated[int, typer.Option(metavar="N", help="Number of classes shown for each image.")] = 5,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="One line for each image: path, label and probability, separated by tabs.")
    ] = False,
    background: Annotated[
        str | None,
        typer.Option(
            metavar="dark|light", help="Background of the pictures, for models of digits.", show_default="from the border"
        ),
    ] = None,
    save: Annotated[Path | None, typer.Option(metavar="PNG", help="File to draw the images with their labels into.")] = None,
    images: ImageOptions = ImageOptions(),
    takes: InterfaceOptions = InterfaceOptions(),
    model: ModelOptions = ModelOptions(),
    threads: Threads = 1,
    json: Json = None,
) -> None:
    """Classify image files or test images.

    It warns on standard error of each picture whose light and dark may have been swapped.
    """
    check_writable(png(save), json_file(json), inputs=tuple(chosen or ()))
    with shown(quiet=quiet) as progress:
        result = ec.predict(
            target,
            [sys.stdin.buffer if str(path) == "-" else path for path in chosen or ()],
            indices=index or (),
            **images.arguments(),
            interface=takes.interface(images),
            **model.arguments(),
            threads=threads,
            background=cast("Side | None", background),
            top=top,
            keep_pixels=save is not None or not quiet,
            progress=progress,
        )
    for item in result.images:
        if item.doubt:
            say(f"warning: {item.doubt}: set --background dark or --background light")
    if save:
        result.save(save)
        say(f"wrote {save}")
    as_json = json is not None and str(json) == "-"
    if quiet and not as_json:
        print_columns((row["image"], row["predicted"], f"{row['probability']:.4f}") for row in result.rows())
        if json:
            write_text(json, result.to_json())
    else:
        emit(result, json)
    for note in result.notes if quiet or as_json else ():
        say(note)
