"""`edgecnn bench`."""

from pathlib import Path
from typing import Annotated

import typer

import edgecnn as ec
from edgecnn.cli.bench_options import DeviceOptions, LimitOptions, MeasureOptions
from edgecnn.cli.console import check_writable, emit, json_file, write_text
from edgecnn.cli.devices import bench_on_devices, failures
from edgecnn.cli.options import DEFAULT_MODEL, ImageOptions, InterfaceOptions, Json, ModelOptions, Verbose
from edgecnn.cli.progress import shown
from edgecnn.words import RUNTIMES, device_formats, format_of


def bench(  # Longer than 50 lines: its options and their help.
    context: typer.Context,
    targets: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="DIR | ZIP | FILE", help="A folder with a manifest, a bundle, or files.", show_default="artifacts/mnist"
        ),
    ] = None,
    runtime: Annotated[
        list[str] | None,
        typer.Option(
            help=f"{', '.join(RUNTIMES)}; {' or '.join(device_formats())} means the default runtime of a format. Repeatable. ",
            show_default="all with a file",
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Model file that the others are compared with.", show_default="the first"),
    ] = None,
    measure: MeasureOptions = MeasureOptions(),
    allowed: LimitOptions = LimitOptions(),
    images: ImageOptions = ImageOptions(),
    takes: InterfaceOptions = InterfaceOptions(),
    model: ModelOptions = ModelOptions(),
    json: Json = None,
    verbose: Verbose = False,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the tables as Markdown.")] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write a CSV file with a row for each file.")] = None,
    devices: DeviceOptions = DeviceOptions(),
) -> None:
    """Measure files, and judge them against the float Keras model or the first file.

    Files without labelled images (--data) are measured on random inputs, for latency only.

    The exit code is 0 for PASS or without limits, 3 for FAIL, UNDECIDED and UNJUDGED, 7 for INVALID, and 1 if a --device
    gave no result.
    """
    targets = targets or [DEFAULT_MODEL.parent]
    check_writable(json_file(json), markdown, csv, inputs=(allowed.budget,) if allowed.budget else ())
    options, limits = measure.measured(), allowed.limits()
    if devices.device:
        if len(targets) > 1 or format_of(targets[0]):
            raise ec.ConfigError("--device takes a folder with a manifest, or a bundle: name one")
        bench_on_devices(context, targets[0], devices, runtime or [], allowed.budget, images, json)
        return
    if devices.install:
        raise ec.ConfigError("--install needs --device: name one, or install here with pip")
    with shown(measuring=True) as progress:
        report = ec.bench(
            targets if len(targets) > 1 else targets[0],
            budget=allowed.budget,
            limits=limits,
            options=options,
            runtime=runtime or (),
            reference=reference,
            allow=allowed.allow or (),
            strict=allowed.strict,
            groups=allowed.groups,
            **images.arguments(),
            interface=takes.interface(images),
            **model.arguments(),
            command=context.obj,
            progress=progress,
        )
    emit(report, json, verbose=verbose)
    if markdown:
        write_text(markdown, report.to_markdown())
    if csv:
        write_text(csv, report.to_csv())
    if report.verdict.is_invalid:
        raise ec.InvalidMeasurement("the measurement is too noisy to judge: see the reasons above")
    if report.verdict.refuses:
        refused = [file.verdict.status for file in report.files if file.verdict.refuses]
        raise ec.GateFailed(f"{failures(refused, len(report.files), 'file')}: see the reasons above")
