"""One model file: how right it is, what it says of an image, whether it still computes what it did."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.accuracy import KERAS_REFERENCE
from benchmarks.evaluation import evaluate as evaluate_file
from benchmarks.lineup import load_reference
from benchmarks.verify import FLOAT_TOLERANCE, tolerance_of, verification_text
from benchmarks.verify import verify as verify_file
from commands.models import load, unverified
from commands.options import ImageOptions, InterfaceOptions, Json, ModelOptions, ModelPath, Threads
from commands.progress import counted
from convert.dataset import require_recorded
from convert.figure import save_figure
from convert.own_images import order_note, split_note, test_images, test_record
from edge.console import check_writable, emit, json_file, say
from edge.errors import ArtifactError, ConfigError
from edge.images import read_image
from edge.predicted import labels, predict_images, predicted_text
from edge.splits import CHUNK, chunks


def evaluate(
    file: ModelPath,
    images: ImageOptions,
    takes: InterfaceOptions,
    model: ModelOptions,
    threads: Threads = 1,
    json: Json = None,
) -> None:
    """Print a file's accuracy and loss on the test images."""
    check_writable(json_file(json))
    say(f"{file}: loading")
    classifier = load(file, threads, model, takes, images)
    test = test_images(file, classifier, images.data, images.folder())
    record = test_record(classifier, images.data, test, images.folder())
    with counted("classifying") as on_progress:
        result = evaluate_file(str(file), classifier, test, record, on_progress)
    text = (
        f"{file}: accuracy {result.accuracy:.4f} ({result.correct:,} of {result.images:,} test images), "
        f"loss {result.loss:.4f}, {result.runtime}"
    )
    if classifier.manifest and test.sha256 != classifier.manifest.dataset.test_sha256:
        text += f"\nnot the model's own test images ({classifier.manifest.dataset.name}), but those of {images.data}"
    if images.data:
        notes = [*split_note(record), *order_note(classifier, images.data, images.folder())]
        text += "".join(f"\n{note}" for note in notes)
    emit(text + unverified(classifier), result, json)


def predict(
    file: ModelPath,
    chosen: Annotated[list[Path] | None, typer.Argument(metavar="[IMAGE]...", help="PNG or JPEG files.")] = None,
    index: Annotated[list[int] | None, typer.Option(help="A test image, from 0; may be repeated.")] = None,
    save: Annotated[Path | None, typer.Option(metavar="PNG", help="Also draw the images with their labels.")] = None,
    images: ImageOptions = ImageOptions(),
    takes: InterfaceOptions = InterfaceOptions(),
    model: ModelOptions = ModelOptions(),
    threads: Threads = 1,
    json: Json = None,
) -> None:
    """Classify test images or image files, and show them."""
    if not chosen and not index:
        raise ConfigError("nothing to predict: name image files, or test images with --index 47")
    if save and save.suffix.lower() != ".png":
        raise ConfigError(f"{save} is not a .png name: --save writes PNG")
    check_writable(save, json_file(json), inputs=tuple(chosen or ()))
    say(f"{file}: loading")
    classifier = load(file, threads, model, takes, images)
    shown: list[tuple[str, str | None, Any]] = []
    if index:
        test = test_images(file, classifier, images.data, images.folder())
        for number in index:
            if not 0 <= number < len(test.labels):
                raise ConfigError(f"--index {number} is out of range: the test images are 0 to {len(test.labels) - 1}")
            label = int(test.labels[number])
            name = classifier.class_names[label] if label < len(classifier.class_names) else str(label)
            shown.append((f"test image {number}", name, test.images([number])[0]))
    for path in chosen or ():
        shown.append((str(path), None, read_image(path, classifier.shape, classifier.preprocessing)))
    predicted = predict_images(file, classifier, shown)
    pixels = [image for _, _, image in shown]
    if save:
        save_figure(save, np.stack(pixels), [f"{Path(item.image).name}\n{labels(item)}" for item in predicted.images])
    emit(predicted_text(predicted, pixels) + unverified(classifier), predicted, json)


def verify(
    file: ModelPath,
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
    """Check that a file computes on this machine what its reference computes.

    Exit code 4 if a probability differs by more than the tolerance.
    """
    check_writable(json_file(json))
    say(f"{file}: loading")
    classifier = load(file, threads, model, takes, images, [reference] if reference else [])
    test = test_images(file, classifier, images.data, images.folder())
    if reference:
        other = load(reference, threads, model, takes, images, [file])
        if other.shape != classifier.shape:
            raise ConfigError(f"{reference} takes images of {other.shape}, {file} {classifier.shape}: name files of one model")
        name, expected = str(reference), (other.probabilities(chunk) for chunk in chunks(test))
    elif classifier.manifest:
        require_recorded(classifier.manifest.dataset, test)
        stored = load_reference(file.parent, classifier.manifest)
        name, expected = KERAS_REFERENCE, (stored[start : start + CHUNK] for start in range(0, len(stored), CHUNK))
    else:
        raise ConfigError(f"{file}: {classifier.unverified}: name another file of the model with --reference")
    if tolerance is None:
        artifact = classifier.manifest.artifact(file.name) if classifier.manifest else None
        tolerance = tolerance_of(artifact) if artifact else FLOAT_TOLERANCE
    with counted("comparing") as on_progress:
        candidate = (classifier.probabilities(chunk) for chunk in chunks(test, on_progress=on_progress))
        result = verify_file(str(file), candidate, name, expected, tolerance)
    emit(verification_text(result) + unverified(classifier), result, json)
    if not result.passed:
        raise ArtifactError(
            f"{file} differs from {name} by {result.largest_difference:.3g} on test image {result.worst_image}, allowed are "
            f"{tolerance:.3g}: export it again, or update its runtime"
        )
