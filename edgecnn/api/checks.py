"""Checks whether this machine and its files will work, and whether they compute correctly."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from edgecnn.api.usage import Target, Usage, reservations
from edgecnn.benchmarks.doctor.examine import Examination, examine
from edgecnn.benchmarks.judge.accuracy import KERAS_REFERENCE
from edgecnn.benchmarks.proof.golden import GoldenCheck, check_golden
from edgecnn.benchmarks.proof.verify import Verification, tolerance_of
from edgecnn.benchmarks.proof.verify import verify as verify_file
from edgecnn.edge.data.folder_options import NO_OPTIONS, FolderOptions
from edgecnn.edge.data.splits import CHUNK, Split, chunks
from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.folder.archive import read_index
from edgecnn.edge.folder.model_file import ModelFile, read_model
from edgecnn.edge.folder.model_folder import ModelFolder, opened
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.inference.recorded_source import require_recorded
from edgecnn.edge.inference.reference_probabilities import load_reference
from edgecnn.edge.model.interface import Interface
from edgecnn.edge.model.preprocess import Floats
from edgecnn.edge.progress import SILENT, Progress


def verify(
    target: Target,
    *,
    reference: str | Path | None = None,
    tolerance: float | None = None,
    data: str | Path | None = None,
    images: FolderOptions = NO_OPTIONS,
    interface: Interface | str | None = None,
    trust: Sequence[str] = (),
    signature: str | None = None,
    threads: int = 1,
    progress: Progress = SILENT,
) -> Verification | GoldenCheck:
    """Check that a file computes on this machine what its reference computes, or for a bundle, its golden vectors.

    A difference beyond the tolerance raises no exception: see `passed` and `problem` of the result.

    Args:
        target: A model file, a bundle, a file in a bundle, or a folder with only one file that runs here.
        reference: Another file of the same model. Default: the stored outputs of the float Keras model.
        tolerance: Largest accepted difference of a probability, 0 to 1. Default: that of the file's precision.
        data: Images to compare on, as in `edgecnn.load_dataset`; a bundle is then compared on them too.
        images: How a folder of images is read, and the class names.
        interface: For a file without a manifest: as in `edgecnn.evaluate`.
        trust: Names of Python modules that define a Keras model's own layers. Their code runs.
        signature: Name of the signature to run, if a TFLite file has several.
        threads: Number of threads of the runtime, 1 to 64.
        progress: Receives the progress.

    Returns:
        The `GoldenCheck` of a bundle's files, or the `Verification` of one file on test images.

    Raises:
        ArtifactError: If a file is missing or damaged, or a runtime refuses it.
        ConfigError: If there is nothing to compare with, or the images or the tolerance do not fit.
        MissingDependency: If no file has a runtime here.
    """
    if tolerance is not None and not 0 <= tolerance <= 1:
        raise ConfigError(f"{field('tolerance')} must be 0 to 1, got {tolerance}")
    usage = Usage(data, images, interface, trust, signature, threads)
    with opened(target) as models:
        if models.bundle and not reference and not data:
            return _golden(models, replace(usage, interface=None, images=NO_OPTIONS), tolerance, progress)
        return _compared(models, Path(reference) if reference else None, usage, tolerance, progress)


def _golden(models: ModelFolder, usage: Usage, tolerance: float | None, progress: Progress) -> GoldenCheck:
    here, skipped = models.runnable()
    checked = []
    for name in here:
        progress.say(f"{models.shown(name)}: loading")
        checked.append(check_golden(models.folder / name, usage.classifier(models.model(name)), tolerance))
    return GoldenCheck(str(models.bundle), read_index(models.folder).machine, tuple(checked), skipped)


def _compared(
    models: ModelFolder, reference: Path | None, usage: Usage, tolerance: float | None, progress: Progress
) -> Verification:
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


def _of_another(other: ModelFile, model: ModelFile, classifier: Classifier, usage: Usage, test: Split) -> Iterable[Floats]:
    """Return another file's probabilities for the same images."""
    opened_other = usage.classifier(other, [model])
    if opened_other.shape != classifier.shape:
        raise ConfigError(
            f"{other.path} takes images of {opened_other.shape}, {model.path} of {classifier.shape}: name files of one model"
        )
    return (opened_other.judged_probabilities(chunk) for chunk in chunks(test))


def doctor(target: Target | None = None, *, signature: str | None = None, progress: Progress = SILENT) -> Examination:
    """Examine this machine and, if named, whether exported files will work on it. Nothing is installed or changed.

    It takes some seconds: each runtime is imported, and each file is run once, in a child process.

    Args:
        target: A model file, a folder with a manifest, a bundle, a file in a bundle, or the result of `edgecnn.open`.
        signature: Name of the signature to run, if a TFLite file has several.
        progress: Receives the progress.

    Returns:
        Findings; `problems` are those that keep something from working, each with its fix.

    Raises:
        ArtifactError: If the target does not exist, has no valid manifest, or is a damaged bundle.
    """
    progress.say("examining this machine, importing each runtime")
    return examine(Path(target) if isinstance(target, str) else target, signature)
