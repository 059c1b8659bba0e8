"""Report -> one HTML file that loads nothing and runs nothing."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import mistakes, plots
from benchmarks.accuracy import KERAS_REFERENCE, Accuracy
from benchmarks.gate import FAIL, INVALID, PASS, UNDECIDED, UNJUDGED
from benchmarks.host import State, throttle_reasons
from benchmarks.pareto import candidates, front
from benchmarks.picks import recommend
from benchmarks.report import remarks
from benchmarks.results import FileResult, Report
from benchmarks.tables import Grid, empty_call_ns, grids, near_resolution, unstable
from edge.errors import MissingDependency
from edge.splits import Split

if TYPE_CHECKING:
    import jinja2

SYMBOLS = {PASS: "✓", FAIL: "✗", INVALID: "!", UNDECIDED: "?", UNJUDGED: "–"}
_HEADLINES = {
    PASS: "Every limit is met.",
    FAIL: "At least one file is outside a limit.",
    INVALID: "Something that was to be judged could not be measured well enough.",
    UNDECIDED: "Too little was measured to say that every limit is met.",
    UNJUDGED: "Nothing was judged: set a limit, such as --max-p90-ms.",
}
_URGENT = (FAIL, INVALID, UNDECIDED, PASS)
_UNTOLD = "not told"


@dataclass(frozen=True)
class Mistakes:
    """A file's part of the page about errors; `benchmarks.mistakes` has the parts."""

    file: FileResult
    matrix: tuple[tuple[mistakes.Cell, ...], ...]
    confusions: tuple[mistakes.Confusion, ...]
    recalls: tuple[mistakes.Recall, ...]
    flips: tuple[mistakes.ShownFlip, ...]


def to_html(report: Report, test: Split | None) -> str:
    """Return the page: the verdict, three picks, the tables, figures, each file's mistakes, and how it was measured.

    The same report gives the same bytes. Every text of the report is escaped, and the page's own policy forbids
    scripts and requests to whatever browser opens it.

    Args:
        report: The result, as `read_report` has checked it.
        test: The test images, to show those that changed their class; None leaves tables.

    Raises:
        MissingDependency: If Jinja, matplotlib or Pillow is not installed.
        ValueError: If `test` has not as many images as were measured.
    """
    accuracies = [(file, file.accuracy) for file in report.files if file.accuracy]
    measured = accuracies[0][1].images if accuracies else 0
    if test is not None and len(test.labels) != measured:
        raise ValueError(f"test must be the {measured} test images, got {len(test.labels)}")
    template = _template()
    pickable = candidates(report)
    best = front(pickable)
    off_front = [file.name for file in pickable if file not in best]
    has_sustained = any(file.sustained for file in report.files)
    has_paced = any(file.paced and file.paced.response.count for file in report.files)
    tables = grids(report)
    page = template.render(
        report=report,
        headline=_HEADLINES[report.verdict.status],
        symbols=SYMBOLS,
        checks=sorted(report.verdict.checks, key=lambda check: _URGENT.index(check.status)),
        picks=recommend(report, pickable),
        front=[file.name for file in best],
        off_front=off_front,
        tables=[grid for grid in tables if grid.headings[0] == "file"],
        profiles=_bars(report, tables),
        caveats=sorted({file.profile.caveat for file in report.files if file.profile}),
        marks=_marks(report),
        remarks=remarks(report),
        distribution=plots.distribution(report),
        slowest=plots.slowest(report),
        rounds=plots.rounds(report),
        tradeoff=plots.tradeoff(report, [file.name for file in best], off_front) if accuracies else None,
        sustained=plots.sustained(report) if has_sustained else None,
        paced=plots.paced(report) if has_paced else None,
        mistakes=[_mistakes(file, accuracy, report.class_names, test) for file, accuracy in accuracies],
        most_flips=mistakes.MOST_FLIPS,
        with_images=test is not None,
        reference="Keras" if report.reference == KERAS_REFERENCE else report.reference,
        states=_states(report),
        empty_call_us=empty_call_ns(report) / 1e3,
    )
    return page.encode(errors="replace").decode()  # JSON can hold halves of surrogate pairs, which no file can.


def _template() -> "jinja2.Template":
    try:
        import jinja2
    except ModuleNotFoundError as error:
        if error.name != "jinja2":
            raise
        raise MissingDependency("Jinja, which fills the page, is not installed: pip install 'edgecnn[report]'") from error
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("benchmarks"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html")


def _bars(report: Report, tables: Iterable[Grid]) -> list[tuple[Grid, tuple[float, ...]]]:
    """Return the profiles' tables, each with the width of every row's bar in percent of the widest."""
    profiles = [file.profile for file in report.files if file.profile]
    made = [grid for grid in tables if grid.headings[0] == "op"]
    widths = (tuple(100 * op.share / max(op.share for op in profile.ops) for op in profile.ops) for profile in profiles)
    return list(zip(made, widths, strict=True))


def _marks(report: Report) -> list[tuple[str, str]]:
    percentiles = [item for file in report.files for item in file.latency.percentiles]
    marks = [
        (any(unstable(report, file) for file in report.files), "!", "unstable, for the reasons above"),
        (
            any(item.value_ns is not None and near_resolution(report, item.value_ns) for item in percentiles),
            "~",
            "so short that the loop's own cost is a notable part of it",
        ),
        (any(item.value_ns is None for item in percentiles), "needs n", "so many runs must be measured to know it"),
        (
            any(file.throughput and file.throughput.one_by_one for file in report.files),
            "*",
            "the file takes a fixed number of images: its batches are loops",
        ),
    ]
    return [(mark, meaning) for shown, mark, meaning in marks if shown]


def _mistakes(file: FileResult, accuracy: Accuracy, class_names: tuple[str, ...], test: Split | None) -> Mistakes:
    return Mistakes(
        file=file,
        matrix=mistakes.matrix(accuracy),
        confusions=mistakes.confusions(accuracy, class_names),
        recalls=mistakes.recalls(accuracy, class_names),
        flips=tuple(mistakes.flips(accuracy, class_names, test)),
    )


def _states(report: Report) -> list[tuple[str, str, str, str]]:
    """Return what the machine said of itself: the name, before, the worst in between, after."""
    boot = report.before.throttled

    def throttled(states: Sequence[State]) -> str:
        if all(state.throttled is None for state in states):
            return _UNTOLD
        seen = {reason for state in states for reason in throttle_reasons(boot, state.throttled)}
        return ", ".join(sorted(seen)) or "no"

    tellers: tuple[tuple[str, Callable[[Sequence[State]], str]], ...] = (
        ("load, mean of the last minute", lambda states: _worst(max, (state.load for state in states), "{:.2f}")),
        ("temperature", lambda states: _worst(max, (state.temperature_celsius for state in states), "{:.0f} °C")),
        ("clock", lambda states: _worst(min, map(_megahertz, states), "{:,.0f} MHz")),
        ("governor", lambda states: ", ".join(sorted({name for state in states for name in state.governors})) or _UNTOLD),
        ("throttled", throttled),
        ("on battery", lambda states: _worst(max, (state.on_battery for state in states), "{}")),
    )
    moments = ((report.before,), report.during or (report.before,), (report.after,))
    before, during, after = moments
    return [(name, tell(before), tell(during), tell(after)) for name, tell in tellers]


def _megahertz(state: State) -> float | None:
    return None if state.clock_khz is None else state.clock_khz / 1e3


def _worst(choose: Callable[[list[float]], float], values: Iterable[float | None], form: str) -> str:
    told = [value for value in values if value is not None]
    if not told:
        return _UNTOLD
    worst = choose(told)
    return ("yes" if worst else "no") if isinstance(worst, bool) else form.format(worst)
