"""Which runtimes are compared, in which precisions, and what `make peers` says of each."""

from dataclasses import dataclass
from pathlib import Path

PROJECT_ROOT = Path(__file__).parents[2]
BASELINE = "int8.tflite"
TARGET = 0.75
THREADS = (1, 2)

# Runtime -> packages whose versions are told, the one that runs the file first.
PACKAGES = {
    "LiteRT": ("ai-edge-litert",),
    "ONNX Runtime": ("onnxruntime",),
    "OpenVINO": ("openvino", "nncf"),
    "ncnn": ("ncnn", "pnnx"),
    "MNN": ("mnn",),
    "ExecuTorch": ("executorch", "torch", "torchao"),
}


@dataclass(frozen=True)
class Entry:
    """One row of the comparison.

    Attributes:
        runtime: A key of `PACKAGES`.
        precision: `float32` or `int8`.
        file: Of the exported folder for ours; None for a peer, whose file is built here.
    """

    runtime: str
    precision: str
    file: str | None = None

    @property
    def name(self) -> str:
        """How the tables call it."""
        return self.file or f"{self.runtime} {self.precision}"


ENTRIES = (
    Entry("LiteRT", "int8", "int8.tflite"),
    Entry("LiteRT", "float32", "float32.tflite"),
    Entry("ONNX Runtime", "int8", "int8.onnx"),
    Entry("ONNX Runtime", "float32", "float32.onnx"),
    *(Entry(runtime, precision) for runtime in ("ExecuTorch", "OpenVINO", "MNN", "ncnn") for precision in ("int8", "float32")),
)


@dataclass(frozen=True)
class Agreement:
    """A file against the float Keras model on the same test images.

    Attributes:
        images: How many.
        same_class: On how many the predicted class is the same.
        largest_difference: Of any probability.
        right: How many the file classifies rightly.
        reference_right: How many Keras does.
    """

    images: int
    same_class: int
    largest_difference: float
    right: int
    reference_right: int


@dataclass(frozen=True)
class Figures:
    """What a file takes with so many threads; times in nanoseconds.

    Attributes:
        threads: Of the runtime.
        launches: How many processes opened the file.
        runs: Timed runs of all of them.
        p50_ns: Of all timed runs.
        p90_ns: Likewise.
        ratio: Median over the rounds of its p50 over that of int8.tflite in the same round, with as many threads.
            None if int8.tflite could not be measured.
        start_ns: From starting the process to its first answer, Python's own start included; like the rest a median.
        import_ns: Of that, importing the runtime's package.
        load_ns: Of that, from the file to a model that can run.
        peak_memory_bytes: The most resident memory of the process.
    """

    threads: int
    launches: int
    runs: int
    p50_ns: float
    p90_ns: float
    ratio: float | None
    start_ns: float
    import_ns: float
    load_ns: float
    peak_memory_bytes: float


@dataclass(frozen=True)
class Row:
    """All that is known of an entry.

    Attributes:
        entry: Which.
        size_bytes: Of its files; None if they could not be made.
        agreement: None if it could not run.
        figures: One for each number of threads with which it ran.
        problem: Why it did not pass, in words; None if it passed.
    """

    entry: Entry
    size_bytes: int | None
    agreement: Agreement | None
    figures: tuple[Figures, ...]
    problem: str | None

    def with_threads(self, threads: int) -> Figures | None:
        """Return the figures with so many threads."""
        return next((item for item in self.figures if item.threads == threads), None)


@dataclass(frozen=True)
class Comparison:
    """One run of `make peers`.

    Attributes:
        time: UTC, when it began to measure.
        machine: CPU, architecture, cores, and what others made of them meanwhile.
        versions: By package.
        rounds: Turns of each file.
        rows: In the order of `ENTRIES`.
    """

    time: str
    machine: str
    versions: dict[str, str]
    rounds: int
    rows: tuple[Row, ...]
