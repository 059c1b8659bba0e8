"""`edgecnn doctor`."""

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.doctor import examine
from benchmarks.doctor_text import doctor_text
from commands.options import Json
from commands.targets import opened
from edge.console import check_writable, emit, json_file, say
from edge.errors import ArtifactError


def doctor(
    target: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE | DIR | ZIP]", help="Also run this file, or the .tflite and .onnx files of a folder or bundle."
        ),
    ] = None,
    signature: Annotated[str | None, typer.Option(help="Which of a TFLite file's signatures to run.")] = None,
    json: Json = None,
) -> None:
    """Say what this machine is and whether exported files will work on it. Installs and changes nothing.

    Exit code 4 if something will not work.
    """
    check_writable(json_file(json))
    say("looking at this machine, importing each runtime")
    if target is None:
        found = examine()
    else:
        with opened(target) as where:
            found = examine(where.path, signature)
    emit(doctor_text(found), found, json)
    if found.problems:
        raise ArtifactError(f"problems were found: {len(found.problems)}, each with its fix above")
