"""Golden vectors: images with the raw outputs that a file gave for them where it was made."""

import io
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import WIDTH, grid_text
from benchmarks.tables import Grid
from edge.bundle import GOLDEN_IMAGES_NAME, golden_name, read_index
from edge.classifier import Classifier
from edge.errors import ArtifactError
from edge.files import read_bytes
from edge.manifest import Artifact
from edge.preprocess import Images, to_probabilities
from edge.splits import Split

_REAL = 28
_SEED = 0

# What a probability may differ by from the machine that made the golden vectors, by format and precision. The numbers are
# the same, but kernels for other instructions add them in another order and round halves differently: docs/bundle.md.
FLOAT = 1e-4
INSIDE = 0.05
STEPS = 2


@dataclass(frozen=True)
class Golden:
    """A file's outputs here beside its golden ones.

    Attributes:
        file: Its name.
        runtime: Package and version that ran it here.
        made_by: The one that gave the golden outputs.
        vectors: How many were compared.
        bit_exact: On how many of them every bit of the output is the same.
        largest_difference: Of any probability, 0 to 1.
        worst_vector: The number of the vector with it, from 0.
        tolerance: What it may be.
        passed: Whether it is.
    """

    file: str
    runtime: str
    made_by: str
    vectors: int
    bit_exact: int
    largest_difference: float
    worst_vector: int
    tolerance: float
    passed: bool


@dataclass(frozen=True)
class GoldenCheck:
    """A bundle's files on this machine.

    Attributes:
        bundle: The file.
        made_on: The machine that gave the golden outputs.
        files: Those that ran, in order.
        skipped: Names of those that did not, and why.
    """

    bundle: str
    made_on: str
    files: tuple[Golden, ...]
    skipped: dict[str, str]


def golden_images(test: Split) -> Images:
    """Return uint8 (n, h, w, c): test images from all over the split, and four that no camera takes.

    All black, all white, a ramp and noise reach values that pictures seldom do, up to the ends of every range.
    """
    count = len(test.labels)
    real = test.images(np.unique(np.linspace(0, count - 1, min(_REAL, count)).astype(np.int64)))
    flat = int(np.prod(test.shape))
    made = np.stack(
        [
            np.zeros(flat, np.uint8),
            np.full(flat, 255, np.uint8),
            np.linspace(0, 255, flat).astype(np.uint8),
            np.random.default_rng(_SEED).integers(0, 256, flat, np.uint8),
        ]
    )
    return np.concatenate([real, made.reshape(-1, *test.shape)])


def raw_outputs(classifier: Classifier, images: Images) -> NDArray[Any]:
    """Return the model's own outputs, a call after the other, stacked: (calls, ...) in the output's dtype.

    Raises:
        ArtifactError: If its runtime can't run it.
    """
    return np.stack([classifier.runtime.run(call) for call in classifier.singles(images)])


def tolerance_of(artifact: Artifact, same_package: bool) -> float:
    """Return what a probability may differ by between two machines, 0 to 1.

    Args:
        artifact: The file.
        same_package: Whether the same runtime, of whatever version, runs it on both; another rounds at other places inside.
    """
    quantization = artifact.output.quantization
    if quantization is not None and same_package:
        return STEPS * quantization.scales[0]
    return INSIDE if artifact.precision in ("dynamic", "int8", "int16x8") else FLOAT


def check_golden(file: Path, classifier: Classifier, tolerance: float | None = None) -> Golden:
    """Run a file of an unpacked bundle on its golden vectors.

    Args:
        file: The file, beside its golden vectors.
        classifier: It, opened.
        tolerance: What a probability may differ by; None is what its precision allows.

    Raises:
        ArtifactError: If the golden outputs are not of this file, or its runtime can't run it.
    """
    artifact = classifier.manifest.artifact(file.name) if classifier.manifest else None
    if artifact is None:
        raise ValueError(f"file must be of an unpacked bundle, got {file}")
    images = _array(file.with_name(GOLDEN_IMAGES_NAME))
    expected = _array(file.with_name(golden_name(file.name)))
    outputs = raw_outputs(classifier, images)
    if (outputs.shape, outputs.dtype) != (expected.shape, expected.dtype):
        raise ArtifactError(
            f"{file.name} gives {outputs.dtype} {outputs.shape} here, {expected.dtype} {expected.shape} where it was made: "
            "update its runtime"
        )
    ours, theirs = (_rows(classifier, raw, len(images)) for raw in (outputs, expected))
    spec, kind = classifier.runtime.output_spec, classifier.interface.output
    try:
        differences = np.abs(to_probabilities(ours, spec, kind) - to_probabilities(theirs, spec, kind)).max(axis=1)
    except ArtifactError as error:
        raise ArtifactError(f"{file.name} computes something else here than where it was made: {error}") from error
    worst = int(differences.argmax())
    made_by = read_index(file.parent).golden_runtimes[file.name]
    if tolerance is None:
        tolerance = tolerance_of(artifact, made_by.partition(" ")[0] == classifier.runtime.name)
    largest = float(differences[worst])
    return Golden(
        file=file.name,
        runtime=f"{classifier.runtime.name} {classifier.runtime.version}",
        made_by=made_by,
        vectors=len(images),
        bit_exact=int((ours == theirs).all(axis=1).sum()),
        largest_difference=largest,
        worst_vector=worst,
        tolerance=tolerance,
        passed=largest <= tolerance,
    )


def _array(path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(io.BytesIO(read_bytes(path)), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ArtifactError(f"{path} is not an array ({error}): make the bundle again") from error
    return array


def _rows(classifier: Classifier, raw: NDArray[Any], images: int) -> NDArray[Any]:
    """Return a row for each image; the last call of a file with a fixed batch gives some too many."""
    return raw.reshape(len(raw) * max(1, classifier.batch or 1), -1)[:images]


def golden_text(check: GoldenCheck) -> str:
    """Return a row for each file and a verdict, at most `WIDTH` columns wide."""
    headings = ("file", "bit-exact", "largest\ndifference", "allowed", "runtime\nhere", "runtime\nthere", "")
    rows = tuple(
        (
            item.file,
            f"{item.bit_exact} of {item.vectors}",
            f"{item.largest_difference:.2g}",
            f"{item.tolerance:.2g}",
            item.runtime,
            item.made_by.removeprefix(item.runtime.partition(" ")[0] + " "),
            "PASS" if item.passed else "FAIL",
        )
        for item in check.files
    )
    notes = [f"FAIL: {problem}" for problem in golden_problems(check)]
    notes += [f"Not run: {name}, {reason}." for name, reason in check.skipped.items()]
    if not golden_problems(check):
        notes.append(f"PASS: {_all(check)} computes here what it did on {check.made_on}, within what its precision allows.")
    return "\n".join(
        [grid_text(Grid(f"Golden vectors of {check.bundle}", headings, rows)), "", *(fill(n, WIDTH) for n in notes)]
    )


def golden_problems(check: GoldenCheck) -> list[str]:
    """Return a sentence for each file that computes something else here."""
    return [
        f"{item.file} differs by {item.largest_difference:.3g} on vector {item.worst_vector}, allowed are {item.tolerance:.3g}"
        for item in check.files
        if not item.passed
    ]


def _all(check: GoldenCheck) -> str:
    return "every file" if not check.skipped else f"each of {len(check.files)} files that ran"
