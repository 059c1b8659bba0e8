"""`edgecnn verify`: whether files still compute what they did."""

from pathlib import Path
from typing import Annotated

import typer

import edgecnn as ec
from edgecnn.cli.console import check_writable, emit, json_file
from edgecnn.cli.options import ImageOptions, InterfaceOptions, Json, ModelOptions, ModelTarget, Threads
from edgecnn.cli.progress import shown


def verify(
    target: ModelTarget,
    reference: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Another file of the model.", show_default="the stored outputs of the Keras model"),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(help="Largest accepted difference of a probability.", show_default="that of the file's precision"),
    ] = None,
    images: ImageOptions = ImageOptions(),
    takes: InterfaceOptions = InterfaceOptions(),
    model: ModelOptions = ModelOptions(),
    threads: Threads = 1,
    json: Json = None,
) -> None:
    """Check that a file computes on this machine what its reference computes, or for a bundle, its golden vectors.

    The exit code is 4 if a probability differs by more than the tolerance, and 7 if the outputs do not depend on the image.
    """
    check_writable(json_file(json))
    with shown() as progress:
        result = ec.verify(
            target,
            reference=reference,
            tolerance=tolerance,
            **images.arguments(),
            interface=takes.interface(images),
            **model.arguments(),
            threads=threads,
            progress=progress,
        )
    emit(result, json)
    if result.problem:
        raise (ec.InvalidMeasurement if result.same_for_all else ec.ArtifactError)(result.problem)
