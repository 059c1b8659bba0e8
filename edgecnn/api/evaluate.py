"""Accuracy and loss of files."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from edgecnn.api.usage import Target, Usage, reservations
from edgecnn.benchmarks.measure.evaluation import Evaluation, Evaluations
from edgecnn.benchmarks.measure.evaluation import evaluate as evaluate_file
from edgecnn.edge.data.folder_options import NO_OPTIONS, FolderOptions
from edgecnn.edge.folder.model_folder import ModelFolder, opened
from edgecnn.edge.inference.model_test_images import model_test_record, order_note, split_note
from edgecnn.edge.model.interface import Interface
from edgecnn.edge.progress import SILENT, Progress


def evaluate(
    target: Target,
    *,
    data: str | Path | None = None,
    images: FolderOptions = NO_OPTIONS,
    interface: Interface | str | None = None,
    trust: Sequence[str] = (),
    signature: str | None = None,
    threads: int = 1,
    progress: Progress = SILENT,
) -> Evaluations:
    """Classify test images with a model file, or with each file of a folder or bundle, and compare with their labels.

    Args:
        target: A model file, a folder with a manifest, a bundle, a file in a bundle, or the result of `edgecnn.open`.
        data: The images, as in `edgecnn.load_dataset`. Default: the model's own test images.
        images: How a folder of images is read, and the class names.
        interface: Preprocessing and output of a file without a manifest: an `Interface`, or `"unit"`
            (pixel / 255), `"raw"`, `"tf"`, `"torch"` or `"caffe"`.
        trust: Names of Python modules that define a Keras model's own layers. Their code runs.
        signature: Name of the signature to run, if a TFLite file has several.
        threads: Number of threads of the runtime, 1 to 64.
        progress: Receives the progress.

    Returns:
        An `Evaluation` for each file: accuracy 0 to 1, loss in nats.

    Raises:
        ArtifactError: If a file or the images are missing or damaged, or a runtime refuses a file.
        ConfigError: If the images do not fit the model, or its preprocessing is unknown and `interface` is missing.
        MissingDependency: If no file has a runtime here.
    """
    usage = Usage(data, images, interface, trust, signature, threads)
    with opened(target) as models:
        here, skipped = models.runnable()
        return Evaluations(tuple(_evaluated(models, name, usage, progress) for name in here), skipped)


def _evaluated(models: ModelFolder, name: str, usage: Usage, progress: Progress) -> Evaluation:
    shown = models.shown(name)
    progress.say(f"{shown}: loading")
    classifier = usage.classifier(models.model(name))
    test = usage.test_images(models, shown, classifier)
    record = model_test_record(classifier, usage.data, test, usage.images)
    found = evaluate_file(shown, classifier, test, record, partial(progress.step, text="classifying"))
    notes: list[str] = []
    if classifier.manifest and test.sha256 != classifier.manifest.dataset.test_sha256:
        notes.append(f"not the model's own test images ({classifier.manifest.dataset.name}), but those of {usage.data}")
    if usage.data:
        notes += [*split_note(record), *order_note(classifier, usage.data, usage.images)]
    return replace(found, notes=(*notes, *reservations(classifier)))
