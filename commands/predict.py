"""`edgecnn predict`."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from commands.models import load, unverified
from commands.options import ImageOptions, InterfaceOptions, Json, ModelOptions, ModelTarget, Threads
from commands.targets import opened
from edge.console import check_writable, emit, json_file, say
from edge.errors import ConfigError
from edge.images import read_image
from edge.predicted import labels, predict_images, predicted_text


def predict(
    target: ModelTarget,
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
    with opened(target, images.data) as where:
        file = where.one_file()
        name = where.name_of(file)
        say(f"{name}: loading")
        classifier = load(file, threads, model, takes, images)
        shown: list[tuple[str, str | None, Any]] = []
        if index:
            from convert.own_images import test_images  # noqa: PLC0415 - Image files start sooner without.

            test = test_images(file, classifier, where.data, images.folder())
            for number in index:
                if not 0 <= number < len(test.labels):
                    raise ConfigError(f"--index {number} is out of range: the test images are 0 to {len(test.labels) - 1}")
                label = int(test.labels[number])
                known = classifier.class_names[label] if label < len(classifier.class_names) else str(label)
                shown.append((f"test image {number}", known, test.images([number])[0]))
    for path in chosen or ():
        shown.append((str(path), None, read_image(path, classifier.shape, classifier.preprocessing)))
    predicted = predict_images(Path(name), classifier, shown)
    pixels = [image for _, _, image in shown]
    if save:
        from convert.figure import save_figure  # noqa: PLC0415 - Likewise.

        save_figure(save, np.stack(pixels), [f"{Path(item.image).name}\n{labels(item)}" for item in predicted.images])
    emit(predicted_text(predicted, pixels) + unverified(classifier), predicted, json)
