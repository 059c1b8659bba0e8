"""What is done with results of `edgecnn bench`, and with a machine that measures."""

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.compare import compare_reports
from benchmarks.compare_text import comparison_text, selftest_text
from benchmarks.gate import FAIL, UNDECIDED, Policy
from benchmarks.html import to_html
from benchmarks.latency import Plan
from benchmarks.lineup import candidate_of
from benchmarks.progress import bench_progress
from benchmarks.read import read_report
from benchmarks.report import to_text
from benchmarks.selftest import selftest as run_selftest
from commands.allow import Allow
from commands.bench import PLAN, write_tables
from commands.models import opener
from commands.options import DEFAULT_MODEL, ImageOptions, Json, ModelOptions, ModelPath, Threads
from convert.own_images import images_at_hand, recorded_images
from edge.console import check_writable, emit, json_file, print_text, say
from edge.errors import ConfigError, GateFailed, InvalidMeasurement
from edge.files import write_bytes
from edge.model_file import read_model

ResultFile = Annotated[Path, typer.Argument(metavar="RESULT", help="What edgecnn bench --json wrote.", show_default=False)]


def compare(
    old: ResultFile,
    new: ResultFile,
    max_slowdown: Annotated[float | None, typer.Option(metavar="PERCENT", help="Slower by more is exit code 3.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Compare results of unlike machines or inputs all the same.")] = False,
    allow: Allow = None,
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


def selftest(
    file: ModelPath = DEFAULT_MODEL.parent / "int8.tflite",
    trials: Annotated[int, typer.Option(help="Comparisons of the file with itself.")] = 20,
    launches: Annotated[int, typer.Option(help="Processes on each side of a comparison.")] = PLAN.launches,
    min_seconds: Annotated[float, typer.Option(help="Timed runs of each side take at least so long.")] = 0.2,
    min_runs: Annotated[int, typer.Option(help="At least so many timed runs of each side.")] = 200,
    images: ImageOptions = ImageOptions(),
    model: ModelOptions = ModelOptions(),
    threads: Threads = 1,
    json: Json = None,
) -> None:
    """Measure a file against itself: this machine's noise floor, and whether the intervals hold on it."""
    check_writable(json_file(json))
    found = read_model(file)
    if found.manifest is None:
        raise ConfigError(f"{file}: {found.unverified}: selftest needs a file that edgecnn exported")
    manifest = found.manifest
    test = recorded_images(manifest.dataset, images.data, manifest.class_names, images.folder())
    candidate = candidate_of(file, manifest, opener(found.format, model), threads, test)
    with bench_progress() as on_progress:
        result = run_selftest(candidate, Plan(min_seconds, min_runs, launches), trials, on_progress)
    emit(selftest_text(result), result, json)
    if not result.holds:
        raise InvalidMeasurement("comparisons on this machine must not be trusted: stop other work, or use another machine")


def report(
    result: ResultFile,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write one page with pictures.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the tables as Markdown.")] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a row for each file.")] = None,
    images: ImageOptions = ImageOptions(),
) -> None:
    """Show a result of `edgecnn bench --json` again, or write it as a page, Markdown or CSV."""
    check_writable(html, markdown, csv, inputs=(result,))
    measured = read_report(result)
    if html:
        shown = None
        if measured.dataset:
            shown = images_at_hand(measured.dataset, images.data, measured.class_names, say, images.folder())
        write_bytes(html, to_html(measured, shown).encode())
    write_tables(measured, markdown, csv)
    for output in (html, markdown, csv):
        if output:
            say(f"wrote {output}")
    if not (html or markdown or csv):
        print_text(to_text(measured))
