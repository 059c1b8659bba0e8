"""What a manifest records about how its files were made and what was measured then."""

from dataclasses import dataclass
from typing import Literal

from edgecnn.edge.formats import CalibrationName

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


ScoreName = Literal["probability", "margin", "max-logit", "energy"]
_NAMES = {"margin": "a margin", "max-logit": "a largest logit", "energy": "an energy"}
NOISE, BLANK = "noise", "blank"
"""Names of the strangers that edgecnn makes itself: random pixels, and pictures of one grey."""


@dataclass(frozen=True)
class Strangers:
    """Images of no class of the model, and how many of them it answers.

    Attributes:
        name: `noise` (random pixels), `blank` (pictures of one grey), or the name of a dataset or folder.
        images: Number of images.
        accepted: Number of them that the file's threshold accepts.
        plain: Number that would be accepted by the loosest threshold of the softmax probability for the same error.
    """

    name: str
    images: int
    accepted: int
    plain: int


@dataclass(frozen=True)
class Threshold:
    """The score below which a file's answer is "not sure", and what was measured when it was set.

    Of the accepted answers to images like those that set it, the share of errors is at most `max_error`: the bound is wrong for
    at most 1 - `confidence` of all draws of these images. `benchmarks/statistics/selective.py` has the proof. Of images of
    no class it says only what was counted.

    Attributes:
        score: Score of an answer: `probability` of its class; of a file with probabilities also `margin`, the difference to the
            next one; of a file with logits also `max-logit`, the largest logit, and `energy`, the logarithm of the sum of the
            logits' exponentials.
        least: Smallest accepted score; 0 of `probability` accepts every answer.
        max_error: Largest share of errors among the accepted answers, between 0 and 1, as asked.
        confidence: Confidence of that bound, between 0 and 1.
        tests: Number of thresholds, scores and epochs among which these images chose, for which the bound is corrected.
        images: Number of validation images that set it, without copies.
        images_sha256: SHA-256 of these validation images, with the copies, as `Validation.val_sha256`.
        accepted: Number of them that it accepts.
        wrong: Number of errors among these.
        strangers: What it accepts of images of no class.
        most: Largest accepted score, just below the largest of the validation images; None for no limit.
        tied: Number of these that share the largest score, if they are more than were to stay accepted, so that no stricter
            threshold can be had; else 0.
    """

    score: ScoreName
    least: float
    max_error: float
    confidence: float
    tests: int
    images: int
    images_sha256: str
    accepted: int
    wrong: int
    strangers: tuple[Strangers, ...] = ()
    most: float | None = None
    tied: int = 0

    @property
    def limits(self) -> dict[str, ScoreName | float | None]:
        """The score and its limits, as a page reads them."""
        return {"score": self.score, "least": self.least, "most": self.most}

    @property
    def text(self) -> str:
        """The limits in words, for example `91 %` or `energy 9.87 to 25.4`."""
        return self._limits if self.score == "probability" else f"{self.score} {self._limits}"

    @property
    def refusal(self) -> str:
        """What is said of an answer that is not accepted, for example `is below the threshold 91 %`."""
        if self.score == "probability":
            return f"is below the threshold {self._limits}"
        return f"with {_NAMES[self.score]} {'below' if self.most is None else 'outside'} {self._limits}"

    @property
    def _limits(self) -> str:
        if self.score in ("probability", "margin"):
            return f"{100 * self.least:.4g} %"
        return f"{self.least:.4g}" if self.most is None else f"{self.least:.4g} to {self.most:.4g}"

    @property
    def is_sound(self) -> bool:
        """Whether each number is in its range."""
        counted = 0 <= self.wrong <= self.accepted <= self.images > 0 < self.tests and 0 <= self.tied <= self.images
        strangers = all(0 <= one.accepted <= one.images >= one.plain >= 0 for one in self.strangers)
        ranges = 0 < self.max_error < 1 and 0 < self.confidence < 1
        window = self.most is None or self.least <= self.most
        return (
            counted
            and strangers
            and ranges
            and window
            and (self.score not in ("probability", "margin") or 0 <= self.least <= 1)
        )


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
class Mended:
    """How a quantized file was kept within its limit for lost accuracy.

    Attributes:
        layers: Operators computed in `precision`, in the order in which they were changed back from int8.
        precision: Precision of those operators; `int16` means 16-bit activations.
        max_drop_points: Largest accepted drop in percentage points.
        tries: Number of files judged, including the plain one.
        plain_size_bytes: Size of the plainly quantized file in bytes.
        slowdown: Median time of one inference divided by the plain file's, the two measured alternately.
        held_out: Number of test images that chose no layer and judged the final file once. It is 0 where there
            were too few, so that the same images chose the layers and judged the file.
    """

    layers: tuple[str, ...]
    precision: Literal["float32", "int16"]
    max_drop_points: float
    tries: int
    plain_size_bytes: int
    slowdown: float
    held_out: int = 0


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
class Settings:
    """The settings with which a file was measured on the machine that an export was tuned for.

    Attributes:
        machine: Where it was measured, as in `Tuned`.
        unit: What was measured: `time`, or `instructions` of an emulated core.
        tried: The settings: one thread of the default runtime, then the others.
    """

    machine: str
    unit: Literal["time", "instructions"]
    tried: tuple[Setting, ...]

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


NO_BETTER_THAN_A_GUESS = "Doubtful: this is not shown to be better than always answering the most frequent class"


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
