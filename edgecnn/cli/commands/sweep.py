"""`edgecnn sweep`."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

import edgecnn as ec
from edgecnn.cli.console import check_writable, emit, json_file
from edgecnn.cli.options import Allow, ImageOptions, Json, Verbose, whole_numbers
from edgecnn.cli.progress import shown
from edgecnn.words import PRECISIONS, device_formats

if TYPE_CHECKING:
    from edgecnn.words import NetworkName

DEFAULTS = ec.TrainConfig()


def sweep(  # Longer than 50 lines: its options and their help.
    context: typer.Context,
    filters: Annotated[
        list[str], typer.Option(metavar="N,N,N", help="Filters of the three stages; repeat this option for each size.")
    ],
    network: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="cnn, strided or separable, each with all sizes; repeat this option for each.",
            show_default=DEFAULTS.network,
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(help="Number of passes over the training images.")] = DEFAULTS.epochs,
    teacher: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Trained model whose answers the networks also learn.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the weights, the order of images and the dropout.")] = DEFAULTS.seed,
    model_format: Annotated[str, typer.Option("--format", help=f"{' or '.join(device_formats())}.")] = "tflite",
    quantize: Annotated[str, typer.Option(help=f"{', '.join(PRECISIONS)}.")] = "int8",
    tune: Annotated[
        bool, typer.Option("--tune", help="Tune each network's int8 file for this machine, as edgecnn export --tune does.")
    ] = False,
    reach: Annotated[
        float | None,
        typer.Option(metavar="PERCENT", help="Accuracy in percent for which the smallest sufficient file is also named."),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Output folder, with one folder per network.")] = Path(
        "artifacts/sweep"
    ),
    allow: Allow = None,
    images: ImageOptions = ImageOptions(),
    json: Json = None,
    verbose: Verbose = False,
) -> None:
    """Train, export, measure and judge networks of several sizes: accuracy against time, size and multiply-accumulates.

    Finished work is not repeated: the same command continues where it was stopped. OUT/sweep.png is the picture,
    OUT/sweep.json the record, OUT/bench.json the measurement.
    """
    check_writable(json_file(json))
    config = replace(DEFAULTS, epochs=epochs, seed=seed, teacher=str(teacher) if teacher else None)
    with shown(measuring=True) as progress:
        result = ec.sweep(
            [whole_numbers("--filters", text) for text in filters],
            out=out,
            networks=cast("list[NetworkName]", network or [DEFAULTS.network]),
            config=config,
            model_format=model_format,
            precision=quantize,
            tune=tune,
            reach_percent=reach,
            allow=allow or (),
            **images.arguments(),
            command=context.obj,
            progress=progress,
        )
    emit(result, json, verbose=verbose)
    if result.report and result.report.verdict.is_invalid:
        raise ec.InvalidMeasurement("the times are too noisy to judge: see the reasons above")
