"""What a manifest records about how its files were made and what was measured then."""

from dataclasses import dataclass
from typing import Literal

from edgecnn.edge.formats import CalibrationName
from edgecnn.edge.model.threshold import Threshold
from edgecnn.edge.text import counted

GAIN = 0.99
"""What is not shown to cost less than this share is not worth a file or an argument of its own."""
FASTER = 0.95
"""Share of a float file's time that a quantized file must be below to be faster: what is closer to 1 may be chance."""


@dataclass(frozen=True)
class Parity:
    """Agreement of an exported file with the float model that it was made of, on the same images.

    Attributes:
        images: Number of test images compared.
        same_class: Number of them for which both predict the same class.
        max_difference: Largest absolute difference between two probabilities, 0 to 1.
        spread: Largest range of any one probability of that model over the images, 0 to 1; None in older manifests.
    """

    images: int
    same_class: int
    max_difference: float
    spread: float | None = None


@dataclass(frozen=True)
class ProgramFile:
    """A file next to the models that other programs read.

    Attributes:
        path: Name of the file in the manifest's folder.
        size_bytes: Size of the file in bytes.
        sha256: SHA-256 of the file.
        source_sha256: SHA-256 of the model file that it was made from.
        program: Name of the only program that takes it, as in `targets`; None if several do.
        parity: Agreement with the float model, if it is a model; else None.
        threshold: Threshold of its answers, if it is a model and one was asked for; else None.
    """

    path: str
    size_bytes: int
    sha256: str
    source_sha256: str
    program: str | None = None
    parity: Parity | None = None
    threshold: Threshold | None = None


@dataclass(frozen=True)
class TriedWay:
    """A quantized file that was tried to keep the accuracy.

    Attributes:
        way: How it was made: `plain`; other ranges (`percentile`), whose biases may be corrected; layers in other numbers.
        drop_points: Accuracy that it lost, in percentage points, on the images that chose, or for `plain` on all.
        size_bytes: Size of the file in bytes, without its description.
        passes: Whether that is shown to be within the limit.
    """

    way: str
    drop_points: float
    size_bytes: int
    passes: bool


@dataclass(frozen=True)
class Mended:
    """How a quantized file was kept within its limit for lost accuracy.

    Attributes:
        layers: Operators computed in `precision`, in the order in which they were changed from int8; none if other ranges or
            biases were enough.
        precision: Precision of those operators; `int16` means 16-bit activations.
        max_drop_points: Largest accepted drop in percentage points.
        tries: Number of files judged, including the plain one.
        plain_size_bytes: Size of the plainly quantized file in bytes.
        slowdown: Median time of one inference divided by the plain file's, the two measured alternately.
        held_out: Number of test images that chose no layer and judged the final file once. It is 0 where there
            were too few, so that the same images chose the layers and judged the file.
        way: What was chosen, as in `TriedWay`; None in manifests of earlier releases, and for a tuned file.
        tried: What was tried, in order.
        float32_size_bytes: Size of the float32 file in bytes; None in manifests of earlier releases, and for a tuned file.
        float32_slowdown: As `slowdown`, divided by the float32 file's; None as there.
    """

    layers: tuple[str, ...]
    precision: Literal["float32", "int16"]
    max_drop_points: float
    tries: int
    plain_size_bytes: int
    slowdown: float
    held_out: int = 0
    way: str | None = None
    tried: tuple[TriedWay, ...] = ()
    float32_size_bytes: int | None = None
    float32_slowdown: float | None = None


@dataclass(frozen=True)
class Qat:
    """Training for integers (quantization-aware training), and what it gained.

    Attributes:
        epochs: Number of passes over the training images.
        kept_epoch: The epoch that validation images chose, from 1; without them the last.
        images: Number of images that compared the trained file with the plain one.
        correct: Number of them that the trained file classifies correctly.
        plain_correct: Number of them that the plain file classifies correctly.
        compared_on: `test` images, which chose nothing; or `validation` images, in a search that they decide.
        taken: Whether the file is the trained one; else it is the plain one.
        objection: Why the trained file, though shown to be better, is not accurate enough; None if nothing is against it.
    """

    epochs: int
    kept_epoch: int
    images: int
    correct: int
    plain_correct: int
    compared_on: Literal["test", "validation"] = "test"
    taken: bool = True
    objection: str | None = None

    @property
    def text(self) -> str:
        """The gain in words."""
        shares = (f"{100 * count / self.images:.2f}" for count in (self.plain_correct, self.correct))
        return f"{' -> '.join(shares)} % of {counted(self.images, f'{self.compared_on} image')}"

    def of(self, name: str) -> str:
        """What became of the file of this name, in words."""
        if self.taken:
            return f"{name} was trained for integers: {self.text}."
        if self.objection:
            return f"{name} is not trained for integers: {self.text} is not enough ({self.objection})."
        return f"{name} is not trained for integers: too little gain was shown ({self.text})."


@dataclass(frozen=True)
class Interval:
    """An estimate and its interval, two-sided 95 % unless stated otherwise.

    Attributes:
        estimate: Best single value, in the unit of the measurement.
        low: Lower end, same unit; the truth is below it in at most 2.5 % of samples.
        high: Upper end, same unit; the truth is above it in at most 2.5 % of samples.
    """

    estimate: float
    low: float
    high: float

    def as_ratio(self) -> str:
        """Return it as text with two decimals, for example `0.84 (0.83-0.86)`."""
        return f"{self.estimate:.2f} ({self.low:.2f}-{self.high:.2f})"


@dataclass(frozen=True)
class TriedPlacement:
    """A choice of float layers that a search measured and judged.

    Attributes:
        in_float: Number of operators in float.
        cost: Its cost divided by the plain int8 file's, as the search measured it; this is no result of a benchmark. If the
            tuned file computes several columns at a time, so do the choices, the one without floats too.
        drop_points: Accuracy that it loses, in percentage points, on the images that chose it.
        passes: Whether that is within the limit.
    """

    in_float: int
    cost: float
    drop_points: float
    passes: bool


@dataclass(frozen=True)
class Folded:
    """A convolution that computes several neighbouring columns as one, with more channels, and the same answers.

    Attributes:
        operator: Name of its output tensor.
        columns: Number of columns.
    """

    operator: str
    columns: int


@dataclass(frozen=True)
class Tuned:
    """How a search found which layers of a quantized file stay float, and which are folded, for the least cost on a machine.

    Attributes:
        machine: Where it was measured, for example `Cortex-A72, Raspberry Pi 4 Model B`.
        unit: What was measured: `time`, or `instructions` of an emulated core.
        compared_with: The plain file of least cost there, float or quantized, among those that are accurate enough.
        ratio: The file's cost divided by that file's, in processes that chose nothing; for instructions the interval is that
            of the counts.
        candidates: Number of placements measured.
        seconds: How long the search took.
        seed: Seed of the search.
        tried: The placements that were judged, in order of cost.
        runtime: Name of the runtime that ran all files; None for the format's default one.
        folded: The convolutions that compute several columns as one, in the order in which they run.
    """

    machine: str
    unit: Literal["time", "instructions"]
    compared_with: str
    ratio: Interval
    candidates: int
    seconds: float
    seed: int
    tried: tuple[TriedPlacement, ...]
    runtime: str | None = None
    folded: tuple[Folded, ...] = ()

    @property
    def where(self) -> str:
        """The machine, and the runtime if it is not the default one."""
        return f"{self.machine} with {self.runtime}" if self.runtime else self.machine


@dataclass(frozen=True)
class Setting:
    """What a file costs with arguments of `Classifier.load`.

    Attributes:
        threads: Number of threads.
        runtime: Name of the runtime; None for the format's default one.
        ratio: Its cost divided by that of one thread of the default runtime, in processes that took turns; for instructions
            the interval is that of the counts.
        p50_ns: Median time of one inference in nanoseconds; None for instructions.
        p99_ns: 99th percentile of the same; None for instructions, and for too few runs.
        verdict: Verdict on its accuracy there, as `edgecnn bench` gives it; `UNJUDGED` for an emulated core.
    """

    threads: int
    runtime: str | None
    ratio: Interval
    p50_ns: float | None
    p99_ns: float | None
    verdict: str


@dataclass(frozen=True)
class Beside:
    """What a file costs compared with one of another format.

    Attributes:
        file: Name of that file.
        ratio: The cost divided by that file's, each with one thread of its format's default runtime, in processes that took
            turns; for instructions the interval is that of the counts. 1 of the file itself.
    """

    file: str
    ratio: Interval


@dataclass(frozen=True)
class Settings:
    """The settings with which a file was measured on the machine that an export was tuned for.

    Attributes:
        machine: Where it was measured, as in `Tuned`.
        unit: What was measured: `time`, or `instructions` of an emulated core.
        tried: The settings: one thread of the default runtime, then the others.
        beside: What the file costs compared with the best one of the first format; None if it was compared with none.
    """

    machine: str
    unit: Literal["time", "instructions"]
    tried: tuple[Setting, ...]
    beside: Beside | None = None

    @property
    def best(self) -> Setting | None:
        """The setting of least cost that is shown to gain a percent and not shown to lose accuracy; None for no such one."""
        gains = [one for one in self.tried if one.ratio.high <= GAIN and one.verdict != "FAIL"]
        return min(gains, key=lambda one: one.ratio.estimate, default=None)


@dataclass(frozen=True)
class ScaleChange:
    """An activation's quantization scale, calibrated on each half of the images separately.

    Attributes:
        tensor: Name of the activation in the file.
        ratio: The larger scale divided by the smaller.
    """

    tensor: str
    ratio: float


@dataclass(frozen=True)
class Calibration:
    """The training images that set the activation ranges of the quantized files, and how they were checked.

    Attributes:
        method: Calibration method of each format.
        indices: Positions of the images in the training split.
        images_sha256: SHA-256 of their pixels, in that order.
        seed: Seed of the draw.
        class_counts: Number of images of each class.
        passed_over: Number of training images skipped because a test image has the same pixels.
        input_range: Smallest and largest model input among the calibration images.
        train_range: Smallest and largest model input among the training images that were examined.
        halves: For each quantized file, the activation whose scale differs most between disjoint halves of the images.
        warnings: What a reader should know, one sentence each.
    """

    method: dict[str, CalibrationName]
    indices: tuple[int, ...]
    images_sha256: str
    seed: int
    class_counts: tuple[int, ...]
    passed_over: int
    input_range: tuple[float, ...]
    train_range: tuple[float, ...]
    halves: dict[str, ScaleChange]
    warnings: tuple[str, ...]


NOT_SHOWN = "not shown to be better than always answering the most frequent class"
NO_BETTER_THAN_A_GUESS = f"Doubtful: this is {NOT_SHOWN}"


@dataclass(frozen=True)
class Reference:
    """The float model's probabilities on the test images, which let a machine without it judge files.

    Attributes:
        path: Name of a .npy file of float32 (n, classes) in the manifest's folder.
        sha256: SHA-256 of that file.
        source_sha256: SHA-256 of that model's file.
        test_sha256: SHA-256 of the test split.
        images: Number of test images.
        correct: Number of test images classified correctly.
        doubtful: Whether it is not shown (95 %) to be right more often than always answering the commonest class, on the images
            that `edgecnn bench` judges. None in manifests of earlier releases, and if there are no such images.
    """

    path: str
    sha256: str
    source_sha256: str
    test_sha256: str
    images: int
    correct: int
    doubtful: bool | None = None


@dataclass(frozen=True)
class Provenance:
    """How the artifacts were made.

    Attributes:
        created: UTC time of the training, or of the first export of a model trained elsewhere, ISO 8601.
        exported: UTC time of the last export, or None.
        seed: Seed of the training.
        train_config: Every setting of the training run, as text; empty for a model trained elsewhere.
        versions: Version of each package at training.
        export_versions: Version of each package at the last export for which it was needed.
        calibration: Calibration of the quantized files; None until a file is quantized with it.
        source: Name of the file that the model came from, if it was trained elsewhere.
    """

    created: str
    exported: str | None
    seed: int
    train_config: dict[str, str]
    versions: dict[str, str]
    export_versions: dict[str, str]
    calibration: Calibration | None
    source: str | None = None
