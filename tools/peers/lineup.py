"""The compared runtimes and precisions, and the results of `make peers` for each."""

from dataclasses import dataclass
from pathlib import Path

PROJECT_ROOT = Path(__file__).parents[2]
BASELINE = "int8.tflite"
TARGET = 0.75
THREADS = (1, 2)

# For each runtime, the packages whose versions are reported; the one that runs the file comes first.
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
        file: Name of our file in the exported folder; None for a peer, whose file is built here.
    """

    runtime: str
    precision: str
    file: str | None = None

    @property
    def name(self) -> str:
        """Its name in the tables."""
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
    """A file compared with the float Keras model on the same test images.

    Attributes:
        images: Number of test images.
        same_class: Number of them with the same predicted class.
        largest_difference: Largest difference between two probabilities, 0 to 1.
        right: Number of images that the file classifies correctly.
        reference_right: Number of images that Keras classifies correctly.
    """

    images: int
    same_class: int
    largest_difference: float
    right: int
    reference_right: int


@dataclass(frozen=True)
class Figures:
    """Figures of a file with one number of threads; times are in nanoseconds.

    Attributes:
        threads: Number of threads of the runtime.
        launches: Number of processes that opened the file.
        runs: Number of timed runs of all of them.
        p50_ns: Median of all timed runs.
        p90_ns: 90th percentile of all timed runs.
        ratio: Median over the rounds of its p50 divided by int8.tflite's in the same round, with as many threads.
            It is None if int8.tflite could not be measured.
        start_ns: Time from starting the process to its first answer, including Python's start; a median, like the rest.
        import_ns: Part of that: importing the runtime's package.
        load_ns: Part of that: from the file to a model ready to run.
        peak_memory_bytes: Peak resident memory of the process in bytes.
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
    """All that is known about an entry.

    Attributes:
        entry: The entry.
        size_bytes: Size of its files in bytes; None if they could not be made.
        agreement: Agreement with Keras; None if it could not run.
        figures: One for each number of threads with which it ran.
        problem: Why it did not pass, in words; None if it passed.
    """

    entry: Entry
    size_bytes: int | None
    agreement: Agreement | None
    figures: tuple[Figures, ...]
    problem: str | None

    def with_threads(self, threads: int) -> Figures | None:
        """Return the figures with this number of threads."""
        return next((item for item in self.figures if item.threads == threads), None)


@dataclass(frozen=True)
class Comparison:
    """One run of `make peers`.

    Attributes:
        time: UTC time at the start of measuring.
        machine: CPU, architecture, cores, and how much other processes used meanwhile.
        versions: Version of each package.
        rounds: Number of turns of each file.
        rows: Rows in the order of `ENTRIES`.
    """

    time: str
    machine: str
    versions: dict[str, str]
    rounds: int
    rows: tuple[Row, ...]
