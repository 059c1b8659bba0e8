"""The command line: a thin function for each command, and `main`, the only place that decides an exit code."""

import io
import shlex
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.budgets import load_budgets
from benchmarks.compare import compare_reports
from benchmarks.compare_text import comparison_text, selftest_text
from benchmarks.duration import seconds
from benchmarks.evaluation import evaluate as evaluate_file
from benchmarks.gate import FAIL, INVALID, PASS, UNDECIDED, Policy
from benchmarks.html import to_html
from benchmarks.latency import Plan
from benchmarks.noise import NAMES
from benchmarks.options import Options, thread_counts
from benchmarks.progress import bench_progress
from benchmarks.read import read_report
from benchmarks.report import to_csv, to_markdown
from benchmarks.report import to_text as report_text
from benchmarks.results import Report
from benchmarks.run import benchmark, candidate_of
from benchmarks.selftest import selftest as run_selftest
from convert import train as training
from convert.dataset import load_dataset, recorded_folder
from convert.export import ExportConfig
from convert.export import export as export_model
from convert.export_table import to_table as export_table
from convert.figure import save_figure
from convert.keras_runtime import OPENER as KERAS
from convert.own_images import images_at_hand, recorded_images, test_images
from convert.progress import training_progress
from convert.train_records import TrainConfig
from convert.versions import versions
from edge.classifier import Classifier
from edge.console import check_writable, emit, json_file, print_text, say
from edge.errors import ConfigError, EdgeCnnError, GateFailed, InvalidMeasurement
from edge.files import write_bytes
from edge.images import read_image
from edge.manifest import FORMATS, Manifest
from edge.model_file import read_model
from edge.predicted import labels, predict_images, predicted_text
from edge.runtimes import Opener, is_installed, opener_for

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
ResultFile = Annotated[Path, typer.Argument(metavar="RESULT", help="What edgecnn bench --json wrote.", show_default=False)]
ModelFile = Annotated[Path, typer.Argument(metavar="FILE", help="A .keras, .tflite or .onnx file.", show_default=False)]
DEFAULTS = TrainConfig()
PLAN = Plan()
ALLOW_HELP = f"Judge in spite of this noise ({', '.join(NAMES)}; noise for all); may be repeated."
_INTERRUPTED = 130  # What typer makes of a KeyboardInterrupt.


def _show_version(wanted: bool) -> None:
    if wanted:
        print_text(f"edgecnn {version('edgecnn')}")
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
    check_writable(json_file(json))
    dataset = load_dataset(data)
    folder = out or Path("artifacts") / dataset.name
    say(dataset.describe())
    with training_progress() as on_batch:
        result = training.train(dataset, config, folder, resume, say, on_batch)
    path = folder / result.model_path
    text = (
        f"{path}: accuracy {result.test_accuracy:.4f}, loss {result.test_loss:.4f} on {result.test_images:,} test images\n"
        f"{result.parameters:,} parameters ({result.trainable_parameters:,} trainable), {len(result.history)} epochs in "
        f"{result.seconds:.0f} s, seed {config.seed}\n"
        f"Watch: tensorboard --logdir {folder / 'logs'}    Next: edgecnn export {path}"
    )
    emit(text, result, json)
    if result.interrupted:
        say(
            f"Interrupted: {path} holds epoch {result.epoch} of {epochs}, the finished one of lowest training loss. "
            "Go on with the same command and --resume."
        )
        raise KeyboardInterrupt


@app.command(epilog="Example: edgecnn evaluate artifacts/mnist/int8.tflite")
def evaluate(file: ModelFile, data: Data = None, threads: Threads = 1, json: Json = None) -> None:
    """Print a file's accuracy and loss on the test images."""
    say(f"{file}: loading")
    classifier = _load(file, threads)
    test = test_images(file, classifier, data)
    result = evaluate_file(str(file), classifier, test.images, test.labels)
    text = (
        f"{file}: accuracy {result.accuracy:.4f} ({result.correct:,} of {result.images:,} test images), "
        f"loss {result.loss:.4f}, {result.runtime}"
    )
    if classifier.manifest and test.sha256 != classifier.manifest.dataset.test_sha256:
        text += f"\nnot the model's own test images ({classifier.manifest.dataset.name}), but those of {data}"
    emit(text + _unverified(classifier), result, json)


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
    check_writable(save, json_file(json))
    say(f"{file}: loading")
    classifier = _load(file, threads)
    chosen: list[tuple[str, str | None, Any]] = []
    if index:
        test = test_images(file, classifier, data)
        for number in index:
            if not 0 <= number < len(test.labels):
                raise ConfigError(f"--index {number} is out of range: the test images are 0 to {len(test.labels) - 1}")
            label = int(test.labels[number])
            name = classifier.class_names[label] if label < len(classifier.class_names) else str(label)
            chosen.append((f"test image {number}", name, test.images[number]))
    for path in images or ():
        chosen.append((str(path), None, read_image(path, classifier.shape, classifier.preprocessing)))
    predicted = predict_images(file, classifier, chosen)
    pixels = [image for _, _, image in chosen]
    if save:
        save_figure(save, np.stack(pixels), [f"{Path(item.image).name}\n{labels(item)}" for item in predicted.images])
    emit(predicted_text(predicted, pixels) + _unverified(classifier), predicted, json)


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
    check_writable(json_file(json))
    default = ExportConfig()
    config = ExportConfig(tuple(formats or default.formats), tuple(quantize or default.precisions))
    manifest = read_model(model).manifest
    dataset = load_dataset(recorded_folder(manifest.dataset if manifest else None, data))
    manifest = export_model(model, dataset, config, say)
    emit(export_table(manifest, model.parent, config.files()), manifest, json)


@app.command(epilog="Example: edgecnn bench --runtime onnx --max-drop 0.5 --max-p90-ms 5")
def bench(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder with a manifest.")] = MODEL.parent,
    runtime: Annotated[
        list[str] | None, typer.Option(help="keras, tflite or onnx; may be repeated. Default: all that have a file.")
    ] = None,
    threads: Annotated[str, typer.Option(metavar="N,N...", help="Threads of the runtime; several are a sweep.")] = "1",
    min_seconds: Annotated[float, typer.Option(help="Timed runs of each file take at least so long.")] = PLAN.min_seconds,
    min_runs: Annotated[int, typer.Option(help="At least so many timed runs of each file.")] = PLAN.min_runs,
    launches: Annotated[int, typer.Option(help="Processes that open each file, one after another.")] = PLAN.launches,
    percentile: Annotated[list[float] | None, typer.Option(help="One more, in percent; may be repeated.")] = None,
    batch: Annotated[int | None, typer.Option(metavar="N", help="Also measure the throughput of batches of N.")] = None,
    rate: Annotated[float | None, typer.Option(metavar="N", help="Also run N images a second, and count the late.")] = None,
    sustained: Annotated[str, typer.Option(metavar="TIME", help="Also run each file so long at a stretch, as 10m.")] = "0",
    profile: Annotated[bool, typer.Option("--profile", help="Also ask the runtimes for the time of each op.")] = False,
    budget: Annotated[Path | None, typer.Option(metavar="TOML", help="A file with limits; options go before it.")] = None,
    max_drop: Annotated[
        float | None, typer.Option(help="Percentage points that a file may lose against Keras. Default: 0.5.")
    ] = None,
    min_agreement: Annotated[float | None, typer.Option(help="Percent of images with Keras's class.")] = None,
    max_p90_ms: Annotated[float | None, typer.Option(help="Milliseconds that nine of ten inferences may take.")] = None,
    max_size_kib: Annotated[float | None, typer.Option(help="Of an exported file.")] = None,
    max_memory_mib: Annotated[float | None, typer.Option(help="Peak of an exported file's process.")] = None,
    allow: Annotated[list[str] | None, typer.Option(metavar="NAME", help=ALLOW_HELP)] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Any unstable time makes the result INVALID.")] = False,
    data: Data = None,
    json: Json = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the tables as Markdown.")] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write a row for each file.")] = None,
) -> None:
    """Measure every file, and judge it against the float Keras model.

    Exit code 0 for PASS, 3 for FAIL and UNDECIDED, 7 for INVALID.
    """
    for name in runtime or ():
        if name not in FORMATS:
            raise ConfigError(f"--runtime {name} is unknown: use {', '.join(FORMATS)}")
    manifest = Manifest.load(folder)
    present = {artifact.format for artifact in manifest.artifacts}
    formats = tuple(name for name in FORMATS if name in (runtime or present) and (runtime or is_installed(name)))
    for name in formats or sorted(present):
        if not is_installed(name):
            _opener(name).import_library()  # Raises, with what to install.
    missing = () if runtime else tuple(sorted(present - {*formats}))
    notes = tuple(f"{name} files were not measured: their runtime is not installed." for name in missing)
    limits = {
        "max_drop_points": max_drop,
        "min_agreement_percent": min_agreement,
        "max_p90_ms": max_p90_ms,
        "max_size_kib": max_size_kib,
        "max_memory_mib": max_memory_mib,
    }
    budgets = load_budgets(budget, limits, tuple(artifact.path for artifact in manifest.artifacts))
    policy = Policy(tuple(allow or ()), strict)
    options = Options(
        formats=formats,
        threads=thread_counts(threads),
        plan=Plan(min_seconds, min_runs, launches),
        percents=tuple(sorted({*Options.percents, *(percentile or ())})),
        batch=batch,
        rate=rate,
        sustained_seconds=seconds(sustained),
        profile=profile,
    )
    test = recorded_images(manifest.dataset, data)
    check_writable(json_file(json), markdown, csv, inputs=(budget,) if budget else ())
    openers = {name: _opener(name) for name in formats}
    command, made_with = context.obj, versions("numpy")
    with bench_progress() as on_progress:
        report = benchmark(
            folder, options, budgets, policy, openers, test.images, test.labels, command, made_with, notes, on_progress
        )
    emit(report_text(report), report, json)
    _write(report, markdown, csv)
    if report.verdict.status == INVALID:
        raise InvalidMeasurement("the measurement must not be judged: see the reasons above")
    if report.verdict.status != PASS:
        outside = sum(file.verdict.status != PASS for file in report.files)
        raise GateFailed(f"{outside} of {len(report.files)} files are not within the budget: see the reasons above")


@app.command(epilog="Example: edgecnn compare old.json new.json --max-slowdown 5")
def compare(
    old: ResultFile,
    new: ResultFile,
    max_slowdown: Annotated[float | None, typer.Option(metavar="PERCENT", help="Slower by more is exit code 3.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Compare results of unlike machines or inputs all the same.")] = False,
    allow: Annotated[list[str] | None, typer.Option(metavar="NAME", help=ALLOW_HELP)] = None,
    json: Json = None,
) -> None:
    """Tell which files became faster or slower between two results of `edgecnn bench --json`.

    Exit code 3 where a file is slower by more than --max-slowdown, or may be; 7 where noise forbids to judge.
    """
    check_writable(json_file(json), inputs=(old, new))
    pair = tuple((str(path), read_report(path)) for path in (old, new))
    comparison = compare_reports(pair[0], pair[1], max_slowdown, force, Policy(tuple(allow or ())))
    emit(comparison_text(comparison), comparison, json)
    if comparison.refused:
        raise InvalidMeasurement("unstable results must not be judged: measure again, or --allow NAME")
    slower = [f"{change.name} ({change.slowdown})" for change in comparison.changes if change.slowdown in (FAIL, UNDECIDED)]
    if slower:
        raise GateFailed(f"not shown to be within {max_slowdown:g} % of the old time: {', '.join(slower)}")


@app.command("selftest", epilog="Example: edgecnn selftest artifacts/mnist/int8.tflite --trials 20")
def self_test(
    file: ModelFile = MODEL.parent / "int8.tflite",
    trials: Annotated[int, typer.Option(help="Comparisons of the file with itself.")] = 20,
    launches: Annotated[int, typer.Option(help="Processes on each side of a comparison.")] = PLAN.launches,
    min_seconds: Annotated[float, typer.Option(help="Timed runs of each side take at least so long.")] = 0.2,
    min_runs: Annotated[int, typer.Option(help="At least so many timed runs of each side.")] = 200,
    threads: Threads = 1,
    data: Data = None,
    json: Json = None,
) -> None:
    """Measure a file against itself: this machine's noise floor, and whether the intervals hold on it."""
    check_writable(json_file(json))
    model = read_model(file)
    if model.manifest is None:
        raise ConfigError(f"{file}: {model.unverified}: selftest needs a file that edgecnn exported")
    test = recorded_images(model.manifest.dataset, data)
    candidate = candidate_of(file, model.manifest, _opener(model.format), threads, test.images)
    with bench_progress() as on_progress:
        result = run_selftest(candidate, Plan(min_seconds, min_runs, launches), trials, on_progress)
    emit(selftest_text(result), result, json)
    if not result.holds:
        raise InvalidMeasurement("comparisons on this machine must not be trusted: stop other work, or use another machine")


@app.command(epilog="Example: edgecnn report result.json --html report.html")
def report(
    result: ResultFile,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write one page with pictures.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the tables as Markdown.")] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a row for each file.")] = None,
    data: Data = None,
) -> None:
    """Show a result of `edgecnn bench --json` again, or write it as a page, Markdown or CSV."""
    check_writable(html, markdown, csv, inputs=(result,))
    measured = read_report(result)
    if html:
        write_bytes(html, to_html(measured, images_at_hand(measured.dataset, data, say)).encode())
    _write(measured, markdown, csv)
    for output in (html, markdown, csv):
        if output:
            say(f"wrote {output}")
    if not (html or markdown or csv):
        print_text(report_text(measured))


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code. An exception that is nobody's mistake but ours keeps its traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # A terminal without block characters gets question marks.
    try:
        # The command as it was typed is what a report says to repeat.
        command = shlex.join(["edgecnn", *(sys.argv[1:] if arguments is None else arguments)])
        code = app(args=arguments, standalone_mode=False, obj=command)
    except EdgeCnnError as error:
        say(f"edgecnn: {error}")
        return error.exit_code
    except typer.TyperException as error:
        if error.format_message():  # Empty where typer has shown the help instead.
            context = getattr(error, "ctx", None)
            say(f"edgecnn: {error.format_message()} (see {context.command_path if context else 'edgecnn'} --help)")
        return ConfigError.exit_code
    if code == _INTERRUPTED:
        say("edgecnn: interrupted")
    return code if isinstance(code, int) else 0


def run() -> None:
    """Be the console script."""
    sys.exit(main())


def _write(report: Report, markdown: Path | None, csv: Path | None) -> None:
    if markdown:
        write_bytes(markdown, to_markdown(report).encode(errors="replace"))
    if csv:
        write_bytes(csv, to_csv(report).encode(errors="replace"))


def _opener(model_format: str) -> Opener:
    return KERAS if model_format == "keras" else opener_for(model_format)


def _load(file: Path, threads: int) -> Classifier:
    return Classifier.load(file, threads, KERAS if file.suffix.lower() == ".keras" else None)


def _unverified(classifier: Classifier) -> str:
    if classifier.unverified is None:
        return ""
    return f"\nunverified: {classifier.unverified}; pixels are taken as {classifier.preprocessing.scale:.6f} * value"


if __name__ == "__main__":
    run()
