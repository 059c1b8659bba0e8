"""`edgecnn doctor`."""

from pathlib import Path
from typing import Annotated

import typer

import edgecnn as ec
from edgecnn.cli.console import check_writable, emit, json_file
from edgecnn.cli.options import Json
from edgecnn.cli.progress import shown


def doctor(
    target: Annotated[
        Path | None,
        typer.Argument(metavar="FILE | DIR | ZIP", help="Also run this file, or the exported files of a folder or bundle."),
    ] = None,
    signature: Annotated[str | None, typer.Option(help="Signature to run, if a TFLite file has several.")] = None,
    json: Json = None,
) -> None:
    """Describe this machine, and check whether exported files will work on it. Nothing is installed or changed.

    The exit code is 4 if something will not work.
    """
    check_writable(json_file(json))
    with shown() as progress:
        result = ec.doctor(target, signature=signature, progress=progress)
    emit(result, json)
    if result.problems:
        raise ec.ArtifactError(f"problems found: {len(result.problems)}, each with its fix above")
