"""Networks of several sizes, trained and exported alike and measured side by side: which to ship."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecnn.benchmarks.judge.gate import Status
from edgecnn.benchmarks.report.pareto import ParetoPoint, front, pareto_points, pick
from edgecnn.benchmarks.report.remarks import unstable_lines, verdict
from edgecnn.benchmarks.report.tables import Grid, figure, grid_text, unstable
from edgecnn.benchmarks.results.latency_summary import p50_ns, summarize
from edgecnn.benchmarks.results.records import Report
from edgecnn.benchmarks.statistics import binomial
from edgecnn.benchmarks.statistics.intervals import Interval
from edgecnn.edge.records import unrecorded
from edgecnn.edge.result import Result
from edgecnn.edge.text import WIDTH, counted, paragraphs

_CONFIDENCE = 0.95


@dataclass(frozen=True)
class SweptNetwork:
    """A trained and exported network.

    Attributes:
        filters: Numbers of filters of its three stages.
        file: Its exported file, as the report names it.
        parameters: Number of parameters of the Keras model.
        macs: Multiply-accumulates of one image, of the exported file.
        network: Name of edgecnn's own network, for example `cnn`.
    """

    filters: tuple[int, ...]
    file: str
    parameters: int
    macs: int
    network: str = "cnn"

    @property
    def name(self) -> str:
        """Its name in the sweep."""
        return network_name(self.network, self.filters)


def network_name(network: str, filters: Sequence[int]) -> str:
    """Return a network's name in a sweep: `strided 8,16,32`, or `8,16,32` for the cnn."""
    numbers = ",".join(map(str, filters))
    return numbers if network == "cnn" else f"{network} {numbers}"


@dataclass(frozen=True)
class SweepRow:
    """A network with what was measured of its file.

    Attributes:
        network: The network.
        size_bytes: Size of its file in bytes.
        images: Number of test images.
        correct: Number of them that the file classifies right.
        keras_correct: Number of them that its own float Keras model classifies right.
        drop: Drop of accuracy from that model to the file, as a share of the images, with its 95 % interval.
        p50_ns: Median of all runs (`edgecnn.benchmarks.results.latency_summary.p50_ns`).
        ratio: Its time over the first network's, with its 95 % interval; None for the first, and after a single launch.
        status: The file's verdict, as `edgecnn bench` gives it.
        on_front: Whether no other file is at least as good in accuracy, time and size, and better in one.
    """

    network: SweptNetwork
    size_bytes: int
    images: int
    correct: int
    keras_correct: int
    drop: Interval
    p50_ns: float
    ratio: Interval | None
    status: Status
    on_front: bool

    @property
    def accuracy(self) -> float:
        """Share of the test images that the file has right, 0 to 1."""
        return self.correct / self.images


@dataclass(frozen=True, repr=False)
class Sweep(Result):
    """What a sweep found; `sweep.json` is this record.

    Attributes:
        rows: The networks, in the order that was asked for.
        most_accurate: Name of the network whose file is the most accurate, as `pareto` picks it; None if no file may be picked.
        balanced: Name of the network with the balanced file, or None.
        fastest: Name of the network with the fastest file, or None.
        reach: The share of right images that was asked for, 0 to 1, or None.
        smallest: The network of the smallest file that is shown to reach it, or None.
        settings: What all networks were trained and exported with.
        report: The measurement of their files; not in the JSON.
        picture: Where accuracy is drawn against time; not in the JSON.
    """

    rows: tuple[SweepRow, ...]
    most_accurate: str | None
    balanced: str | None
    fastest: str | None
    reach: float | None
    smallest: str | None
    settings: dict[str, str]
    report: Report | None = unrecorded(None)
    picture: Path | None = unrecorded(None)

    def to_text(self, width: int = WIDTH, verbose: bool = False) -> str:
        """Return which networks to take, and the table; `verbose` gives every reason why times are unstable."""
        if self.report is None:
            return ", ".join(row.network.name for row in self.rows)
        text = sweep_text(self, self.report, self.settings["file"], width, verbose)
        return f"{text}\nPicture: {self.picture}" if self.picture else text


def sweep_of(report: Report, networks: Sequence[SweptNetwork], reach: float | None, settings: dict[str, str]) -> Sweep:
    """Join what was trained with what was measured.

    Args:
        report: Measurement of the networks' files, side by side, with their accuracy.
        networks: In the order of the report's files.
        reach: Share of right images, 0 to 1, that the smallest file is looked for with.
        settings: For the record.
    """
    pickable = pareto_points(report)
    on_front = {candidate.name for candidate in front(pickable)}
    names = {network.file: network.name for network in networks}
    first, rows = report.files[0], []
    for network, file in zip(networks, report.files, strict=True):
        accuracy = file.accuracy
        assert accuracy  # noqa: S101  # The sweep gave test images.
        rows.append(
            SweepRow(
                network=network,
                size_bytes=file.artifact.size_bytes,
                images=accuracy.images,
                correct=accuracy.correct,
                keras_correct=accuracy.reference_correct,
                drop=accuracy.drop,
                p50_ns=p50_ns(file.launches),
                ratio=summarize(file.launches, first.launches, ()).ratio,
                status=file.verdict.status,
                on_front=file.name in on_front,
            )
        )
    picks = pick(pickable)
    reaching = [item for item in pickable if reach is not None and _lowest(item, len(networks)) >= reach]
    smallest = min(reaching, key=lambda item: (item.size_bytes, item.p50_ns), default=None)
    return Sweep(
        rows=tuple(rows),
        most_accurate=names[picks.most_accurate.name] if picks else None,
        balanced=names[picks.balanced.name] if picks else None,
        fastest=names[picks.fastest.name] if picks else None,
        reach=reach,
        smallest=names[smallest.name] if smallest else None,
        settings=settings,
    )


def _lowest(file: ParetoPoint, networks: int) -> float:
    """Return the share of right images that a file is shown to have, 95 % sure of all networks at once (Bonferroni).

    The smallest that seems to reach a share was chosen by the very images that it was measured on. The best of several at the
    limit would seem to in most sweeps.
    """
    return binomial.interval(file.correct, file.images, 1 - (1 - _CONFIDENCE) / networks).low


def sweep_text(sweep: Sweep, report: Report, kind: str, width: int = WIDTH, verbose: bool = False) -> str:
    """Return which networks to take, the table and what limits what may be believed.

    Args:
        sweep: What was found.
        report: What it was measured in.
        kind: What the files are called, as `int8.tflite`.
        width: Columns of a line.
        verbose: Give every reason why times are unstable, not the first few.
    """
    noise = [f"{item.text} ({item.name})" for item in report.noise]
    notes = [
        f"{counted(sweep.rows[0].images, 'test image')}. *: on the Pareto front: no other file is at least as accurate, fast "
        "and small, and better in one of the three."
    ]
    if len(sweep.rows) > 1:
        notes.append("The best of several was chosen on the images that it was measured on: expect a little less on others.")
    notes += unstable_lines("Unstable times, marked with !:", noise, verbose)
    blocks = (_answer(sweep, report), [grid_text(_table(sweep, report, kind), width)], notes)
    return "\n\n".join("\n".join(block if at == 1 else paragraphs(block, width, "    ")) for at, block in enumerate(blocks))


def _answer(sweep: Sweep, report: Report) -> list[str]:
    lines = verdict(report)
    if sweep.most_accurate:
        lines.append(f"Most accurate {sweep.most_accurate}, balanced {sweep.balanced}, fastest {sweep.fastest}.")
    if sweep.reach is not None:
        found = f"{sweep.smallest} is the smallest file that is" if sweep.smallest else "No file is"
        sure = "95 %" if len(sweep.rows) == 1 else f"95 %, of all {len(sweep.rows)} files at once"
        lines.append(f"{found} shown to be right on at least {100 * sweep.reach:.2f} % ({sure}).")
    return lines


def _table(sweep: Sweep, report: Report, kind: str) -> Grid:
    headings = (
        "network",
        "file",
        "gate",
        "parameters",
        "MACs",
        "file\nKiB",
        "Keras\n% right",
        "file\n% right",
        "drop\n95 %, points",
        "p50\nµs",
        "time over\nthe first",
        "front",
    )
    cells = []
    for row, file in zip(sweep.rows, report.files, strict=True):
        drop = f"{100 * row.drop.low:+.2f} to {100 * row.drop.high:+.2f}"
        cells.append(
            (
                row.network.name,
                Path(row.network.file).stem,
                row.status,
                f"{row.network.parameters:,}",
                f"{row.network.macs:,}",
                f"{row.size_bytes / 1024:.1f}",
                f"{100 * row.keras_correct / row.images:.2f}",
                f"{100 * row.accuracy:.2f}",
                drop,
                figure(row.p50_ns / 1e3) + ("!" if unstable(report, file) else ""),
                f"{row.ratio.estimate:.2f}" if row.ratio else "1",
                "*" if row.on_front else "",
            )
        )
    less = ("parameters", "Keras\n% right", "time over\nthe first", "drop\n95 %, points")
    one_name = len({name for _, name, *_ in cells}) == 1
    shown = [cell[:1] + cell[2:] for cell in (headings, *cells)] if one_name else [headings, *cells]
    return Grid(f"Networks by size, {kind}", shown[0], tuple(shown[1:]), less)
