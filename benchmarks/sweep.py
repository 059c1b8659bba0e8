"""Networks of several sizes, trained and exported alike and measured side by side: which to ship."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.intervals import Interval
from benchmarks.pareto import candidates, front, pick
from benchmarks.report import grid_text, verdict
from benchmarks.results import Report
from benchmarks.summary import summarize, typical_ns
from benchmarks.tables import Grid, figure, unstable


@dataclass(frozen=True)
class Network:
    """A trained and exported network.

    Attributes:
        filters: Of its three stages.
        file: Its exported file, as the report names it.
        parameters: Of the Keras model.
        macs: Multiply-accumulates of one image, of the exported file.
    """

    filters: tuple[int, ...]
    file: str
    parameters: int
    macs: int

    @property
    def name(self) -> str:
        """The filters as they are typed."""
        return ",".join(map(str, self.filters))


@dataclass(frozen=True)
class SweepRow:
    """A network with what was measured of its file.

    Attributes:
        network: Which.
        size_bytes: Of the file.
        images: Test images.
        correct: How many of them the file has right.
        keras_correct: How many its own float Keras model has right.
        drop: What the file loses against that model, a share of the images, with its 95 % interval.
        p50_ns: `benchmarks.summary.typical_ns`.
        ratio: Of its time to the first network's, with its 95 % interval; None for the first, and after a single launch.
        status: The file's verdict, as `edgecnn bench` gives it.
        on_front: Whether no other file is at least as good in accuracy, time and size, and better in one.
    """

    network: Network
    size_bytes: int
    images: int
    correct: int
    keras_correct: int
    drop: Interval
    p50_ns: float
    ratio: Interval | None
    status: str
    on_front: bool

    @property
    def accuracy(self) -> float:
        """Share of the test images that the file has right, 0 to 1."""
        return self.correct / self.images


@dataclass(frozen=True)
class Sweep:
    """What a sweep found; `sweep.json` is this record.

    Attributes:
        rows: The networks, in the order that was asked for.
        most_accurate: Of the picks of `benchmarks.pareto`, by the name of the network; None if no file may be picked.
        balanced: Likewise.
        fastest: Likewise.
        reach: The share of right images that was asked for, 0 to 1, or None.
        smallest: The network of the smallest file that reaches it, or None.
        settings: What all networks were trained and exported with.
    """

    rows: tuple[SweepRow, ...]
    most_accurate: str | None
    balanced: str | None
    fastest: str | None
    reach: float | None
    smallest: str | None
    settings: dict[str, str]


def sweep_of(report: Report, networks: Sequence[Network], reach: float | None, settings: dict[str, str]) -> Sweep:
    """Join what was trained with what was measured.

    Args:
        report: Of the networks' files, side by side, with their accuracy.
        networks: In the order of the report's files.
        reach: Share of right images, 0 to 1, that the smallest file is looked for with.
        settings: For the record.
    """
    pickable = candidates(report)
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
                p50_ns=typical_ns(file.launches),
                ratio=summarize(file.launches, first.launches, ()).ratio,
                status=file.verdict.status,
                on_front=file.name in on_front,
            )
        )
    picks = pick(pickable)
    reaching = [item for item in pickable if reach is not None and item.correct / item.images >= reach]
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


def sweep_text(sweep: Sweep, report: Report, kind: str) -> str:
    """Return the table and what follows from it.

    Args:
        sweep: What was found.
        report: What it was measured in.
        kind: What the files are called, as `int8.tflite`.
    """
    headings = (
        "filters",
        "param-\neters",
        "multiply-\naccum.",
        "file\nKiB",
        "Keras\n% right",
        "file\n% right",
        "drop\n95 %, points",
        "p50\nµs",
        "of the\nfirst",
        "gate",
        "front",
    )
    cells = []
    for row, file in zip(sweep.rows, report.files, strict=True):
        drop = f"{100 * row.drop.low:+.2f} to {100 * row.drop.high:+.2f}"
        cells.append(
            (
                row.network.name,
                f"{row.network.parameters:,}",
                f"{row.network.macs:,}",
                f"{row.size_bytes / 1024:.1f}",
                f"{100 * row.keras_correct / row.images:.2f}",
                f"{100 * row.accuracy:.2f}",
                drop,
                figure(row.p50_ns / 1e3) + ("!" if unstable(report, file) else ""),
                f"{row.ratio.estimate:.2f}" if row.ratio else "1",
                row.status,
                "*" if row.on_front else "",
            )
        )
    lines = [
        grid_text(Grid(f"Networks by size, {kind}", headings, tuple(cells))),
        "",
        f"{sweep.rows[0].images:,} test images. *: no other file is at least as right, fast and small, and better in one.",
    ]
    if sweep.most_accurate:
        lines.append(f"Most accurate {sweep.most_accurate}, balanced {sweep.balanced}, fastest {sweep.fastest}.")
    if sweep.reach is not None:
        found = f"{sweep.smallest} is the smallest file that is" if sweep.smallest else "No file is"
        lines.append(f"{found} right on at least {100 * sweep.reach:.2f} %.")
    if len(sweep.rows) > 1:
        lines.append("The best of several on the images that they were measured on: expect a little less on others.")
    if report.noise:
        lines += ["!: these times are unstable:", *(f"  {item.text} ({item.name})" for item in report.noise)]
    return "\n".join([*lines, *verdict(report)])
