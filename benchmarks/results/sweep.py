"""Networks of several sizes, trained and exported alike and measured side by side: which to ship."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

from edgecnn.benchmarks.gate.gate import Status
from edgecnn.benchmarks.results.latency_summary import p50_ns, ratios
from edgecnn.benchmarks.results.pareto import ParetoPoint, front, pareto_points, pick
from edgecnn.benchmarks.results.records import Report
from edgecnn.benchmarks.statistics import binomial
from edgecnn.edge.export_records import Interval, Qat
from edgecnn.edge.records import unrecorded
from edgecnn.edge.result import Result
from edgecnn.edge.show import rendered
from edgecnn.edge.text import WIDTH

_CONFIDENCE = 0.95


@dataclass(frozen=True)
class SweptNetwork:
    """A trained and exported network, or the file of another folder beside it.

    Attributes:
        filters: Numbers of filters of its three stages.
        file: Its exported file, as the report names it.
        parameters: Number of parameters of the Keras model; of a file beside it, of that file.
        macs: Multiply-accumulates of one image, of the Keras model; of a file beside it, of that file or, where its layers
            can't be read, of the model that it was made from.
        network: Name of edgecnn's own network, for example `cnn`, or `module:function`; the folder of a file beside it.
        arguments: What it was built with besides, as `name=value`.
        val_images: Number of validation images; None without them.
        val_correct: Number of them that its file classifies right.
        qat: What training for integers gained; None if that was not asked for.
        beside: Whether it is a file of another folder, for comparison: the sweep did not train it, and never chooses it.
    """

    filters: tuple[int, ...]
    file: str
    parameters: int
    macs: int
    network: str = "cnn"
    arguments: tuple[str, ...] = ()
    val_images: int | None = None
    val_correct: int | None = None
    qat: Qat | None = None
    beside: bool = False

    @property
    def name(self) -> str:
        """Its name in the sweep."""
        return self.network if self.beside else network_name(self.network, self.filters, self.arguments)


def network_name(network: str, filters: Sequence[int], arguments: Sequence[str] = ()) -> str:
    """Return a network's name in a sweep: `strided 8,16,32`, `8,16,32` for the cnn, or `nets:small width=8`."""
    numbers = ",".join(map(str, filters))
    return " ".join(filter(None, ("" if network == "cnn" else network, numbers, *arguments)))


@dataclass(frozen=True)
class RungNetwork:
    """A network after a rung of successive halving.

    Attributes:
        name: Its name in the sweep.
        val_images: Number of validation images.
        val_correct: Number of them that the Keras model of the kept epoch classifies right.
        parameters: Number of parameters of the Keras model.
        macs: Multiply-accumulates of one image, of the Keras model.
        seconds: Wall time of its epochs in seconds.
        goes_on: Whether it is in the next rung.
    """

    name: str
    val_images: int
    val_correct: int
    parameters: int
    macs: int
    seconds: float
    goes_on: bool = False


@dataclass(frozen=True)
class Rung:
    """Networks that were trained for the same number of epochs, of which the better half went on.

    Attributes:
        epochs: Number of epochs of each.
        networks: The networks, in the order that was asked for.
    """

    epochs: int
    networks: tuple[RungNetwork, ...]


@dataclass(frozen=True)
class SweepRow:
    """A network with what was measured of its file.

    Attributes:
        network: The network.
        size_bytes: Size of its file in bytes.
        images: Number of test images.
        correct: Number of them that the file classifies right.
        keras_correct: Number of them that its own float model classifies right; that is Keras's, except for a file beside it.
        drop: Drop of accuracy from that model to the file, as a share of the images, with its 95 % interval.
        p50_ns: Median of all runs (`edgecnn.benchmarks.results.latency_summary.p50_ns`).
        ratio: Its time over the first network's, with an interval that holds for all networks at once (95 %); None for the
            first, and after a single launch.
        status: The file's verdict, as `edgecnn bench` gives it.
        on_front: Whether no other trained file is at least as good in accuracy, time and size, and better in one. Accuracy is
            that on the validation images, if there are some.
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

    @property
    def comparing(self) -> tuple[int, int]:
        """Number of images that networks are compared on, and of those that the file has right: validation or test images."""
        network = self.network
        if network.val_images is None or network.val_correct is None:
            return self.images, self.correct
        return network.val_images, network.val_correct


@dataclass(frozen=True)
class ChosenNetwork:
    """A network that the validation images chose.

    Attributes:
        name: Its name in the sweep.
        accuracy: Share of the test images that its file has right, 0 to 1, with its interval: 95 % for all chosen networks at
            once (Bonferroni).
    """

    name: str
    accuracy: Interval


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
        smallest_chosen: With validation images, the network of the smallest file that they show to reach it, or None;
            `smallest` is that network if the test images confirm it.
        chosen: With validation images, the networks named above, which they chose, as the test images judge them.
        rungs: Successive halving before the last training; empty without a time limit.
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
    smallest_chosen: str | None = None
    chosen: tuple[ChosenNetwork, ...] = ()
    rungs: tuple[Rung, ...] = ()
    report: Report | None = unrecorded(None)
    picture: Path | None = unrecorded(None)

    @property
    def trained(self) -> int:
        """Number of networks that were trained, among which it chooses."""
        return sum(not row.network.beside for row in self.rows)

    def to_text(self, width: int = WIDTH, verbose: bool = False) -> str:
        """Return which networks to take, and the table; `verbose` gives every reason why times are unstable."""
        return str(rendered(self, "to_text", width, verbose))


def sweep_of(
    report: Report,
    networks: Sequence[SweptNetwork],
    reach: float | None,
    settings: dict[str, str],
    rungs: tuple[Rung, ...] = (),
) -> Sweep:
    """Join what was trained with what was measured.

    With validation images, they alone choose: the front, the networks that are named, and the smallest that reaches a share.

    The report measured the networks' files side by side, in their order, with their accuracy. The smallest file is looked for
    that has `reach` of the images right, 0 to 1. `choice.choose` can't name a network: its test of accuracy pairs the answers
    of two files to each image by one reference, and each network has its own; and validation images are counted only.
    """
    by_file = {network.file: network for network in networks}
    validated = networks[0].val_images is not None
    points = pareto_points(report, own_references=True)
    pickable = [_on_validation(point, by_file[point.name]) for point in points if not by_file[point.name].beside]
    on_front = {candidate.name for candidate in front(pickable)}
    rows = _rows(report, networks, on_front)
    picks = pick(pickable)
    smallest = _smallest(pickable, rows, reach, validated)
    named = [*(vars(picks).values() if picks else ()), *((smallest,) if smallest else ())]
    names = list(dict.fromkeys(by_file[point.name].name for point in named))
    judged = {row.network.name: _interval(row.correct, row.images, len(names)) for row in rows if row.network.name in names}
    found = by_file[smallest.name].name if smallest else None
    confirmed = found is not None and (not validated or judged[found].low >= (reach or 0))
    return Sweep(
        rows=rows,
        most_accurate=by_file[picks.most_accurate.name].name if picks else None,
        balanced=by_file[picks.balanced.name].name if picks else None,
        fastest=by_file[picks.fastest.name].name if picks else None,
        reach=reach,
        smallest=found if confirmed else None,
        settings=settings,
        smallest_chosen=found if validated else None,
        chosen=tuple(ChosenNetwork(name, judged[name]) for name in names) if validated else (),
        rungs=rungs,
    )


def _smallest(
    pickable: Sequence[ParetoPoint], rows: Sequence[SweepRow], reach: float | None, validated: bool
) -> ParetoPoint | None:
    if reach is None:
        return None
    # The test images judge what validation images chose, so that it may be chosen by each file's own interval.
    together = 1 if validated else sum(not row.network.beside for row in rows)
    compared = {row.network.file: row.comparing for row in rows}
    low = {name: _interval(right, images, together).low for name, (images, right) in compared.items()}
    reaching = [point for point in pickable if low[point.name] >= reach]
    return min(reaching, key=lambda point: (point.size_bytes, point.time_ns), default=None)


def _on_validation(point: ParetoPoint, network: SweptNetwork) -> ParetoPoint:
    if network.val_images is None or network.val_correct is None:
        return point
    return replace(point, right=network.val_correct / network.val_images)


def _rows(report: Report, networks: Sequence[SweptNetwork], on_front: Set[str]) -> tuple[SweepRow, ...]:
    rows = []
    over_first = ratios([file.launches for file in report.files], 0)
    for network, file, ratio in zip(networks, report.files, over_first, strict=True):
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
                ratio=ratio,
                status=file.verdict.status,
                on_front=file.name in on_front,
            )
        )
    return tuple(rows)


def _interval(correct: int, images: int, together: int) -> Interval:
    """Return the interval of a share of right images, 95 % sure of `together` files at once (Bonferroni).

    The smallest file that seems to reach a share was chosen by the very images that it was measured on, if there are no others.
    The best of several at the limit would seem to in most sweeps.
    """
    return binomial.interval(correct, images, 1 - (1 - _CONFIDENCE) / together)
