"""Predicts the classes of images."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from numpy.typing import NDArray

from edgecnn.api.usage import Target, Usage, reservations
from edgecnn.edge.data.folder_options import NO_OPTIONS, FolderOptions
from edgecnn.edge.data.image_file import Polarity
from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.folder.model_folder import ModelFolder, opened
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.inference.pictures import fitted_picture, image_files, title_of
from edgecnn.edge.inference.predictions import TOP, Chosen, Predicted, predict_images
from edgecnn.edge.manifest import Side
from edgecnn.edge.model.interface import Interface
from edgecnn.edge.model.preprocess import Images
from edgecnn.edge.progress import SILENT, Progress

if TYPE_CHECKING:
    from edgecnn.edge.inference.pictures import Picture


def predict(  # Longer than 50 lines: its arguments and their docs.
    target: Target,
    pictures: "Sequence[Picture | NDArray[Any]]" = (),
    *,
    indices: Sequence[int] = (),
    data: str | Path | None = None,
    images: FolderOptions = NO_OPTIONS,
    interface: Interface | str | None = None,
    trust: Sequence[str] = (),
    signature: str | None = None,
    threads: int = 1,
    background: Side | None = None,
    top: int = TOP,
    keep_pixels: bool = True,
    progress: Progress = SILENT,
) -> Predicted:
    """Classify pictures of any size, or test images by their number; `Classifier.load` is for an application.

    Args:
        target: A model file, a file in a bundle, or a folder or bundle with only one file that runs here.
        pictures: Paths of PNG or JPEG files or of folders with them, files opened in binary mode, PIL images, or uint8 arrays
            (height, width, 1 or 3), colours as RGB.
        indices: Numbers of test images, from 0.
        data: Where the test images are, as in `edgecnn.load_dataset`. Default: the model's own.
        images: How a folder of images is read, and the class names.
        interface: For a file without a manifest: as in `edgecnn.evaluate`.
        trust: Names of Python modules that define a Keras model's own layers. Their code runs.
        signature: Name of the signature to run, if a TFLite file has several.
        threads: Number of threads of the runtime, 1 to 64.
        background: Background of the digits or things in the pictures, `dark` or `light`. Default: decided by each picture's
            border; the image's `doubt` says if that may be wrong.
        top: Number of classes that the text shows for each image, at least 1.
        keep_pixels: Whether to keep each image as the model got it, for the text and `save`; thousands of photos take memory.
        progress: Receives the progress.

    Returns:
        The label and the probabilities, 0 to 1, of each image; test images come first.

    Raises:
        ArtifactError: If a file is missing or damaged, a picture can't be read, or the runtime refuses the model.
        ConfigError: If there is nothing to predict, an index is out of range, or the model's preprocessing is unknown.
        MissingDependency: If the runtime, or Pillow for pictures, is not installed.
    """
    if not len(pictures) and not len(indices):
        raise ConfigError(f"nothing to predict: name image files, or test images with {field('indices')}=47")
    if background not in (None, *get_args(Side)):
        raise ConfigError(f"{field('background')}={background} is unknown: use dark or light")
    if top < 1:
        raise ConfigError(f"{field('top')} must be at least 1, got {top}")
    usage = Usage(data, images, interface, trust, signature, threads)
    with opened(target) as models:
        model = models.model()
        name = models.shown(model.path.name)
        progress.say(f"{name}: loading")
        classifier = usage.classifier(model)
        rule = classifier.preprocessing
        if background and rule.background == "any" and rule.fit != "digit":
            raise ConfigError(f"{name} takes pictures as they are, light or dark: omit {field('background')}")
        chosen = _numbered(models, name, classifier, usage, indices) if len(indices) else []
    found = predict_images(Path(name), classifier, chain(chosen, _fitted(pictures, classifier, background)), keep_pixels)
    return replace(found, notes=reservations(classifier), top=top)


def _fitted(pictures: "Sequence[Picture | NDArray[Any]]", classifier: Classifier, background: Side | None) -> Iterator[Chosen]:
    """Yield pictures, including those in folders, fitted for the classifier."""
    for place, named in enumerate(pictures):
        several: Iterable[Picture | NDArray[Any]] = [named]
        if isinstance(named, (str, Path)) and Path(named).is_dir():
            several = image_files(Path(named))
        for picture in several:
            title, doubts = title_of(picture, place), list[str]()
            polarity = Polarity(background, doubts.append)
            image = fitted_picture(picture, classifier.shape, classifier.preprocessing, title, polarity)
            yield Chosen(image, title, doubt=doubts[0] if doubts else None)


def read_image(picture: "Picture | NDArray[Any]", classifier: Classifier) -> Images:
    """Turn a picture of any size into an image for a classifier, by the rule that fitted its training images.

    Args:
        picture: The path of a PNG or JPEG file, such a file opened in binary mode, a PIL image, or a uint8 array
            (height, width, 1 or 3), colours as RGB, such as a camera's.
        classifier: The classifier that will receive it.

    Returns:
        uint8 (h, w, c), which is `classifier.shape`.

    Raises:
        ArtifactError: If the file is missing or is not an image, or it shows nothing.
        MissingDependency: If Pillow is not installed.
        ValueError: If an array has another dtype or shape.
    """
    return fitted_picture(picture, classifier.shape, classifier.preprocessing)


def _numbered(models: ModelFolder, name: str, classifier: Classifier, usage: Usage, indices: Sequence[int]) -> list[Chosen]:
    """Return test images with their titles and labels."""
    test = usage.test_images(models, name, classifier)
    chosen: list[Chosen] = []
    for number in indices:
        if not 0 <= number < len(test.labels):
            raise ConfigError(f"{field('indices')}={number} is out of range: the test images are 0 to {len(test.labels) - 1}")
        label = int(test.labels[number])
        known = classifier.class_names[label] if label < len(classifier.class_names) else str(label)
        chosen.append(Chosen(test.images([number])[0], f"test image {number}", known))
    return chosen
