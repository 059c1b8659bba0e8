"""`edgecnn sweep`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.budgets import load_budgets
from benchmarks.gate import INVALID, Policy
from benchmarks.lineup import load_reference, models_lineup
from benchmarks.options import Options
from benchmarks.progress import bench_progress
from benchmarks.run import benchmark
from benchmarks.sweep import Network, sweep_of, sweep_text
from benchmarks.sweep_plot import save_sweep
from commands.allow import Allow
from commands.models import opener
from commands.options import ImageOptions, Json, ModelOptions, whole_numbers
from commands.train import DEFAULTS, run_training
from convert.checkpoint import begun, is_finished
from convert.dataset import Dataset, load_dataset
from convert.export import MODEL_NAME, ExportConfig, export
from convert.own_model import resolved
from convert.summary import summarize
from convert.train_records import TrainConfig
from convert.versions import versions
from edge.console import check_writable, emit, json_file, say
from edge.errors import ArtifactError, ConfigError, InvalidMeasurement
from edge.files import make_folder, write_bytes
from edge.interface import SCHEMES, Interface
from edge.manifest import Manifest
from edge.model_file import read_model
from edge.records import to_json


def sweep(
    context: typer.Context,
    filters: Annotated[list[str], typer.Option(metavar="N,N,N", help="Of the CNN's three stages; repeat it for each network.")],
    epochs: Annotated[int, typer.Option(help="Passes over the training images.")] = DEFAULTS.epochs,
    teacher: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A trained model: the networks learn from its answers too.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the weights, the order of images and the dropout.")] = DEFAULTS.seed,
    model_format: Annotated[str, typer.Option("--format", help="tflite or onnx.")] = "tflite",
    quantize: Annotated[str, typer.Option(help="float32, float16, dynamic, int8 or int16x8.")] = "int8",
    reach: Annotated[
        float | None, typer.Option(metavar="PERCENT", help="Also name the smallest file with so many images right.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="A folder for each network goes there.")] = Path("artifacts/sweep"),
    allow: Allow = None,
    images: ImageOptions = ImageOptions(),
    json: Json = None,
) -> None:
    """Train, export, measure and judge the CNN in several sizes: accuracy against time, size and multiply-accumulates.

    What is done already is not done again: the same command goes on where it was stopped. OUT/sweep.png is the picture,
    OUT/sweep.json the record, OUT/bench.json the measurement.
    """
    if reach is not None and not 0 < reach <= 100:
        raise ConfigError(f"--reach must be percent above 0, as 98.5, got {reach:g}")
    check_writable(json_file(json))
    policy = Policy(tuple(allow or ()))
    exporting = ExportConfig((model_format,), (quantize,))
    stages = [whole_numbers("--filters", text) for text in filters]
    if len(set(stages)) < len(stages):
        raise ConfigError("--filters names a network twice: name each once")
    taught = str(teacher) if teacher else None
    configs = [resolved(TrainConfig(epochs=epochs, filters=stage, seed=seed, teacher=taught)) for stage in stages]
    dataset = load_dataset(images.data, images.folder())
    make_folder(out)
    say(dataset.describe())
    name, networks = f"{quantize}.{model_format}", []
    for place, config in enumerate(configs):
        folder = out / "-".join(map(str, config.filters))
        said = f"{place + 1} of {len(configs)}, {','.join(map(str, config.filters))}"
        _train(dataset, config, folder, said)
        _export(dataset, exporting, folder, name, said)
        file = folder / name
        cost = summarize(str(file), read_model(file))
        parameters = summarize(MODEL_NAME, read_model(folder / MODEL_NAME)).parameters
        networks.append(Network(config.filters, f"{folder.name}/{name}", parameters, cost.macs))

    options = Options(formats=(model_format,))
    files = [network.file for network in networks]
    with bench_progress() as on_progress:
        lineup = models_lineup(out, files, options, {model_format: opener(model_format, ModelOptions())}, dataset.test)
        budgets = load_budgets(None, {}, tuple(files))
        report = benchmark(lineup, options, budgets, policy, context.obj, versions("numpy"), on_progress=on_progress)
    shared = {name: value for name, value in configs[0].settings().items() if name != "filters"}
    result = sweep_of(report, networks, None if reach is None else reach / 100, shared | {"file": name})
    write_bytes(out / "bench.json", to_json(report).encode())
    write_bytes(out / "sweep.json", to_json(result).encode())
    save_sweep(out / "sweep.png", result, name)
    emit(f"{sweep_text(result, report, name)}\nPicture: {out / 'sweep.png'}", result, json)
    if report.verdict.status == INVALID:
        raise InvalidMeasurement("the times must not be judged: see the reasons above")


def _train(dataset: Dataset, config: TrainConfig, folder: Path, said: str) -> None:
    rule = dataset.image_rule
    interface = Interface(replace(SCHEMES["unit"], fit=rule.fit, background=rule.background))
    started = begun(folder)
    if started:
        try:
            finished = is_finished(folder, config, dataset.record(), interface)
        except ConfigError as error:
            reason = str(error).removeprefix("--resume: ").split(": ")[0]
            raise ConfigError(f"{reason}: name another folder with --out, or delete this one") from error
        if finished:
            say(f"{said}: trained before")
            return
    say(f"{said}: training")
    if run_training(dataset, config, folder, interface, resume=started, on_text=_say_lines).interrupted:
        say("Interrupted: the same command goes on.")
        raise KeyboardInterrupt


def _export(dataset: Dataset, config: ExportConfig, folder: Path, name: str, said: str) -> None:
    try:
        read_model(folder / name)
        load_reference(folder, Manifest.load(folder))
    except ArtifactError:  # Not there yet, of an earlier model, or damaged.
        say(f"{said}: exporting {name}")
        export(folder / MODEL_NAME, dataset, config)
    else:
        say(f"{said}: exported before")


def _say_lines(text: str) -> None:
    if "\n" not in text:  # The summary of each network's layers would bury the rest.
        say(text)
