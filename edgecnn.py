"""The command line: a thin function for each command, and `main`, the only place that decides an exit code."""

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.evaluation import evaluate as evaluate_file
from benchmarks.gate import PASS, Budget
from benchmarks.latency import Plan
from benchmarks.report import to_table
from benchmarks.run import benchmark
from convert import train as training
from convert.dataset import Split, load_dataset, load_split, recorded_folder, require_recorded
from convert.export import ExportConfig
from convert.export import export as export_model
from convert.export_table import to_table as export_table
from convert.figure import save_figure
from convert.keras_runtime import OPENER as KERAS
from convert.train_records import TrainConfig
from edge.classifier import Classifier
from edge.errors import ConfigError, EdgeCnnError, GateFailed, MissingDependency
from edge.files import make_folder, write_bytes
from edge.images import read_image, to_text
from edge.manifest import FORMATS, Manifest
from edge.model_file import read_model
from edge.records import to_json
from edge.runtimes import Opener, opener_for

MODEL = Path("artifacts/mnist/model.keras")

app = typer.Typer(
    name="edgecnn",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Json = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Also write the result as JSON; - prints it instead of the text.")
]
Data = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="A folder of IDX files. Default: the model's own images, or MNIST.")
]
Threads = Annotated[int, typer.Option(help="Threads of the runtime.")]
ModelFile = Annotated[Path, typer.Argument(metavar="FILE", help="A .keras, .tflite or .onnx file.", show_default=False)]
DEFAULTS = TrainConfig()
_INTERRUPTED = 130  # What typer makes of a KeyboardInterrupt.


def _show_version(wanted: bool) -> None:
    if wanted:
        _print(f"edgecnn {version('edgecnn')}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Take a Keras image classifier to a small device and prove that it still works there."""


@app.command(epilog="Example: edgecnn train --epochs 5 --seed 1")
def train(
    data: Data = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Default: artifacts/ and the images' name.")] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the training images.")] = DEFAULTS.epochs,
    batch_size: Annotated[int, typer.Option(help="Images a step.")] = DEFAULTS.batch_size,
    learning_rate: Annotated[float, typer.Option(help="Of Adam.")] = DEFAULTS.learning_rate,
    dropout: Annotated[float, typer.Option(help="Share of features dropped before the last layer.")] = DEFAULTS.dropout,
    seed: Annotated[int, typer.Option(help="Of the weights, the order of images and the dropout.")] = DEFAULTS.seed,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after the last finished epoch.")] = False,
    json: Json = None,
) -> None:
    """Train the CNN and measure it on the test images."""
    config = TrainConfig(epochs, batch_size, learning_rate, dropout, seed)
    _check_writable(json)
    dataset = load_dataset(data)
    folder = out or Path("artifacts") / dataset.name
    _say(dataset.describe())
    with _training_progress() as on_batch:
        result = training.train(dataset, config, folder, resume, _say, on_batch)
    path = folder / result.model_path
    text = (
        f"{path}: accuracy {result.test_accuracy:.4f}, loss {result.test_loss:.4f} on {result.test_images:,} test images\n"
        f"{result.parameters:,} parameters ({result.trainable_parameters:,} trainable), {len(result.history)} epochs in "
        f"{result.seconds:.0f} s, seed {config.seed}\n"
        f"Watch: tensorboard --logdir {folder / 'logs'}    Next: edgecnn export {path}"
    )
    _emit(text, result, json)
    if result.interrupted:
        _say(
            f"Interrupted: {path} holds epoch {result.epoch} of {epochs}, the finished one of lowest training loss. "
            "Go on with the same command and --resume."
        )
        raise KeyboardInterrupt


@app.command(epilog="Example: edgecnn evaluate artifacts/mnist/int8.tflite")
def evaluate(file: ModelFile, data: Data = None, threads: Threads = 1, json: Json = None) -> None:
    """Print a file's accuracy and loss on the test images."""
    _say(f"{file}: loading")
    classifier = _load(file, threads)
    test = _test_images(file, classifier, data)
    result = evaluate_file(str(file), classifier, test.images, test.labels)
    text = (
        f"{file}: accuracy {result.accuracy:.4f} ({result.correct:,} of {result.images:,} test images), "
        f"loss {result.loss:.4f}, {result.runtime}"
    )
    if classifier.manifest and test.sha256 != classifier.manifest.dataset.test_sha256:
        text += f"\nnot the model's own test images ({classifier.manifest.dataset.name}), but those of {data}"
    _emit(text + _unverified(classifier), result, json)


@dataclass(frozen=True)
class PredictedImage:
    """One image of `edgecnn predict`: its name, true label if known, predicted label, and probability by label."""

    image: str
    label: str | None
    predicted: str
    probabilities: dict[str, float]


@dataclass(frozen=True)
class Predicted:
    """All of them, and what ran."""

    file: str
    runtime: str
    unverified: str | None
    images: tuple[PredictedImage, ...]


@app.command(epilog="Example: edgecnn predict artifacts/mnist/int8.tflite --index 47 --save digit.png")
def predict(
    file: ModelFile,
    images: Annotated[list[Path] | None, typer.Argument(metavar="[IMAGE]...", help="PNG or JPEG files.")] = None,
    index: Annotated[list[int] | None, typer.Option(help="A test image, from 0; may be repeated.")] = None,
    save: Annotated[Path | None, typer.Option(metavar="PNG", help="Also draw the images with their labels.")] = None,
    data: Data = None,
    threads: Threads = 1,
    json: Json = None,
) -> None:
    """Classify test images or image files, and show them."""
    if not images and not index:
        raise ConfigError("nothing to predict: name image files, or test images with --index 47")
    if save and save.suffix.lower() != ".png":
        raise ConfigError(f"{save} is not a .png name: --save writes PNG")
    _check_writable(save)
    _check_writable(json)
    _say(f"{file}: loading")
    classifier = _load(file, threads)
    chosen: list[tuple[str, str | None, Any]] = []
    if index:
        test = _test_images(file, classifier, data)
        for number in index:
            if not 0 <= number < len(test.labels):
                raise ConfigError(f"--index {number} is out of range: the test images are 0 to {len(test.labels) - 1}")
            label = int(test.labels[number])
            name = classifier.class_names[label] if label < len(classifier.class_names) else str(label)
            chosen.append((f"test image {number}", name, test.images[number]))
    for path in images or ():
        chosen.append((str(path), None, read_image(path, classifier.shape, classifier.preprocessing)))
    pixels = np.stack([image for _, _, image in chosen])
    prediction = classifier.predict(pixels)
    predicted = tuple(
        PredictedImage(name, label, prediction.labels[i], dict(zip(classifier.class_names, map(float, row), strict=True)))
        for i, ((name, label, _), row) in enumerate(zip(chosen, prediction.probabilities, strict=True))
    )
    if save:
        save_figure(save, pixels, [f"{Path(item.image).name}\n{_labels(item)}" for item in predicted])
    blocks = [
        f"{to_text(image)}\n\n{item.image}: {_labels(item)}\n{_bars(item)}"
        for image, item in zip(pixels, predicted, strict=True)
    ]
    text = "\n\n".join(blocks) + f"\n\n{file}, {prediction.runtime}{_unverified(classifier)}"
    _emit(text, Predicted(str(file), prediction.runtime, classifier.unverified, predicted), json)


@app.command(epilog="Example: edgecnn export --quantize int8")
def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A .keras file that edgecnn trained.")] = MODEL,
    formats: Annotated[
        list[str] | None, typer.Option("--format", help="tflite or onnx; may be repeated. Default: both.")
    ] = None,
    quantize: Annotated[
        list[str] | None,
        typer.Option(help="float32, float16, dynamic, int8 or int16x8; may be repeated. Default: float32 and int8."),
    ] = None,
    data: Data = None,
    json: Json = None,
) -> None:
    """Write TFLite and ONNX files beside the model, each compared with Keras. float32 is always among them."""
    _check_writable(json)
    default = ExportConfig()
    config = ExportConfig(tuple(formats or default.formats), tuple(quantize or default.precisions))
    manifest = read_model(model).manifest
    dataset = load_dataset(recorded_folder(manifest.dataset if manifest else None, data))
    manifest = export_model(model, dataset, config, _say)
    _emit(export_table(manifest, model.parent, config.files()), manifest, json)


@app.command(epilog="Example: edgecnn bench --runtime onnx --max-drop 0.5")
def bench(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder with a manifest.")] = MODEL.parent,
    runtime: Annotated[
        list[str] | None, typer.Option(help="keras, tflite or onnx; may be repeated. Default: all that have a file.")
    ] = None,
    threads: Threads = 1,
    max_drop: Annotated[float, typer.Option(help="Percentage points that a file may lose against Keras.")] = 0.5,
    data: Data = None,
    json: Json = None,
) -> None:
    """Measure every file, and judge it against the float Keras model. Exit code 3 if one is outside the budget."""
    for name in runtime or ():
        if name not in FORMATS:
            raise ConfigError(f"--runtime {name} is unknown: use {', '.join(FORMATS)}")
    budget = Budget(max_drop)
    manifest = Manifest.load(folder)
    test = load_split(recorded_folder(manifest.dataset, data), "test")
    require_recorded(manifest.dataset, test)
    present = {artifact.format for artifact in manifest.artifacts}
    formats = tuple(name for name in FORMATS if name in (runtime or present))
    if not runtime and "keras" in formats and find_spec("tensorflow") is None:
        others = " ".join(f"--runtime {name}" for name in formats if name != "keras")
        raise MissingDependency(f"TensorFlow, for model.keras, is not installed: measure the others with {others}")
    _check_writable(json)
    openers = {name: _opener(name) for name in formats}
    report = benchmark(folder, formats, openers, test.images, test.labels, threads, Plan(), budget, _say)
    _emit(to_table(report), report, json)
    if report.verdict.status != PASS:
        failed = sum(file.verdict.status != PASS for file in report.files)
        raise GateFailed(f"{failed} of {len(report.files)} files are outside the budget: see the reasons above, or --max-drop")


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code. An exception that is nobody's mistake but ours keeps its traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # A terminal without block characters gets question marks.
    try:
        code = app(args=arguments, standalone_mode=False)
    except EdgeCnnError as error:
        _say(f"edgecnn: {error}")
        return error.exit_code
    except typer.TyperException as error:
        if error.format_message():  # Empty where typer has shown the help instead.
            _say(f"edgecnn: {error.format_message()} (see edgecnn --help)")
        return ConfigError.exit_code
    if code == _INTERRUPTED:
        _say("edgecnn: interrupted")
    return code if isinstance(code, int) else 0


def run() -> None:
    """Be the console script."""
    sys.exit(main())


def _opener(model_format: str) -> Opener:
    return KERAS if model_format == "keras" else opener_for(model_format)


def _load(file: Path, threads: int) -> Classifier:
    return Classifier.load(file, threads, KERAS if file.suffix.lower() == ".keras" else None)


def _test_images(file: Path, classifier: Classifier, data: Path | None) -> Split:
    """Load the model's own test images, or those of `data`, and check that the model takes them."""
    record = classifier.manifest.dataset if classifier.manifest else None
    test = load_split(recorded_folder(record, data), "test")
    if record and not data:
        require_recorded(record, test)
    if test.images.shape[1:] != classifier.shape:
        raise ConfigError(
            f"{file} takes images of {classifier.shape}, these are {test.images.shape[1:]}: name others with --data"
        )
    return test


def _unverified(classifier: Classifier) -> str:
    if classifier.unverified is None:
        return ""
    return f"\nunverified: {classifier.unverified}; pixels are taken as {classifier.preprocessing.scale:.6f} * value"


def _labels(item: PredictedImage) -> str:
    known = f"label {item.label}, " if item.label is not None else ""
    return f"{known}predicted {item.predicted} ({item.probabilities[item.predicted]:.1%})"


def _bars(item: PredictedImage) -> str:
    rows = sorted(item.probabilities.items(), key=lambda pair: -pair[1])[:10]
    wide = max(len(label) for label, _ in rows)
    return "\n".join(f"  {label:>{wide}}  {value:7.2%}  {'█' * round(30 * value)}".rstrip() for label, value in rows)


def _check_writable(path: Path | None) -> None:
    """Refuse an output file that can't be written before the work that it is for."""
    if path is None or str(path) == "-":
        return
    if path.is_dir():
        raise ConfigError(f"{path} is a folder: name a file")
    make_folder(path.parent)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _emit(text: str, record: Any, json: Path | None) -> None:
    if json is not None and str(json) == "-":
        _print(to_json(record).rstrip("\n"))
        return
    _print(text)
    if json is not None:
        write_bytes(json, to_json(record).encode())


def _print(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:
        sys.stdout = None  # Whoever read it has enough; Python must not flush it again.
    except OSError as error:
        sys.stdout = None
        raise ConfigError(f"standard output can't be written ({error.strerror}): send it elsewhere") from error


@contextmanager
def _training_progress() -> Iterator[Callable[[training.TrainState], None]]:
    """Show a bar while an epoch runs, and leave a line for each finished one."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting TensorFlow", total=None)

        def show(state: training.TrainState) -> None:
            epoch = f"epoch {state.epoch}/{state.epochs}"
            figures = f"loss {state.loss:.4f}  accuracy {state.accuracy:.4f}"
            progress.update(task, description=f"{epoch}  {figures}", total=state.batches, completed=state.batch)
            if state.batch == state.batches:
                progress.console.print(f"{epoch}  {figures}  {state.seconds:.1f} s", highlight=False)

        yield show


if __name__ == "__main__":
    run()
