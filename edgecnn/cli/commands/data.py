"""`edgecnn data`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

import edgecnn as ec
from edgecnn.cli.console import check_writable, emit, json_file
from edgecnn.cli.options import Json, png
from edgecnn.cli.progress import shown

if TYPE_CHECKING:
    from edgecnn.words import Augment


def data(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A folder, an .npz file, or mnist, fashion-mnist, cifar10 or cifar100.")
    ],
    save: Annotated[Path | None, typer.Option(metavar="PNG", help="Also draw a few images of each class.")] = None,
    augment: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="photo or digit: --save draws an image of each class and variations of it."),
    ] = None,
    test_share: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Share of each class for testing, if the folder has no test/.", show_default="0.2"),
    ] = None,
    split_seed: Annotated[int | None, typer.Option(help="Seed of that split.", show_default="0")] = None,
    val_share: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE", help="Share of each class's training images for validation, if there is no val/ or x_val."
        ),
    ] = None,
    labels: Annotated[Path | None, typer.Option(metavar="FILE", help="Text file with one class name per line.")] = None,
    json: Json = None,
) -> None:
    """Describe a dataset: classes, sizes, broken and duplicate images, the same images in train and test."""
    check_writable(png(save), json_file(json), inputs=tuple(Path(source).rglob("*")) if Path(source).is_dir() else ())
    options = ec.FolderOptions(test_share=test_share, split_seed=split_seed, labels=labels, val_share=val_share)
    with shown() as progress:
        result = ec.inspect_images(source, options, sheet=save, augment=cast("Augment | None", augment), progress=progress)
    emit(result, json)
