"""Compare two results: what became faster or slower.

The exit code is 3 if a file is, or may be, too slow for --max-slowdown, and 7 if the times are too noisy to judge.

Example: edgecnn compare old.json new.json --max-slowdown 5
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from edgecnn.benchmarks.measure.options import Allow
from edgecnn.commands.shared import RESULT
from edgecnn.edge.errors import ConfigError, GateFailed, InvalidMeasurement, field
from edgecnn.edge.option import Option, checked
from edgecnn.shell.call import Call
from edgecnn.shell.console import Json, Verbose, emit

if TYPE_CHECKING:
    from edgecnn.benchmarks.compare.compare import Comparison
    from edgecnn.benchmarks.results.records import Report

    Side = str | Path | Report | Sequence[str | Path | Report]


@checked
def compare(
    old: Annotated["Side", Option(RESULT, metavar="OLD", argument=True, kind=Path)],
    new: Annotated["Side", Option("The same, of the new side.", metavar="NEW", argument=True, kind=Path)],
    *,
    floor: Annotated[
        str | Path | None,
        Option("JSON file written by edgecnn selftest on this machine, for one result a side."),
    ] = None,
    max_slowdown_percent: Annotated[
        float | None,
        Option("Largest slowdown in percent.", name="--max-slowdown", metavar="PERCENT", low=0, high=1000, unit="percent"),
    ] = None,
    force: Annotated[bool, Option("Compare results from different machines, inputs or files anyway.")] = False,
    allow: Allow = (),
) -> "Comparison":
    """Find which files became faster or slower between the results of two sides.

    Each side is one result, as `edgecnn.bench` returns it or as a JSON file, or several, for intervals that hold between
    benchmarks. A file that is slower than the limit raises no exception: see `changes` and `refused` of the result.

    Raises:
        ArtifactError: If a file is missing, damaged or not a result.
        ConfigError: If the results are from different machines or inputs, share no file, or a limit is out of range or is for
            a file that the new side lacks.
    """
    from edgecnn.benchmarks.compare.compare import compare_reports
    from edgecnn.benchmarks.compare.selftest import read_floor
    from edgecnn.benchmarks.gate.gate import Policy

    then, now = _named(old, "old"), _named(new, "new")
    between = read_floor(Path(floor), [report for _, report in (*then, *now)]) if floor else None
    return compare_reports(then, now, max_slowdown_percent, force=force, policy=Policy(tuple(allow)), floor=between)


def _named(side: "Side", name: str) -> "list[tuple[str, Report]]":
    """Return each result with its name for messages."""
    from edgecnn.benchmarks.results.read import read_report
    from edgecnn.benchmarks.results.records import Report

    several = [side] if isinstance(side, (str, Path, Report)) else list(side)
    if not several:
        raise ConfigError(f"{field(name)} has no result: name one")
    return [
        (name if len(several) == 1 else f"{name} {place + 1}", item)
        if isinstance(item, Report)
        else (str(item), read_report(Path(item)))
        for place, item in enumerate(several)
    ]


_MORE = "Another result of the {} side. This measures the variation between benchmarks."


def command(
    call: Call,
    *,
    more_old: Annotated[Sequence[Path], Option(_MORE.format("old"), name="--old", metavar="RESULT")] = (),
    more_new: Annotated[Sequence[Path], Option(_MORE.format("new"), name="--new", metavar="RESULT")] = (),
    json: Json = None,
    verbose: Verbose = False,
) -> None:
    """Print what changed."""
    given = call.arguments()
    result = call(old=[given["old"], *more_old], new=[given["new"], *more_new])
    emit(result, json, verbose=verbose)
    if result.refused:
        raise InvalidMeasurement("the results are too noisy to judge: measure again, or --allow NAME")
    if result.slower:
        slower = [f"{change.name} ({change.slowdown})" for change in result.slower]
        limit = given["max_slowdown_percent"]
        raise GateFailed(f"not shown to be within {limit:g} % of the old time: {', '.join(slower)}")
