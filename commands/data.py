"""`edgecnn data`."""

from pathlib import Path
from typing import Annotated

import typer

from commands.options import Json
from commands.progress import counted
from convert.contact_sheet import contact_sheet
from convert.data_options import FolderOptions
from convert.inspect import inspect_images
from convert.inspect_text import inspection_text
from edge.console import check_writable, emit, json_file, say
from edge.errors import ConfigError
from edge.files import write_bytes


def data(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A folder, an .npz file, or mnist, fashion-mnist, cifar10 or cifar100.")
    ],
    save: Annotated[Path | None, typer.Option(metavar="PNG", help="Also draw a few images of each class.")] = None,
    test_share: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Of a folder without train/ and test/. Default: 0.2.")
    ] = None,
    split_seed: Annotated[int | None, typer.Option(help="Of that split. Default: 0.")] = None,
    labels: Annotated[Path | None, typer.Option(metavar="FILE", help="The class names, a line each.")] = None,
    json: Json = None,
) -> None:
    """Say what is in a set of images: counts, sizes, broken files, the same images in train and test."""
    if save and save.suffix.lower() != ".png":
        raise ConfigError(f"{save} is not a .png name: --save writes PNG")
    check_writable(save, json_file(json), inputs=tuple(Path(source).rglob("*")) if Path(source).is_dir() else ())
    options = FolderOptions(test_share=test_share, seed=split_seed, labels=labels)
    with counted("looking at images") as on_progress:
        found = inspect_images(source, options, on_progress)
    if save:
        write_bytes(save, contact_sheet(source, options))
        say(f"wrote {save}")
    emit(inspection_text(found), found, json)
