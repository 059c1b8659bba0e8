"""Does a file compute here what its reference computes?"""

from collections.abc import Iterable
from dataclasses import dataclass
from textwrap import fill

import numpy as np

from edge.errors import ArtifactError, ConfigError
from edge.manifest import Artifact
from edge.preprocess import Floats

# Of any probability. Another machine adds the same float32 numbers in another order; float16 weights have 11 significant
# bits. What an export must meet is the same.
FLOAT_TOLERANCE = 1e-4
_TOLERANCE = {"float32": FLOAT_TOLERANCE, "float16": 2e-2}
# Of an output that says no scale: 8 bits over 0 to 1.
_STEP = 1 / 256


@dataclass(frozen=True)
class Verification:
    """A file beside its reference on the same images.

    Attributes:
        file: Its name.
        reference: The name of what it is compared with.
        images: How many.
        same_class: On how many of them the most probable class is the same.
        largest_difference: Of any probability, 0 to 1.
        mean_difference: Mean over the images of each one's largest difference.
        worst_image: The index of the image with the largest difference, from 0.
        tolerance: What the largest difference may be.
        passed: Whether it is.
    """

    file: str
    reference: str
    images: int
    same_class: int
    largest_difference: float
    mean_difference: float
    worst_image: int
    tolerance: float
    passed: bool


def verify(
    file: str, candidate: Iterable[Floats], reference_name: str, reference: Iterable[Floats], tolerance: float
) -> Verification:
    """Compare class probabilities, a chunk of images at a time.

    Args:
        file: The file's name.
        candidate: Its probabilities (n, classes), chunk by chunk, in the images' order.
        reference_name: The reference's name.
        reference: Its probabilities of the same chunks.
        tolerance: What any probability may differ by, 0 to 1.

    Raises:
        ArtifactError: If the two have different classes.
        ConfigError: If there are no images, or the tolerance is out of range.
        ValueError: If the chunks are not of the same images.
    """
    if not 0 <= tolerance <= 1:
        raise ConfigError(f"--tolerance must be 0 to 1, got {tolerance}")
    images = same = worst = 0
    largest, summed = -1.0, 0.0
    for ours, theirs in zip(candidate, reference, strict=True):
        if ours.shape[1] != theirs.shape[1]:
            raise ArtifactError(
                f"{file} has {ours.shape[1]} classes, {reference_name} has {theirs.shape[1]}: compare files of one model"
            )
        if len(ours) != len(theirs):
            raise ValueError(f"chunks must be of the same images, got {len(ours)} and {len(theirs)}")
        if not len(ours):
            continue
        differences = np.abs(ours - theirs).max(axis=1)
        place = int(differences.argmax())
        if differences[place] > largest:
            largest, worst = float(differences[place]), images + place
        same += int((ours.argmax(axis=1) == theirs.argmax(axis=1)).sum())
        summed += float(differences.sum(dtype=np.float64))
        images += len(ours)
    if not images:
        raise ConfigError(f"there are no images to verify {file} on: name others with --data")
    return Verification(
        file=file,
        reference=reference_name,
        images=images,
        same_class=same,
        largest_difference=largest,
        mean_difference=summed / images,
        worst_image=worst,
        tolerance=tolerance,
        passed=largest <= tolerance,
    )


def tolerance_of(artifact: Artifact) -> float:
    """Return what an exported file's probabilities may differ by from the float Keras model's, on the export's test images.

    A float file has a bound of its own. A quantised one differs by design, so that it may do so by what was recorded at
    its export, and one step of its output: kernels of two machines round halves differently.

    Raises:
        ConfigError: If nothing is recorded of how much a file of its kind differs.
    """
    if artifact.precision in _TOLERANCE:
        return _TOLERANCE[artifact.precision]
    if artifact.parity is None:
        raise ConfigError(f"{artifact.path} has no record of how much it may differ: say it with --tolerance")
    quantization = artifact.output.quantization
    return min(artifact.parity.max_difference + (quantization.scales[0] if quantization else _STEP), 1.0)


def verification_text(result: Verification) -> str:
    """Return it in two sentences."""
    share = result.same_class / result.images
    lines = (
        f"{result.file} beside {result.reference}: the same class for {result.same_class:,} of {result.images:,} test images "
        f"({share:.2%})",
        f"{'PASS' if result.passed else 'FAIL'}: probabilities differ by up to {result.largest_difference:.3g} (test image "
        f"{result.worst_image}), {result.mean_difference:.3g} on average, allowed are {result.tolerance:.3g}",
    )
    return "\n".join(fill(line, 100, break_long_words=False, break_on_hyphens=False) for line in lines)
