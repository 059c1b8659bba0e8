"""Golden vectors: images with the raw outputs that a file computed where it was made."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.archive import GOLDEN_IMAGES_NAME, golden_name, read_index
from edgecnn.edge.data.npz import read_npy
from edgecnn.edge.data.splits import Split
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.files import read_bytes
from edgecnn.edge.formats import PRECISIONS
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.inference.usage import Usage
from edgecnn.edge.manifest import Artifact
from edgecnn.edge.model.preprocess import Floats, Images, accepts, scores
from edgecnn.edge.model.threshold import Threshold
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.records import to_value
from edgecnn.edge.result import Progress, Result
from edgecnn.edge.text import counted

_REAL = 28
_SEED = 0

# Steps of an integer output: kernels for different instructions round halves differently. docs/reference/bundle.md
_STEPS = 2

Outputs = tuple[Floats, Floats | None]
"""Result of `Classifier.outputs`."""


@dataclass(frozen=True)
class Golden:
    """A file's outputs here compared with its golden ones.

    Attributes:
        file: Name of the file.
        runtime: Package and version that ran it here.
        made_by: Package and version that computed the golden outputs.
        vectors: Number of vectors compared.
        bit_exact: Number of them with a bit-exact output.
        largest_difference: Largest difference between two probabilities, 0 to 1.
        worst_vector: Index of the vector with it, from 0.
        tolerance: Largest accepted difference, 0 to 1.
        passed: Whether the difference is within the tolerance, and explains each vector that is accepted otherwise.
        accepted: Number of vectors that the file's threshold accepts here; None for a file without one.
        accepted_otherwise: Number of vectors accepted here and not there, or there and not here. A score that is next to the
            threshold may be rounded to its other side.
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
    accepted: int | None = None
    accepted_otherwise: int = 0


@dataclass(frozen=True, repr=False)
class GoldenCheck(Result):
    """A bundle's files on this machine.

    Attributes:
        bundle: Name of the bundle.
        made_on: Machine that computed the golden outputs.
        files: Files that ran, in order.
        skipped: Reason for each file that did not run.
        signer: Who signed the bundle, as the file of allowed signers names them; None if none was given.
    """

    bundle: str
    made_on: str
    files: tuple[Golden, ...]
    skipped: dict[str, str]
    signer: str | None = None

    def rows(self) -> list[dict[str, Any]]:
        """Return one dict per file."""
        files: list[dict[str, Any]] = to_value(self.files)
        return files

    @property
    def passed(self) -> bool:
        """Whether every file that ran computes the same here as where the bundle was made."""
        return all(file.passed for file in self.files)

    @property
    def same_for_all(self) -> bool:
        """Always False: golden vectors are compared one by one."""
        return False

    @property
    def problem(self) -> str | None:
        """The problem and its fix; None if all passed."""
        if self.passed:
            return None
        return f"{'; '.join(golden_problems(self))}: update the runtime, or make the bundle again with edgecnn bundle"


def golden_images(test: Split) -> Images:
    """Return uint8 (n, h, w, c): test images spread over the split, and four artificial ones.

    Black, white, a ramp and noise reach values that are rare in pictures, up to the ends of every range.
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
    """Return the model's raw outputs of one call after another, stacked: (calls, ...) in the output's dtype.

    Raises:
        ArtifactError: If its runtime can't run it.
    """
    calls = classifier.singles(images)
    try:
        return np.stack([classifier.runtime.run(call) for call in calls])
    except Exception as error:  # Runtimes raise their own errors, whose only common base class is this.
        raise classifier.cannot_run(error) from error


def tolerance_of(artifact: Artifact, same_package: bool) -> float:
    """Return the largest accepted difference of a probability between two machines, 0 to 1.

    With the same package, in any version, both use the same runtime; another one rounds at other places inside.
    """
    quantization = artifact.output.quantization
    if quantization is not None and same_package:
        return _STEPS * quantization.scales[0]
    return PRECISIONS[artifact.precision].drift


def checked_bundle(models: ModelFolder, usage: Usage, tolerance: float | None, progress: Progress) -> GoldenCheck:
    """Run each file of an opened bundle that has a runtime here on its golden vectors. Errors are those of `check_golden`."""
    here, skipped = models.runnable()
    checked = []
    for name in here:
        progress.say(f"{models.shown(name)}: loading")
        checked.append(check_golden(models.folder / name, usage.classifier(models.model(name)), tolerance))
    return GoldenCheck(str(models.bundle), read_index(models.folder).machine, tuple(checked), skipped)


def check_golden(file: Path, classifier: Classifier, tolerance: float | None = None) -> Golden:
    """Run a file of an unpacked bundle on its golden vectors, which are in its folder.

    `tolerance` is the largest accepted difference of a probability; None means that of its precision.

    Raises:
        ArtifactError: If the golden outputs are not this file's, or its runtime can't run it.
    """
    artifact = classifier.manifest.artifact(file.name) if classifier.manifest else None
    if artifact is None:
        raise ValueError(f"file must be of an unpacked bundle, got {file}")
    images = _array(file.with_name(GOLDEN_IMAGES_NAME))
    made_by = read_index(file.parent).golden_runtimes.get(file.name)
    if images.dtype != np.uint8 or images.shape[1:] != classifier.shape or not len(images) or made_by is None:
        raise ArtifactError(f"{file.name} has no golden images in {file.parent.name}: make the bundle again")
    expected = _array(file.with_name(golden_name(file.name)))
    outputs = raw_outputs(classifier, images)
    if (outputs.shape, outputs.dtype) != (expected.shape, expected.dtype):
        raise ArtifactError(
            f"{file.name} gives {outputs.dtype} {outputs.shape} here, but {expected.dtype} {expected.shape} where it was made: "
            "update its runtime"
        )
    ours, theirs = (_rows(classifier, raw, len(images)) for raw in (outputs, expected))
    try:
        here, there = classifier.of_raw(ours), classifier.of_raw(theirs)
    except ArtifactError as error:
        raise ArtifactError(f"{file.name} computes something else here than where it was made: {error}") from error
    differences = np.abs(here[0] - there[0]).max(axis=1)
    worst = int(differences.argmax())
    if tolerance is None:
        tolerance = tolerance_of(artifact, made_by.partition(" ")[0] == classifier.runtime.name)
    largest = float(differences[worst])
    accepted, otherwise, same = _acceptance(artifact.threshold, here, there, tolerance)
    return Golden(
        file=file.name,
        runtime=f"{classifier.runtime.name} {classifier.runtime.version}",
        made_by=made_by,
        vectors=len(images),
        bit_exact=int((ours == theirs).all(axis=1).sum()),
        largest_difference=largest,
        worst_vector=worst,
        tolerance=tolerance,
        passed=largest <= tolerance and same,
        accepted=accepted,
        accepted_otherwise=otherwise,
    )


def _acceptance(threshold: Threshold | None, here: Outputs, there: Outputs, tolerance: float) -> tuple[int | None, int, bool]:
    """Return `accepted` and `accepted_otherwise` of `Golden`, and whether rounding explains the latter."""
    if threshold is None:
        return None, 0, True
    reached, before = (scores(threshold.score, *outputs) for outputs in (here, there))
    accepted = accepts(threshold, *here)
    otherwise = accepted != accepts(threshold, *there)
    # A margin moves with two probabilities. Logits are not within 0 to 1, and are rounded in proportion.
    moved = np.abs(reached - before) > tolerance * (2 if threshold.score == "margin" else max(1, abs(threshold.least)))
    return int(accepted.sum()), int(otherwise.sum()), not (otherwise & moved).any()


def _array(path: Path) -> NDArray[Any]:
    return read_npy(read_bytes(path), f"{path} is not an array", "make the bundle again")


def _rows(classifier: Classifier, raw: NDArray[Any], images: int) -> NDArray[Any]:
    """Return one row per image; the last call of a file with a fixed batch gives surplus rows."""
    return raw.reshape(len(raw) * max(1, classifier.batch or 1), -1)[:images]


def golden_problems(check: GoldenCheck) -> list[str]:
    """Return a sentence for each file that computes something else here."""
    return [
        f"{item.file} differs by {item.largest_difference:.3g} on vector {item.worst_vector}, the limit is {item.tolerance:.3g}"
        if item.largest_difference > item.tolerance
        else f"{item.file} {otherwise_text(item)}"
        for item in check.files
        if not item.passed
    ]


def otherwise_text(item: Golden) -> str:
    """Return how many vectors a file accepts here and not there, or there and not here."""
    return f"accepts {item.accepted_otherwise} of {counted(item.vectors, 'vector')} otherwise than where it was made"
