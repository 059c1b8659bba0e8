"""Commands on results of `edgecnn bench`, and on the noise of a machine."""

from pathlib import Path
from typing import Annotated

import typer

import edgecnn as ec
from edgecnn.cli.console import check_writable, emit, json_file, say, write_text
from edgecnn.cli.options import DEFAULT_MODEL, Allow, ImageOptions, Json, ModelPath, Threads, Trust, Verbose
from edgecnn.cli.progress import shown

_RESULT = "JSON file written by edgecnn bench --json; boards.json/pi4 is one board of several."

MORE = "Another result of the {} side; repeatable. This measures the variation between benchmarks."


def compare(
    old: Annotated[Path, typer.Argument(metavar="OLD", help=_RESULT, show_default=False)],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The same, of the new side.", show_default=False)],
    more_old: Annotated[list[Path] | None, typer.Option("--old", metavar="RESULT", help=MORE.format("old"))] = None,
    more_new: Annotated[list[Path] | None, typer.Option("--new", metavar="RESULT", help=MORE.format("new"))] = None,
    floor: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON file written by edgecnn selftest --json on this machine.")
    ] = None,
    max_slowdown: Annotated[
        float | None, typer.Option(metavar="PERCENT", help="Largest slowdown in percent; beyond it the exit code is 3.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Compare results from different machines, inputs or files anyway.")
    ] = False,
    allow: Allow = None,
    json: Json = None,
    verbose: Verbose = False,
) -> None:
    """Compare results of `edgecnn bench --json`: which files became faster or slower.

    The exit code is 3 if a file is, or may be, too slow for --max-slowdown, and 7 if the times are too noisy to judge.
    """
    then, now = [old, *(more_old or ())], [new, *(more_new or ())]
    check_writable(json_file(json), inputs=(*then, *now, *([floor] if floor else [])))
    result = ec.compare(then, now, floor=floor, max_slowdown_percent=max_slowdown, force=force, allow=allow or ())
    emit(result, json, verbose=verbose)
    if result.refused:
        raise ec.InvalidMeasurement("the results are too noisy to judge: measure again, or --allow NAME")
    if result.slower:
        slower = [f"{change.name} ({change.slowdown})" for change in result.slower]
        raise ec.GateFailed(f"not shown to be within {max_slowdown:g} % of the old time: {', '.join(slower)}")


def selftest(
    file: ModelPath = DEFAULT_MODEL.parent / "int8.tflite",
    trials: Annotated[int, typer.Option(help="Number of comparisons of the file with itself.")] = 20,
    launches: Annotated[int, typer.Option(help="Number of processes on each side of a comparison.")] = 5,
    min_seconds: Annotated[float, typer.Option(help="Minimum duration of the timed runs of each side, in seconds.")] = 0.2,
    min_runs: Annotated[int, typer.Option(help="Minimum number of timed runs of each side.")] = 200,
    images: ImageOptions = ImageOptions(),
    trust: Trust = None,
    threads: Threads = 1,
    json: Json = None,
) -> None:
    """Compare a file with itself: this machine's noise floor, and whether the intervals hold on it."""
    check_writable(json_file(json))
    plan = ec.Plan(min_seconds, min_runs, launches)
    with shown(measuring=True) as progress:
        result = ec.selftest(
            file, trials=trials, plan=plan, **images.arguments(), trust=trust or (), threads=threads, progress=progress
        )
    emit(result, json)
    if not result.holds:
        raise ec.InvalidMeasurement("comparisons on this machine must not be trusted: stop other work, or use another machine")


def report(
    result: Annotated[Path, typer.Argument(metavar="RESULT", help=_RESULT, show_default=False)],
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write one HTML page with pictures.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the tables as Markdown.")] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a CSV file with a row for each file.")] = None,
    images: ImageOptions = ImageOptions(),
    verbose: Verbose = False,
) -> None:
    """Show a result of `edgecnn bench --json` again, or write it as a page, Markdown or CSV.

    Several boards' results are shown side by side; a page, Markdown and CSV are of one board.
    """
    check_writable(html, markdown, csv, inputs=(result,))
    if not (html or markdown or csv):
        emit(ec.read_results(result), None, verbose=verbose)
        return
    measured = ec.read_report(result)
    if html:
        measured.to_html(html, **images.arguments(), on_text=say)
    if markdown:
        write_text(markdown, measured.to_markdown())
    if csv:
        write_text(csv, measured.to_csv())
    for output in (html, markdown, csv):
        if output:
            say(f"wrote {output}")
