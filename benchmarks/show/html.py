"""Renders a report as one HTML file that loads nothing and runs nothing."""

import shlex
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from edgecnn.benchmarks.gate.accuracy import KERAS_REFERENCE
from edgecnn.benchmarks.gate.gate import FAIL, INVALID, PASS, UNDECIDED, UNJUDGED
from edgecnn.benchmarks.machine.host import Machine, State, throttle_reasons
from edgecnn.benchmarks.results.choice import MARGIN, choose
from edgecnn.benchmarks.results.latency_summary import launch_percentile, p50_ns
from edgecnn.benchmarks.results.pareto import front, pareto_points
from edgecnn.benchmarks.results.records import FileResult, Report
from edgecnn.benchmarks.show import plots
from edgecnn.benchmarks.show.mistakes import file_mistakes
from edgecnn.benchmarks.show.remarks import causes, images_show, other_wishes, remarks, ship_line
from edgecnn.benchmarks.show.tables import empty_call_ns, gate, grids, marks, unstable
from edgecnn.edge.data.folder_options import FolderOptions
from edgecnn.edge.data.recorded_images import images_at_hand
from edgecnn.edge.data.splits import Split
from edgecnn.edge.errors import MissingDependency, setting
from edgecnn.edge.files import write_bytes
from edgecnn.edge.packages import install_command
from edgecnn.edge.show.table import TextTable, table_html
from edgecnn.edge.text import printable_lines

if TYPE_CHECKING:
    import jinja2

SYMBOLS = {PASS: "✓", FAIL: "✗", INVALID: "!", UNDECIDED: "?", UNJUDGED: "–"}
_HEADLINES = {
    PASS: "Every file meets every limit.",
    FAIL: "At least one file misses a limit.",
    INVALID: "The times are too noisy to judge at least one limit.",
    UNDECIDED: "Too little was measured to decide at least one limit.",
    UNJUDGED: "Accuracy could not be judged: there is no reference worth comparing with.",
}
_NO_LIMIT = "No limit was set, so nothing was judged. Set one, for example on p90."
_URGENT = (FAIL, INVALID, UNDECIDED, UNJUDGED, PASS)
_UNKNOWN = "not reported"
_BAR = "of the largest"


def page(
    report: Report, path: str | Path | None, data: str | Path | None, images: FolderOptions, on_text: Callable[[str], None]
) -> str:
    """Return the page with the images that are at hand, and write it to `path` if one is given: `Report.to_html`."""
    shown = images_at_hand(report.dataset, data, report.class_names, on_text, images) if report.dataset else None
    html = to_html(report, shown)
    if path:
        write_bytes(Path(path), html.encode())
    return html


def to_html(report: Report, test: Split | None) -> str:  # Longer than 50 lines: all that the page shows.
    """Return the page: the verdict, the file to ship, tables, figures, each file's mistakes, and how it was measured.

    The same report gives the same bytes. Every text of the report is escaped, and the page's own policy makes browsers
    refuse scripts and requests.

    Args:
        report: A result, checked by `read_report`.
        test: Test images, to show those that changed their class; None shows tables only.

    Raises:
        MissingDependency: If Jinja, matplotlib or Pillow is not installed.
        ValueError: If the number of images in `test` differs from the measured one.
    """
    accuracies = [(file, file.accuracy) for file in report.files if file.accuracy]
    measured = accuracies[0][1].all_images if accuracies else 0
    if test is not None and len(test.labels) != measured:
        raise ValueError(f"test must be the {measured} test images, got {len(test.labels)}")
    template = _template()
    pickable = pareto_points(report)
    best = front(pickable)
    off_front = [file.name for file in pickable if file not in best]
    tables = grids(report)
    choice = choose([report])
    chosen = next((file for file in report.files if file.name in (choice.file, choice.closest)), None)
    reference = "Keras" if report.reference == KERAS_REFERENCE else report.reference
    page = template.render(
        report=report,
        headline=images_show(report) or (_HEADLINES[report.verdict.status] if report.verdict.judged else _NO_LIMIT),
        symbol=SYMBOLS.get(report.verdict.status, ""),
        status=_status,
        gate=gate,
        setting=setting,
        margin=MARGIN,
        table=_table,
        checks=sorted(report.verdict.checks, key=lambda check: _URGENT.index(check.status)),
        advice=[ship_line(report), *other_wishes(report)],
        chosen=chosen,
        p50_us=_p50_us(chosen) if chosen else (),
        others=TextTable(("file", "why not"), choice.others, "The other files", align="<<"),
        command=_without_folders(report.command),
        folder=_last_name(report.folder),
        front=[file.name for file in best],
        off_front=off_front,
        held_out=[file.name for file, accuracy in accuracies if accuracy.chose],
        tables=[grid for grid in tables if grid.headings[0] == "file"],
        profiles=_profiles(report, tables),
        caveats=sorted({file.profile.caveat for file in report.files if file.profile}),
        marks=_marks(report),
        remarks=remarks(report),
        causes=causes(report.noise),
        distribution=plots.distribution(report),
        slowest=plots.slowest(report),
        rounds=plots.rounds(report),
        tradeoff=plots.tradeoff(report, [file.name for file in best], off_front) if accuracies else None,
        sustained=plots.sustained(report) if any(file.sustained for file in report.files) else None,
        paced=plots.paced(report) if any(file.paced and file.paced.response.count for file in report.files) else None,
        mistakes=list(file_mistakes(report, reference, test)),
        with_images=test is not None,
        reference=reference,
        machine=_machine(report.machine),
        states=_states(report),
        hashes=_hashes(report),
        empty_call_us=empty_call_ns(report) / 1e3,
    )
    return printable_lines(page)


def _template() -> "jinja2.Template":
    try:
        import jinja2
    except ModuleNotFoundError as error:
        if error.name != "jinja2":
            raise
        raise MissingDependency(f"Jinja, which fills the page, is not installed: {install_command('report')}") from error
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("edgecnn.benchmarks.show"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html")


def _status(name: str) -> str:
    return f'<span class="status {name.lower()}"><span aria-hidden="true">{SYMBOLS.get(name, "·")}</span> {escape(name)}</span>'


def _table(grid: TextTable, css: str = "grid") -> str:
    """Return a table as HTML; columns are known by their headings."""
    looks: dict[str, Callable[[str], str]] = {
        "gate": _status,
        "kind": lambda name: f'<span class="kind {name.replace(" ", "-")}">{escape(name)}</span>',
        "SHA-256": lambda text: f"<code>{escape(text)}</code>",
        _BAR: lambda percent: f'<span class="bar" aria-hidden="true" style="width: {percent}%"></span>',
    }
    return table_html(grid, {at: looks[name] for at, name in enumerate(grid.headings) if name in looks}, css)


def _profiles(report: Report, tables: Iterable[TextTable]) -> list[TextTable]:
    """Return the profiles' tables, with a bar for each row that is as long as its share of the largest."""
    profiles = [file.profile for file in report.files if file.profile]
    made = [grid for grid in tables if grid.headings[0] == "op"]
    return [
        grid._replace(
            headings=(*grid.headings, _BAR),
            rows=[
                (*row, f"{100 * op.share / max(op.share for op in profile.ops):.1f}")
                for row, op in zip(grid.rows, profile.ops, strict=True)
            ],
            align="<>><",
        )
        for grid, profile in zip(made, profiles, strict=True)
    ]


def _marks(report: Report) -> list[tuple[str, str]]:
    first = [("!", "unstable, for the reasons above")] if any(unstable(report, file) for file in report.files) else []
    return [*first, *marks(report)]


def _p50_us(file: FileResult) -> tuple[float, ...]:
    """Return a file's p50 in microseconds, with the bounds over the launches if there are several."""
    found = launch_percentile(file.launches, 50)
    bounds = () if found.low_ns is None or found.high_ns is None else (found.low_ns, found.high_ns)
    return tuple(time / 1e3 for time in (p50_ns(file.launches), *bounds))


def _without_folders(command: str) -> str:
    """Return a command without the folders of absolute paths, which belong to the machine that ran it."""
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    short = [f"{word[: word.find('=') + 1]}{_last_name(word[word.find('=') + 1 :])}" for word in words]
    return command if short == words else shlex.join(short)


def _last_name(path: str) -> str:
    return PurePath(path).name or path if path.startswith(("/", "~")) else path


def _machine(machine: Machine) -> TextTable:
    memory = None if machine.memory_bytes is None else f"{machine.memory_bytes / 2**30:.1f} GiB"
    rows = (
        ("board", machine.board),
        ("processor", machine.cpu),
        ("architecture", machine.machine),
        ("cores for this process", f"{machine.cores}"),
        ("memory", memory),
        ("system", machine.system),
        ("C library", machine.glibc and f"glibc {machine.glibc}"),
        ("Python", machine.python),
    )
    return TextTable(("", ""), [(name, value or _UNKNOWN) for name, value in rows], "Machine", align="<<")


def _hashes(report: Report) -> TextTable:
    rows = [
        (file.name, file.runtime, f"{file.threads}", f"{file.artifact.size_bytes:,}", file.artifact.sha256)
        for file in report.files
    ]
    if data := report.dataset:
        rows.append((f"{data.kind}s of {data.name}", _last_name(data.source), "", "", data.test_sha256))
    return TextTable(("file", "runtime", "threads", "bytes", "SHA-256"), rows, "Files", align="<<>><")


def _states(report: Report) -> TextTable:
    """Return the machine's own readings: before, the worst in between, and after."""
    boot = report.before.throttled

    def throttled(states: Sequence[State]) -> str:
        if all(state.throttled is None for state in states):
            return _UNKNOWN
        seen = {reason for state in states for reason in throttle_reasons(boot, state.throttled)}
        return ", ".join(sorted(seen)) or "no"

    readers: tuple[tuple[str, Callable[[Sequence[State]], str]], ...] = (
        ("load, mean of the last minute", lambda states: _worst(max, (state.load for state in states), "{:.2f}")),
        ("temperature", lambda states: _worst(max, (state.temperature_celsius for state in states), "{:.0f} °C")),
        ("clock", lambda states: _worst(min, (state.clock_khz and state.clock_khz / 1e3 for state in states), "{:,.0f} MHz")),
        ("governor", lambda states: ", ".join(sorted({name for state in states for name in state.governors})) or _UNKNOWN),
        ("throttled", throttled),
        ("on battery", lambda states: _worst(max, (state.on_battery for state in states), "{}")),
    )
    moments = ((report.before,), report.during or (report.before,), (report.after,))
    rows = [(name, *map(read, moments)) for name, read in readers]
    rows.append(("time", report.before.time, "", report.after.time))
    return TextTable(("", "before", "worst between rounds", "after"), rows, "State of the machine", align="<<<<")


def _worst(choose: Callable[[list[float]], float], values: Iterable[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return _UNKNOWN
    worst = choose(known)
    return ("yes" if worst else "no") if isinstance(worst, bool) else form.format(worst)
