"""`edgecnn diagnose`."""

from pathlib import Path
from typing import Annotated

import typer

import edgecnn as ec
from edgecnn.cli.console import check_writable, emit, json_file, say
from edgecnn.cli.options import ImageOptions, InterfaceOptions, Json, png
from edgecnn.cli.progress import shown


def diagnose(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A .tflite or .onnx file, or a file in a bundle: mnist.zip/int8.tflite.", show_default=False
        ),
    ],
    float_file: Annotated[
        Path | None,
        typer.Option("--float", metavar="FILE", help="Its float32 file.", show_default="float32 in the same folder"),
    ] = None,
    count: Annotated[int, typer.Option(help="Number of test images to run.")] = 100,
    save: Annotated[Path | None, typer.Option(metavar="PNG", help="Also draw the layers.")] = None,
    images: ImageOptions = ImageOptions(),
    takes: InterfaceOptions = InterfaceOptions(),
    json: Json = None,
) -> None:
    """Find the layers of a quantized file that lose most, compared with its float32 file on the same images."""
    check_writable(png(save), json_file(json))
    with shown() as progress:
        result = ec.diagnose(
            file,
            float_file,
            count=count,
            save=save,
            **images.arguments(),
            interface=takes.interface(images),
            progress=progress,
        )
    if save:
        say(f"wrote {save}")
    emit(result, json)
