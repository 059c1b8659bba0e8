"""Write TFLite and ONNX files of a float model, each compared with it.

The model is a .keras or .h5 file, or a float .tflite or .onnx file. float32 is always among the files. A model that edgecnn
did not train also needs its images (--data) and its preprocessing (--preprocess).

Example: edgecnn export --quantize int8
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from edgecnn.commands.shared import DEFAULT_MODEL, DataOrDataset, Images, QatEpochs, StatedInterface, Trust
from edgecnn.edge.data.folder_options import NO_OPTIONS
from edgecnn.edge.formats import PRECISIONS, CalibrationName, IoName, default_formats, device_formats, format_of
from edgecnn.edge.manifest import OnnxConverterName
from edgecnn.edge.option import Option, checked, seconds
from edgecnn.edge.result import SILENT, Progress

if TYPE_CHECKING:
    from edgecnn.convert.training.records import TrainResult
    from edgecnn.edge.model_folder import ModelFolder


@checked
def export(  # Longer than 50 lines: its arguments and their docs.
    model: Annotated[
        "TrainResult | str | Path",
        Option("A .keras, .h5, .tflite or .onnx file in float32.", metavar="MODEL", argument=True, kind=Path),
    ] = DEFAULT_MODEL,
    data: DataOrDataset = None,
    *,
    formats: Annotated[
        Sequence[str],
        Option(
            "Format of the files.",
            name="--format",
            default=f"{' and '.join(default_formats())}; of a .tflite or .onnx file its own",
            one_of=device_formats(),
        ),
    ] = (),
    precisions: Annotated[
        Sequence[str],
        Option(
            "Precision of the files; float32 is always among them.",
            name="--quantize",
            default="float32 and int8",
            one_of=tuple(PRECISIONS),
        ),
    ] = ("float32", "int8"),
    calibration: Annotated[
        CalibrationName | None,
        Option("Calibration method: minmax, percentile or entropy; tflite also has mse.", metavar="METHOD", default="minmax"),
    ] = None,
    targets: Annotated[
        Sequence[str],
        Option(
            "Target runtime or program: tflite-runtime==2.14, ai-edge-litert or onnxruntime, with or without a version, "
            "one per format; rpicam-apps or tflite-micro for files of its own.",
            name="--for",
            metavar="TARGET",
        ),
    ] = (),
    batch: Annotated[
        Literal["1", "dynamic"], Option("Images per call of a file: 1, or dynamic for any number.", metavar="1|dynamic")
    ] = "1",
    io: Annotated[
        IoName | None,
        Option(
            "Input and output of int8 TFLite files: int8, uint8 (int8 plus 128) or float32.",
            metavar="TYPE",
            default="int8; float32 with --strangers",
        ),
    ] = None,
    onnx_converter: Annotated[
        OnnxConverterName | None,
        Option(
            "What makes ONNX of the Keras model, of which also ncnn, MNN and ExecuTorch files are made.",
            metavar="edgecnn|tf2onnx",
            default="edgecnn's own converter, or tf2onnx for layers that it does not know",
        ),
    ] = None,
    author: Annotated[str | None, Option("Who made the model, for the files' metadata.")] = None,
    license: Annotated[str | None, Option("Licence of the model, for the files' metadata.")] = None,
    qat: QatEpochs = None,
    keep_accuracy: Annotated[
        float | None,
        Option(
            "Largest drop in percentage points: other ranges and biases are tried, then layers stay float, until a quantized "
            "file is shown to keep it.",
            metavar="POINTS",
            above=0,
            high=100,
            unit="percentage points",
        ),
    ] = None,
    tune: Annotated[
        str | None,
        Option(
            "Also write a tuned file of each format: int8 with the layers in float, and the columns at a time, that make "
            "it fastest, here (on this machine), on a host over ssh, or on an emulated cortex-a53, cortex-a72 or cortex-a76.",
            metavar="[HOST|CORE]",
            flag="here",
        ),
    ] = None,
    tune_seconds: Annotated[
        float,
        Option(
            "Longest search for one format, as 5m.",
            name="--tune-limit",
            metavar="TIME",
            default="2m",
            low=1,
            high=86_400,
            unit="s",
            parse=seconds,
            example="90s, 10m or 1h",
        ),
    ] = 120.0,
    tune_seed: Annotated[int, Option("Seed of the search.", low=0)] = 0,
    tune_runtime: Annotated[
        str | None,
        Option("Runtime to tune for, such as litert-fp16 or openvino.", default="that of each format"),
    ] = None,
    max_error: Annotated[
        float | None,
        Option(
            "Largest share of errors among the accepted answers, in percent, shown with 95 % confidence on validation images. "
            "It sets each file's threshold; an answer below is not sure.",
            metavar="PERCENT",
            default="no threshold",
            above=0,
            below=100,
            unit="percent",
            panel="Not sure",
        ),
    ] = None,
    strangers: Annotated[
        Sequence[str | Path],
        Option(
            "Images of no class, as a folder, an .npz file or fashion-mnist: the manifest says how many are accepted.",
            metavar="SOURCE",
            kind=str,
            panel="Not sure",
        ),
    ] = (),
    accept: Annotated[
        float | None,
        Option(
            "Share of the validation images that stays accepted, in percent: the strictest threshold with it is taken.",
            metavar="PERCENT",
            default="90 with --strangers, else the largest that holds",
            above=0,
            high=100,
            unit="percent",
            panel="Not sure",
        ),
    ] = None,
    out: Annotated[
        str | Path | None,
        Option("Output folder for a model trained elsewhere.", metavar="DIR", default="artifacts/ plus its name"),
    ] = None,
    images: Images = NO_OPTIONS,
    interface: StatedInterface = None,
    trust: Trust = (),
    progress: Progress = SILENT,
) -> "ModelFolder":
    """Write TFLite and ONNX files of a float model, each compared with it on all test images. float32 is always among them.

    `MODEL_CARD.md` beside them says for people what `manifest.json` says for programs. What is written into it outside of
    edgecnn's part is kept.

    Args:
        model: Result of `edgecnn.train`, a .keras or .h5 file, a .zip file of Teachable Machine, or a float .tflite or
            .onnx file.
        data: Its images: a `Dataset`, or an argument of `edgecnn.load_dataset`. Default: those in its manifest; a model
            that edgecnn did not train has no default.

    Returns:
        The folder; its `manifest` lists all files, and its text lists the new ones.

    Raises:
        ArtifactError: If the model is missing, damaged or not an image classifier.
        ConfigError: If the images are not the model's, or settings do not fit.
        ConversionError: If a converter fails, or a float file differs from the model.
        GateFailed: If no quantized file is accurate enough for `keep_accuracy`, or no threshold is shown to hold `max_error`;
            nothing is written then.
        MissingDependency: If a package of the train extra is missing.
    """
    from edgecnn.convert.export.config import ExportConfig
    from edgecnn.edge.inference.usage import Usage
    from edgecnn.workflows.export import Accept, Tune, exported, path_of

    return exported(
        model,
        data,
        Usage(images=images, interface=interface, trust=tuple(trust)),
        ExportConfig(
            tuple(formats) or default_formats(format_of(path_of(model)) or ""),
            tuple(precisions),
            calibration,
            tuple(targets),
            batch,
            io,
            author,
            license,
            onnx_converter,
            qat,
        ),
        Tune(tune, tune_seconds, tune_seed, tune_runtime),
        keep_accuracy=keep_accuracy,
        accept=Accept(max_error, tuple(strangers), accept),
        out=Path(out) if out else None,
        progress=progress,
    )
