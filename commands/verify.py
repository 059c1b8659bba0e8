"""`edgecnn verify`: whether files still compute what they did."""

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.accuracy import KERAS_REFERENCE
from benchmarks.golden import GoldenCheck, check_golden, golden_problems, golden_text
from benchmarks.lineup import load_reference
from benchmarks.verify import FLOAT_TOLERANCE, tolerance_of, verification_text
from benchmarks.verify import verify as verify_file
from commands.models import load, unverified
from commands.options import ImageOptions, InterfaceOptions, Json, ModelOptions, ModelTarget, Threads
from commands.progress import counted
from commands.targets import Target, opened
from convert.dataset import require_recorded
from convert.own_images import test_images
from edge.bundle import read_index
from edge.console import check_writable, emit, json_file, say
from edge.errors import ArtifactError, ConfigError
from edge.splits import CHUNK, chunks


def verify(
    target: ModelTarget,
    reference: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Another file of the model. Default: what the export kept of Keras.")
    ] = None,
    tolerance: Annotated[
        float | None, typer.Option(help="What a probability may differ by. Default: what the file's precision allows.")
    ] = None,
    images: ImageOptions = ImageOptions(),
    takes: InterfaceOptions = InterfaceOptions(),
    model: ModelOptions = ModelOptions(),
    threads: Threads = 1,
    json: Json = None,
) -> None:
    """Check that a file computes on this machine what its reference computes; a bundle's, its golden vectors.

    Exit code 4 if a probability differs by more than the tolerance.
    """
    check_writable(json_file(json))
    if tolerance is not None and not 0 <= tolerance <= 1:
        raise ConfigError(f"--tolerance must be 0 to 1, got {tolerance}")
    with opened(target, images.data) as where:
        if where.bundle and not reference and not images.data:
            _verify_golden(where, model, threads, tolerance, json)
        else:
            _verify_images(where, reference, tolerance, images, takes, model, threads, json)


def _verify_golden(where: Target, model: ModelOptions, threads: int, tolerance: float | None, json: Path | None) -> None:
    files, skipped = where.files()
    checked = []
    for file in files:
        say(f"{where.name_of(file)}: loading")
        classifier = load(file, threads, model, InterfaceOptions(), ImageOptions())
        checked.append(check_golden(file, classifier, tolerance))
    result = GoldenCheck(str(where.bundle), read_index(files[0].parent).machine, tuple(checked), skipped)
    emit(golden_text(result), result, json)
    if problems := golden_problems(result):
        raise ArtifactError(f"{'; '.join(problems)}: update the runtime, or export again")


def _verify_images(
    where: Target,
    reference: Path | None,
    tolerance: float | None,
    images: ImageOptions,
    takes: InterfaceOptions,
    model: ModelOptions,
    threads: int,
    json: Path | None,
) -> None:
    file = where.one_file()
    shown = where.name_of(file)
    say(f"{shown}: loading")
    classifier = load(file, threads, model, takes, images, [reference] if reference else [])
    test = test_images(file, classifier, where.data, images.folder())
    if reference:
        other = load(reference, threads, model, takes, images, [file])
        if other.shape != classifier.shape:
            raise ConfigError(f"{reference} takes images of {other.shape}, {shown} {classifier.shape}: name files of one model")
        name, expected = str(reference), (other.probabilities(chunk) for chunk in chunks(test))
    elif classifier.manifest:
        require_recorded(classifier.manifest.dataset, test)
        stored = load_reference(file.parent, classifier.manifest)
        name, expected = KERAS_REFERENCE, (stored[start : start + CHUNK] for start in range(0, len(stored), CHUNK))
    else:
        raise ConfigError(f"{shown}: {classifier.unverified}: name another file of the model with --reference")
    if tolerance is None:
        artifact = classifier.manifest.artifact(file.name) if classifier.manifest else None
        tolerance = tolerance_of(artifact) if artifact else FLOAT_TOLERANCE
    with counted("comparing") as on_progress:
        candidate = (classifier.probabilities(chunk) for chunk in chunks(test, on_progress=on_progress))
        result = verify_file(shown, candidate, name, expected, tolerance)
    emit(verification_text(result) + unverified(classifier), result, json)
    if not result.passed:
        raise ArtifactError(
            f"{shown} differs from {name} by {result.largest_difference:.3g} on test image {result.worst_image}, allowed are "
            f"{tolerance:.3g}: export it again, or update its runtime"
        )
