"""`edgecnn export` and `edgecnn diagnose`."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated, cast

import numpy as np
import typer

from benchmarks.accuracy import compare
from benchmarks.budgets import Budgets
from benchmarks.gate import Budget, Policy
from benchmarks.latency import Plan
from benchmarks.lineup import BareFile, file_lineup
from benchmarks.options import Options
from benchmarks.run import benchmark
from commands.models import interface_of, load, opener
from commands.options import DEFAULT_MODEL, ImageOptions, InterfaceOptions, Json, ModelOptions, ModelPath, Trust
from convert.candidates import Judge
from convert.dataset import Dataset, load_dataset, recorded_model, recorded_source
from convert.diagnose import diagnose as diagnose_files
from convert.diagnose_figure import save_diagnosis
from convert.diagnose_text import diagnosis_table
from convert.export import ExportConfig
from convert.export import export as export_model
from convert.export_table import to_table
from convert.own_images import model_images, test_images
from edge.classifier import Classifier
from edge.console import check_writable, emit, json_file, say
from edge.errors import ConfigError
from edge.model_file import read_model
from edge.preprocess import Floats
from edge.splits import Labels


def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A .keras file.")] = DEFAULT_MODEL,
    formats: Annotated[
        list[str] | None, typer.Option("--format", help="tflite or onnx; may be repeated. Default: both.")
    ] = None,
    quantize: Annotated[
        list[str] | None,
        typer.Option(help="float32, float16, dynamic, int8 or int16x8; may be repeated. Default: float32 and int8."),
    ] = None,
    calibration: Annotated[
        str | None, typer.Option(metavar="METHOD", help="minmax; onnx has entropy and percentile too. Default: minmax.")
    ] = None,
    runtimes: Annotated[
        list[str] | None,
        typer.Option(
            "--for",
            metavar="RUNTIME",
            help="What must run the files: tflite-runtime==2.14, ai-edge-litert or onnxruntime, with or without a version. "
            "One a format.",
        ),
    ] = None,
    batch: Annotated[
        str, typer.Option(metavar="1|dynamic", help="Images that one call of a file takes: one, or any number.")
    ] = ExportConfig.batch,
    keep_accuracy: Annotated[
        float | None,
        typer.Option(metavar="POINTS", help="Leave layers of a quantised file in float until it is shown to lose no more."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="For a model trained elsewhere. Default: artifacts/ and its name.")
    ] = None,
    images: ImageOptions = ImageOptions(),
    takes: InterfaceOptions = InterfaceOptions(),
    trust: Trust = None,
    json: Json = None,
) -> None:
    """Write TFLite and ONNX files of a Keras model, each compared with it. float32 is always among them.

    A model that edgecnn did not train also needs its images (--data) and how it takes pixels (--preprocess).
    """
    check_writable(json_file(json))
    default = ExportConfig()
    chosen = tuple(formats or default.formats), tuple(quantize or default.precisions)
    config = ExportConfig(*chosen, calibration, tuple(runtimes or ()), batch)
    modules = tuple(trust or ())
    dataset = _training_images(model, images, takes, modules)
    judge = None if keep_accuracy is None else _judge(keep_accuracy)
    interface = interface_of(takes, images)
    if interface:
        rule = dataset.image_rule
        taken = replace(interface.preprocessing, fit=images.fit or rule.fit, background=rule.background)
        interface = replace(interface, preprocessing=taken)
    manifest = export_model(model, dataset, config, interface, out, modules, judge, say)
    folder = model.parent if read_model(model).manifest else out or Path("artifacts") / model.stem
    emit(to_table(manifest, folder, config.files()), manifest, json)


def diagnose(
    file: ModelPath,
    float_file: Annotated[
        Path | None, typer.Option("--float", metavar="FILE", help="Its float32 file. Default: float32 beside it.")
    ] = None,
    count: Annotated[int, typer.Option(help="Test images to run.")] = 100,
    save: Annotated[Path | None, typer.Option(metavar="PNG", help="Also draw the layers.")] = None,
    images: ImageOptions = ImageOptions(),
    takes: InterfaceOptions = InterfaceOptions(),
    json: Json = None,
) -> None:
    """Say which layers of a quantised file lose most, beside its float32 file on the same images."""
    if save and save.suffix.lower() != ".png":
        raise ConfigError(f"{save} is not a .png name: --save writes PNG")
    if count < 1:
        raise ConfigError(f"--count must be at least 1, got {count}")
    check_writable(save, json_file(json))
    beside = float_file or file.parent / f"float32{file.suffix}"
    if file.suffix.lower() == ".keras" or beside.suffix.lower() != file.suffix.lower():
        raise ConfigError(f"{file} and {beside} are not two .tflite or two .onnx files: name a quantised one and its float32")
    quantized, float32 = read_model(file), read_model(beside)
    classifier = load(beside, 1, ModelOptions(), takes, images)
    test = test_images(beside, classifier, images.data, images.folder())
    # From end to end: a folder's images come class by class.
    chosen = np.linspace(0, len(test.labels) - 1, min(count, len(test.labels))).astype(np.int64)
    inputs = classifier.inputs(test.images(chosen))
    say("comparing, layer by layer")
    found = diagnose_files(float32.data, quantized.data, quantized.format, inputs)
    if save:
        save_diagnosis(save, found, f"{file} beside {beside.name}")
    emit(diagnosis_table(found, str(file), beside.name), found, json)


def _training_images(model: Path, images: ImageOptions, takes: InterfaceOptions, trust: tuple[str, ...]) -> Dataset:
    found = read_model(model)
    if found.manifest:
        record = found.manifest.dataset
        source = recorded_source(record, images.data, images.folder())
        return load_dataset(*source, recorded_model(record, found.manifest.class_names))
    if images.data is None:
        raise ConfigError(f"{model} does not say what it was trained on: name its images with --data")
    runtime = opener(found.format, ModelOptions(list(trust))).open_file(found, 1)
    classifier = Classifier(found, runtime, interface_of(takes, images))
    return load_dataset(images.data, images.folder(), model_images(classifier))


def _judge(points: float) -> Judge:
    if not 0 < points <= 100:
        raise ConfigError(f"--keep-accuracy must be percentage points above 0, as 0.5, got {points:g}")

    def passes(candidate: Floats, reference: Floats, labels: Labels) -> bool:
        return 100 * compare(candidate, reference, labels).drop.high <= points

    return Judge(passes, points, _slowdown)


def _slowdown(model_format: str, plain: bytes, mended: bytes) -> float:
    """Return the second file's median time over the first's, on random inputs, as `edgecnn bench` measures it."""
    with tempfile.TemporaryDirectory() as name:
        files = [Path(name) / f"{role}.{model_format}" for role in ("plain", "mended")]
        for path, data in zip(files, (plain, mended), strict=True):
            path.write_bytes(data)
        options = Options(formats=(model_format,), plan=Plan(0.2, 200, 3), percents=(50.0,))
        lineup = file_lineup([BareFile(path, opener(model_format, ModelOptions())) for path in files], options)
        report = benchmark(lineup, options, Budgets(Budget(max_drop_points=None), {}), Policy(), "edgecnn export", {})
    first, second = (file.latency.percentiles[0].value_ns for file in report.files)
    return cast(float, second) / cast(float, first)  # 600 runs support a median.
