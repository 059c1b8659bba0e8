"""`edgecnn sweep`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

import edgecnn as ec
from edgecnn.cli.console import check_writable, emit, json_file
from edgecnn.cli.options import (
    Allow,
    ImageOptions,
    InterfaceOptions,
    Json,
    ValidationOptions,
    Verbose,
    whole_numbers,
)
from edgecnn.cli.progress import shown
from edgecnn.words import PRECISIONS, device_formats

DEFAULTS = ec.TrainConfig()


def sweep(  # Longer than 50 lines: its options and their help.
    context: typer.Context,
    filters: Annotated[
        list[str] | None,
        typer.Option(
            metavar="N,N,N",
            help="Filters of the three stages of edgecnn's own networks; repeat this option for each size.",
            show_default="none",
        ),
    ] = None,
    network: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="cnn, strided or separable, each with all sizes, or module:function; repeat this option for each.",
            show_default=DEFAULTS.network,
        ),
    ] = None,
    arguments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=V,V,...",
            help="Values of a keyword argument of module:function, or of dropout; repeatable. Every combination is trained.",
            show_default="none",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            help="Number of passes over the training images.", show_default=f"{DEFAULTS.epochs}, or planned by --minutes"
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            help="Limit of the training time: all train for a few epochs, the better half for twice as many, and so on.",
            show_default="none",
        ),
    ] = None,
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
    validation: ValidationOptions = ValidationOptions(),
    images: ImageOptions = ImageOptions(),
    takes: InterfaceOptions = InterfaceOptions(),
    json: Json = None,
    verbose: Verbose = False,
) -> None:
    """Train, export, measure and judge several networks: accuracy against time, size and multiply-accumulates.

    Finished work is not repeated: the same command continues where it was stopped. OUT/sweep.png is the picture,
    OUT/sweep.json the record, OUT/bench.json the measurement.
    """
    check_writable(json_file(json))
    if minutes is not None and epochs is not None:
        raise ec.ConfigError("--minutes plans the number of epochs: omit --epochs")
    config = ec.TrainConfig.of_recipe(
        DEFAULTS.recipe,
        epochs=epochs,
        seed=seed,
        teacher=str(teacher) if teacher else None,
        keep=validation.keep,
        patience=validation.patience,
    )
    with shown(measuring=True) as progress:
        result = ec.sweep(
            [whole_numbers("--filters", text) for text in filters or ()],
            out=out,
            networks=network or [DEFAULTS.network],
            arguments=values_of(arguments or ()),
            config=config,
            minutes=minutes,
            model_format=model_format,
            precision=quantize,
            tune=tune,
            reach_percent=reach,
            allow=allow or (),
            **images.arguments(validation.val_share),
            interface=takes.interface(images),
            command=context.obj,
            progress=progress,
        )
    emit(result, json, verbose=verbose)
    if result.report and result.report.verdict.is_invalid:
        raise ec.InvalidMeasurement("the times are too noisy to judge: see the reasons above")


def values_of(texts: Sequence[str]) -> dict[str, list[str]]:
    """Return the values of each argument, given as `name=value,value`.

    Raises:
        ConfigError: If one has another form, or a name comes twice.
    """
    found: dict[str, list[str]] = {}
    for text in texts:
        name, _, values = text.partition("=")
        if not (name and all(values.split(","))) or name in found:
            raise ec.ConfigError(f"--set must be name=value,value, each name once, for example width=8,16,32, got {text}")
        found[name] = values.split(",")
    return found
