"""`edgecnn export`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

import edgecnn as ec
from edgecnn.cli.bench_options import seconds
from edgecnn.cli.console import check_writable, emit, json_file
from edgecnn.cli.options import DEFAULT_MODEL, ImageOptions, InterfaceOptions, Json, Trust
from edgecnn.cli.progress import shown
from edgecnn.words import PRECISIONS, CalibrationName, IoName, default_formats, device_formats

if TYPE_CHECKING:
    from edgecnn.words import Batch


def export(  # Longer than 50 lines: its options and their help.
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A .keras file.")] = DEFAULT_MODEL,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format", help=f"{', '.join(device_formats())}; repeatable.", show_default=" and ".join(default_formats())
        ),
    ] = None,
    quantize: Annotated[
        list[str] | None,
        typer.Option(help=f"{', '.join(PRECISIONS)}; repeatable.", show_default="float32 and int8"),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            metavar="METHOD", help="Calibration method: minmax; onnx also has entropy and percentile.", show_default="minmax"
        ),
    ] = None,
    targets: Annotated[
        list[str] | None,
        typer.Option(
            "--for",
            metavar="TARGET",
            help="Target runtime or program: tflite-runtime==2.14, ai-edge-litert or onnxruntime, with or without a version, "
            "one per format; rpicam-apps or tflite-micro for files of its own.",
        ),
    ] = None,
    batch: Annotated[str, typer.Option(metavar="1|dynamic", help="Images per call of a file: one, or any number.")] = "1",
    io: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE",
            help="Input and output of int8 TFLite files: int8, uint8 (int8 plus 128) or float32.",
            show_default="int8",
        ),
    ] = None,
    author: Annotated[str | None, typer.Option(help="Who made the model, for the files' metadata.")] = None,
    license: Annotated[str | None, typer.Option(help="Licence of the model, for the files' metadata.")] = None,
    keep_accuracy: Annotated[
        float | None,
        typer.Option(
            metavar="POINTS",
            help="Largest drop in percentage points: layers stay float until a quantized file is shown to keep it.",
        ),
    ] = None,
    tune: Annotated[
        str | None,
        typer.Option(
            metavar="[HOST|CORE]",
            help="Also write a tuned file of each format: int8 with the layers in float, and the columns at a time, that make "
            "it fastest, on this machine, on a host over ssh, or on an emulated cortex-a53, cortex-a72 or cortex-a76.",
        ),
    ] = None,
    tune_limit: Annotated[str, typer.Option(metavar="TIME", help="Longest search for one format, as 5m.")] = "2m",
    tune_seed: Annotated[int, typer.Option(help="Seed of the search.")] = 0,
    tune_runtime: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Runtime to tune for, such as litert-fp16 or openvino.",
            show_default="that of each format",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Output folder for a model trained elsewhere.", show_default="artifacts/ plus its name"
        ),
    ] = None,
    images: ImageOptions = ImageOptions(),
    takes: InterfaceOptions = InterfaceOptions(),
    trust: Trust = None,
    json: Json = None,
) -> None:
    """Write TFLite and ONNX files of a Keras model, each compared with the model. float32 is always among them.

    A model that edgecnn did not train also needs its images (--data) and its preprocessing (--preprocess).
    """
    check_writable(json_file(json))
    with shown() as progress:
        result = ec.export(
            model,
            formats=formats or default_formats(),
            precisions=quantize or ("float32", "int8"),
            calibration=cast("CalibrationName | None", calibration),
            targets=targets or (),
            batch=cast("Batch", batch),
            io=cast("IoName | None", io),
            author=author,
            license=license,
            keep_accuracy=keep_accuracy,
            tune=tune,
            tune_seconds=seconds("--tune-limit", tune_limit),
            tune_seed=tune_seed,
            tune_runtime=tune_runtime,
            out=out,
            **images.arguments(),
            interface=takes.interface(images),
            trust=trust or (),
            progress=progress,
        )
    emit(result, json)
