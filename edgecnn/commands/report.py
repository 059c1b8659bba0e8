"""Show a result again, or write it as a page, Markdown or CSV.

Several boards' results are shown side by side; a page, Markdown and CSV are of one board.

Example: edgecnn report result.json --html report.html
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from edgecnn.benchmarks.measure.options import Preference
from edgecnn.commands.shared import RESULT, WISH, Data, Images
from edgecnn.edge.data.folder_options import NO_OPTIONS
from edgecnn.edge.errors import ConfigError
from edgecnn.edge.option import Option, checked
from edgecnn.shell.call import Call
from edgecnn.shell.console import Csv, Markdown, Verbose, emit, say, write_text

if TYPE_CHECKING:
    from edgecnn.benchmarks.results.records import DeviceResults, Report


@checked
def read_results(
    path: Annotated[str | Path, Option(RESULT, metavar="RESULT", argument=True)],
    *,
    prefer: Annotated[
        Preference | None,
        Option(WISH, metavar="accuracy|speed|size", default="what was asked for then"),
    ] = None,
) -> "Report | DeviceResults":
    """Read the JSON of a benchmark, as `read_report` does, or all results of a benchmark of several devices.

    Raises:
        ArtifactError: If it is missing, damaged, not a result, or has a layout unknown to this edgecnn.
        ConfigError: If it has several boards' results and not the named one.
    """
    from edgecnn.benchmarks.results.read import read_results as read_any
    from edgecnn.benchmarks.results.records import Report

    found = read_any(Path(path))
    if prefer is None:
        return found
    if isinstance(found, Report):
        return replace(found, prefer=prefer)
    devices = (replace(item, result=item.result and replace(item.result, prefer=prefer)) for item in found.devices)
    return replace(found, devices=tuple(devices))


def command(
    call: Call,
    *,
    html: Annotated[Path | None, Option("Write one HTML page with pictures.", writes=True)] = None,
    markdown: Markdown = None,
    csv: Csv = None,
    data: Data = None,
    images: Images = NO_OPTIONS,
    verbose: Verbose = False,
) -> None:
    """Print the result, or write it."""
    if not html and (data is not None or images != NO_OPTIONS):
        raise ConfigError("only --html shows images: add it, or omit what names them")
    if verbose and (html or markdown or csv):
        raise ConfigError("--verbose prints more in the terminal, where nothing is written: omit it")
    if not (html or markdown or csv):
        emit(call(), None, verbose=verbose)
        return
    from edgecnn.benchmarks.results.read import read_report

    given = call.arguments()
    measured = read_report(given["path"])
    measured = replace(measured, prefer=given.get("prefer", measured.prefer))
    if html:
        measured.to_html(html, data=data, images=images, on_text=say)
    if markdown:
        write_text(markdown, measured.to_markdown())
    if csv:
        write_text(csv, measured.to_csv())
    for output in (html, markdown, csv):
        if output:
            say(f"wrote {output}")
