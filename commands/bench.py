"""`edgecnn bench`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.budgets import load_budgets
from benchmarks.duration import seconds
from benchmarks.gate import INVALID, PASS, UNJUDGED, Policy
from benchmarks.latency import Plan
from benchmarks.launches import Progress
from benchmarks.lineup import BareFile, Lineup, file_lineup, folder_lineup
from benchmarks.options import Options, thread_counts
from benchmarks.progress import bench_progress
from benchmarks.report import to_csv, to_markdown
from benchmarks.report import to_text as report_text
from benchmarks.results import Report
from benchmarks.run import benchmark
from commands.allow import Allow
from commands.devices import bench_on_devices
from commands.models import interface_of, load, opener
from commands.options import DEFAULT_MODEL, ImageOptions, InterfaceOptions, Json, ModelOptions
from commands.targets import Target, opened
from convert.own_images import order_note, recorded_images, split_note, test_images, test_record
from convert.versions import versions
from edge.bundle import bundle_of
from edge.console import check_writable, emit, json_file
from edge.errors import ConfigError, GateFailed, InvalidMeasurement
from edge.files import write_bytes
from edge.manifest import FORMATS, Manifest
from edge.model_file import read_model
from edge.runtimes import is_installed

PLAN = Plan()


def bench(
    context: typer.Context,
    targets: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[DIR | ZIP | FILE...]", help="A folder with a manifest, a bundle, or files. Default: artifacts/mnist."
        ),
    ] = None,
    runtime: Annotated[
        list[str] | None, typer.Option(help="keras, tflite or onnx; may be repeated. Default: all that have a file.")
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Of model files: which one the others are compared with. Default: the first."),
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
        float | None, typer.Option(help="Percentage points that a file may lose against the reference. Default: 0.5.")
    ] = None,
    min_agreement: Annotated[float | None, typer.Option(help="Percent of images with the reference's class.")] = None,
    max_p90_ms: Annotated[float | None, typer.Option(help="Milliseconds that nine of ten inferences may take.")] = None,
    max_size_kib: Annotated[float | None, typer.Option(help="Of an exported file.")] = None,
    max_memory_mib: Annotated[float | None, typer.Option(help="Peak of an exported file's process.")] = None,
    allow: Allow = None,
    strict: Annotated[bool, typer.Option("--strict", help="Any unstable time makes the result INVALID.")] = False,
    images: ImageOptions = ImageOptions(),
    takes: InterfaceOptions = InterfaceOptions(),
    model: ModelOptions = ModelOptions(),
    json: Json = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the tables as Markdown.")] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write a row for each file.")] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST", help="Measure there, over ssh, and not here; may be repeated, for several side by side."),
    ] = None,
    install: Annotated[
        bool, typer.Option("--install", help="With --device: install edgecnn there, in a virtual environment of its own.")
    ] = False,
) -> None:
    """Measure files, and judge them against the float Keras model, or against the first of the files.

    Files without labelled images (--data) are measured on random inputs, for their latency alone.

    Exit code 0 for PASS and UNJUDGED, 3 for FAIL and UNDECIDED, 7 for INVALID; 1 if a --device gave no result.
    """
    targets = targets or [DEFAULT_MODEL.parent]
    limits = {
        "max_drop_points": max_drop,
        "min_agreement_percent": min_agreement,
        "max_p90_ms": max_p90_ms,
        "max_size_kib": max_size_kib,
        "max_memory_mib": max_memory_mib,
    }
    in_folder = not any(target.suffix.lower().lstrip(".") in FORMATS for target in targets)
    if in_folder and (len(targets) > 1 or reference):
        raise ConfigError("bench takes one folder, or model files with --reference: name them")
    for target in targets:
        if not in_folder and (bundle := bundle_of(target)):
            raise ConfigError(f"{target}: bench takes a whole bundle: edgecnn bench {bundle} --runtime {target.suffix[1:]}")
    if in_folder and (interface_of(takes, images) or model.signature):
        raise ConfigError(
            f"the manifest in {targets[0]} says how its files take pixels: leave --preprocess, --scale, --mean, --std, --bgr, "
            "--logits and --signature away"
        )
    check_writable(json_file(json), markdown, csv, inputs=(budget,) if budget else ())
    policy = Policy(tuple(allow or ()), strict)
    options = Options(
        formats=FORMATS,
        threads=thread_counts(threads),
        plan=Plan(min_seconds, min_runs, launches),
        percents=tuple(sorted({*Options.percents, *(percentile or ())})),
        batch=batch,
        rate=rate,
        sustained_seconds=seconds(sustained),
        profile=profile,
    )
    if install and not device:
        raise ConfigError("--install is for --device: name one, or install here with pip")
    if device:
        if not in_folder:
            raise ConfigError("--device takes a folder with a manifest, or a bundle: name one")
        with opened(targets[0], images.data) as where:
            load_budgets(budget, limits, tuple(artifact.path for artifact in Manifest.load(where.path).artifacts))
            bench_on_devices(context, where, device, install, runtime, budget, images, json)
        return
    with opened(targets[0], images.data) as where, bench_progress() as on_progress:
        formats, missing = _formats(where, runtime, model) if in_folder else (FORMATS, ())
        options = replace(options, formats=formats)
        if in_folder:
            manifest = Manifest.load(where.path)
            test = recorded_images(manifest.dataset, where.data, manifest.class_names, images.folder())
            openers = {name: opener(name, model) for name in formats}
            lineup = replace(folder_lineup(where.path, options, openers, test), folder=str(where.named))
            known = tuple(artifact.path for artifact in manifest.artifacts)
        else:
            lineup = _file_lineup(targets, reference, options, images, takes, model, on_progress)
            known = tuple(candidate.artifact.path for candidate in lineup.candidates)
        beside_reference = lineup.test is not None and {lineup.measured} != set(known)
        budgets = load_budgets(budget, limits, known, beside_reference)
        notes = [f"{name} files were not measured: their runtime is not installed." for name in missing]
        report = benchmark(lineup, options, budgets, policy, context.obj, versions("numpy"), notes, on_progress)
    emit(report_text(report), report, json)
    write_tables(report, markdown, csv)
    if report.verdict.status == INVALID:
        raise InvalidMeasurement("the measurement must not be judged: see the reasons above")
    if report.verdict.status not in (PASS, UNJUDGED):
        outside = sum(file.verdict.status not in (PASS, UNJUDGED) for file in report.files)
        raise GateFailed(f"{outside} of {len(report.files)} files are not within the budget: see the reasons above")


def write_tables(report: Report, markdown: Path | None, csv: Path | None) -> None:
    """Write a result as Markdown, CSV or both."""
    if markdown:
        write_bytes(markdown, to_markdown(report).encode(errors="replace"))
    if csv:
        write_bytes(csv, to_csv(report).encode(errors="replace"))


def _formats(where: Target, runtime: list[str] | None, model: ModelOptions) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the formats of a folder or bundle to measure, and those that can't be for want of a runtime."""
    for name in runtime or ():
        if name not in FORMATS:
            raise ConfigError(f"--runtime {name} is unknown: use {', '.join(FORMATS)}")
    present = {artifact.format for artifact in Manifest.load(where.path).artifacts}
    if where.bundle:
        if "keras" in (runtime or ()):
            raise ConfigError(f"{where.named} is a bundle, which holds no Keras model: leave --runtime keras away")
        present -= {"keras"}
    formats = tuple(name for name in FORMATS if name in (runtime or present) and (runtime or is_installed(name)))
    for name in formats or sorted(present):
        if not is_installed(name):
            opener(name, model).import_library()  # Raises, with what to install.
    return formats, () if runtime else tuple(sorted(present - {*formats}))


def _file_lineup(
    files: list[Path],
    reference: Path | None,
    options: Options,
    images: ImageOptions,
    takes: InterfaceOptions,
    model: ModelOptions,
    on_progress: Progress,
) -> Lineup:
    if reference and reference not in files:
        files = [reference, *files]
    first = files.index(reference) if reference else 0
    interface = interface_of(takes, images)
    bare = []
    for file in files:
        found = read_model(file)
        bare.append(BareFile(file, opener(found.format, model), None if found.manifest else interface, model.signature))
    if images.data is None and read_model(files[first]).manifest is None:
        if interface or reference:
            option = "--reference" if reference else "--preprocess"
            raise ConfigError(f"{option} is for labelled images: name them with --data, or leave it out for latency alone")
        return file_lineup(bare, options, on_progress=on_progress)
    classifier = load(files[first], 1, model, takes, images, files)
    test = test_images(files[first], classifier, images.data, images.folder())
    record = test_record(classifier, images.data, test, images.folder())
    lineup = file_lineup(bare, options, test, record, first, on_progress)
    if images.data is None:
        return lineup
    notes = (*split_note(record), *order_note(classifier, images.data, images.folder()))
    return replace(lineup, notes=(*lineup.notes, *notes))
