"""The most accurate network within limits: what was looked at, what was trained, and what was chosen."""

from dataclasses import dataclass
from pathlib import Path

from edgecnn.benchmarks.gate.gate import Status
from edgecnn.edge.export_records import Interval, Qat
from edgecnn.edge.records import unrecorded
from edgecnn.edge.result import Result
from edgecnn.edge.show import rendered
from edgecnn.edge.text import WIDTH


@dataclass(frozen=True)
class NetworkCost:
    """What a network costs, measured of its file before it was trained.

    Attributes:
        name: Its name, as in a sweep.
        parameters: Number of parameters of the Keras model.
        macs: Multiply-accumulates of one image, of the Keras model.
        size_bytes: Size of its file in bytes.
        p90_ns: 90th percentile of the time of one image in nanoseconds, of one brief launch; None on an emulated core.
        fastest_ns: Median of its fastest round in nanoseconds, which is repeatable where other work disturbs the rest; None on
            an emulated core.
        precision: Precision of that file: where files are tuned, the one that is faster of those within the limit of size.
        instructions: What an emulated core executes for one image; None where times are measured.
    """

    name: str
    parameters: int
    macs: int
    size_bytes: int
    p90_ns: float | None
    fastest_ns: float | None
    precision: str
    instructions: int | None = None

    @property
    def limited(self) -> float:
        """What is limited: instructions, or the 90th percentile of the time in nanoseconds."""
        return _first(self.instructions, self.p90_ns)

    @property
    def steady(self) -> float:
        """What is compared with a cut network's: instructions, or the fastest round in nanoseconds."""
        return _first(self.instructions, self.fastest_ns)


def _first(*numbers: float | None) -> float:
    return float(next(number for number in numbers if number is not None))


@dataclass(frozen=True)
class NetworkCosts:
    """What all networks cost on one machine; `costs.json` is this record.

    Attributes:
        measured_for: The machine, the images' shape, the number of classes and the kind of file, as text.
        networks: The networks, each once for every precision that was measured.
    """

    measured_for: str
    networks: tuple[NetworkCost, ...]


@dataclass(frozen=True)
class TriedNetwork:
    """A network that was looked at.

    Attributes:
        cost: What it costs.
        is_within: Whether that is within the limits.
        epochs: Number of epochs of its longest training; None if it was not trained.
        val_images: Number of validation images; None if it was not trained.
        val_correct: Number of them that the Keras model kept from this training classifies right.
    """

    cost: NetworkCost
    is_within: bool
    epochs: int | None = None
    val_images: int | None = None
    val_correct: int | None = None


@dataclass(frozen=True)
class FittedFile:
    """The file of a network of the last rung: trained, exported, and measured again.

    Attributes:
        name: The network's name.
        file: Path of the file in the output folder.
        size_bytes: Its size in bytes.
        p90_ns: 90th percentile of the time of one image in nanoseconds; None after too few runs, or on an emulated core.
        status: `PASS` if it is within the limits; `UNJUDGED` if it is right no more often than a guess.
        reasons: What each limit says that it is not shown to be within, and whether it is right no more often than a guess.
        val_images: Number of validation images.
        val_correct: Number of them that the file classifies right.
        is_within: Whether the untrained file was within the limits.
        qat: What training for integers gained; None if there was no time for it, or the format can't have it.
        instructions: What an emulated core executes for one image; None where times are measured.
    """

    name: str
    file: str
    size_bytes: int
    p90_ns: float | None
    status: Status
    reasons: tuple[str, ...]
    val_images: int
    val_correct: int
    is_within: bool
    qat: Qat | None = None
    instructions: int | None = None

    @property
    def limited(self) -> float | None:
        """What is limited: instructions, or the 90th percentile of the time in nanoseconds."""
        return self.p90_ns if self.instructions is None else self.instructions


@dataclass(frozen=True, repr=False)
class Fit(Result):
    """What a search within limits found; `fit.json` is this record.

    Attributes:
        machine: Where the time was measured.
        max_p90_ms: Limit of the 90th percentile of the time of one image in milliseconds, or None.
        max_instructions: Limit of the instructions of one image on an emulated core, or None.
        max_size_kib: Limit of a file's size in KiB, or None.
        minutes: Limit of the training time.
        networks: All networks that were looked at.
        files: The files of the last rung, the most accurate first; of a tuned network, its tuned file and its plain one.
        chosen: Path of the chosen file in the output folder: the most accurate on the validation images of those within the
            limits; None if no file is within them.
        images: Number of test images that judge it, and chose nothing; no copies of others or of training images.
        chose: Number of other test images, which chose the layers in float of a tuned file.
        accuracy: Share of them that it classifies right, 0 to 1, with its 95 % interval; None if there are none, or no file.
        doubt: Why they may be no test of it: its weights came from a file that may have learnt them, or they chose its layers
            in float; else None.
        more: Path of a file that takes up to a tenth more than the limits and is right on more of the validation images than
            the chosen one; None if none is.
        command: Command that repeats or continues the search.
        folder: Output folder; not in the JSON.
        picture: Where accuracy is drawn against time; not in the JSON.
    """

    machine: str
    max_p90_ms: float | None
    max_instructions: int | None
    max_size_kib: float | None
    minutes: float
    networks: tuple[TriedNetwork, ...]
    files: tuple[FittedFile, ...]
    chosen: str | None
    images: int
    chose: int
    accuracy: Interval | None
    doubt: str | None
    more: str | None
    command: str
    folder: Path | None = unrecorded(None)
    picture: Path | None = unrecorded(None)

    def to_text(self, width: int = WIDTH, verbose: bool = False) -> str:
        """Return the file to ship and the table of what was tried; `verbose` adds the networks that were not trained."""
        return str(rendered(self, "to_text", width, verbose))
