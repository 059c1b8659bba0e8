"""Check that files compute correctly on this machine.

A file is compared with its reference, a bundle with its golden vectors.

The exit code is 4 if a probability differs by more than the tolerance, and 7 if the outputs do not depend on the image.

Example: edgecnn verify artifacts/mnist.zip
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from edgecnn.commands.shared import AnyTarget, Data, Images, Signature, StatedInterface, Threads, Trust
from edgecnn.edge.data.folder_options import NO_OPTIONS
from edgecnn.edge.errors import ArtifactError, ConfigError, InvalidMeasurement, field
from edgecnn.edge.option import Option, checked
from edgecnn.edge.result import SILENT, Progress
from edgecnn.shell.call import Call
from edgecnn.shell.console import Json, emit

if TYPE_CHECKING:
    from edgecnn.benchmarks.bundle.golden import GoldenCheck
    from edgecnn.benchmarks.bundle.verify import Verification
    from edgecnn.edge.data.splits import Split
    from edgecnn.edge.inference.classifier import Classifier
    from edgecnn.edge.inference.usage import Usage
    from edgecnn.edge.model.preprocess import Floats
    from edgecnn.edge.model_file import ModelFile
    from edgecnn.edge.model_folder import ModelFolder


@checked
def verify(
    target: AnyTarget,
    *,
    reference: Annotated[
        str | Path | None,
        Option("Another file of the model.", default="the stored outputs of the Keras model"),
    ] = None,
    tolerance: Annotated[
        float | None,
        Option("Largest accepted difference of a probability.", default="that of the file's precision", low=0, high=1),
    ] = None,
    data: Data = None,
    images: Images = NO_OPTIONS,
    interface: StatedInterface = None,
    trust: Trust = (),
    signature: Signature = None,
    threads: Threads = 1,
    progress: Progress = SILENT,
) -> "Verification | GoldenCheck":
    """Check that a file computes on this machine what its reference computes, or for a bundle, its golden vectors.

    A difference beyond the tolerance raises no exception: see `passed` and `problem` of the result.

    Returns:
        The `GoldenCheck` of a bundle's files, or the `Verification` of one file on test images.

    Raises:
        ArtifactError: If a file is missing or damaged, or a runtime refuses it.
        ConfigError: If there is nothing to compare with, or the images or the tolerance do not fit.
        MissingDependency: If no file has a runtime here.
    """
    from edgecnn.edge.inference.usage import Usage
    from edgecnn.edge.model_folder import opened

    usage = Usage(data, images, interface, trust, signature, threads)
    with opened(target) as models:
        if models.bundle and not reference and not data:
            return _golden(models, replace(usage, interface=None, images=NO_OPTIONS), tolerance, progress)
        return _compared(models, Path(reference) if reference else None, usage, tolerance, progress)


def _golden(models: "ModelFolder", usage: "Usage", tolerance: float | None, progress: Progress) -> "GoldenCheck":
    from edgecnn.benchmarks.bundle.golden import GoldenCheck, check_golden
    from edgecnn.edge.archive import read_index

    here, skipped = models.runnable()
    checked = []
    for name in here:
        progress.say(f"{models.shown(name)}: loading")
        checked.append(check_golden(models.folder / name, usage.classifier(models.model(name)), tolerance))
    return GoldenCheck(str(models.bundle), read_index(models.folder).machine, tuple(checked), skipped)


def _compared(
    models: "ModelFolder", reference: Path | None, usage: "Usage", tolerance: float | None, progress: Progress
) -> "Verification":
    from edgecnn.benchmarks.bundle.verify import tolerance_of
    from edgecnn.benchmarks.bundle.verify import verify as verify_file
    from edgecnn.benchmarks.gate.accuracy import KERAS_REFERENCE
    from edgecnn.edge.data.recorded_images import require_recorded
    from edgecnn.edge.data.splits import CHUNK, chunks
    from edgecnn.edge.inference.model_test_images import load_reference
    from edgecnn.edge.inference.usage import reservations
    from edgecnn.edge.model_file import read_model

    model = models.model()
    shown = models.shown(model.path.name)
    progress.say(f"{shown}: loading")
    other = read_model(reference) if reference else None
    classifier = usage.classifier(model, [other] if other else [])
    test = usage.test_images(models, shown, classifier)
    if other:
        name, expected = str(reference), _of_another(other, model, classifier, usage, test)
    elif classifier.manifest:
        require_recorded(classifier.manifest.dataset, test)
        stored = load_reference(models.folder, classifier.manifest, test.labels)
        name, expected = KERAS_REFERENCE, (stored[start : start + CHUNK] for start in range(0, len(stored), CHUNK))
    else:
        raise ConfigError(f"{shown}: {classifier.unverified}: name another file of the model with {field('reference')}")
    if tolerance is None:
        tolerance = tolerance_of(model.artifact)
    told = partial(progress.step, text="comparing")
    candidate = (classifier.judged_probabilities(chunk) for chunk in chunks(test, on_progress=told))
    found = verify_file(shown, candidate, name, expected, tolerance)
    return replace(found, notes=reservations(classifier))


def _of_another(
    other: "ModelFile", model: "ModelFile", classifier: "Classifier", usage: "Usage", test: "Split"
) -> "Iterable[Floats]":
    """Return another file's probabilities for the same images."""
    from edgecnn.edge.data.splits import chunks

    opened_other = usage.classifier(other, [model])
    if opened_other.shape != classifier.shape:
        raise ConfigError(
            f"{other.path} takes images of {opened_other.shape}, {model.path} of {classifier.shape}: name files of one model"
        )
    return (opened_other.judged_probabilities(chunk) for chunk in chunks(test))


def command(call: Call, *, json: Json = None) -> None:
    """Print what was compared."""
    result = call()
    emit(result, json)
    if result.problem:
        raise (InvalidMeasurement if result.same_for_all else ArtifactError)(result.problem)
