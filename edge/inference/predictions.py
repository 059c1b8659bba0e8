"""Predictions for named images, for people and machines."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.data.digit import Polarity
from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.inference.pictures import Picture, fitted_picture, image_files, title_of
from edgecnn.edge.manifest import Side
from edgecnn.edge.model.preprocess import Images
from edgecnn.edge.records import unrecorded
from edgecnn.edge.result import Result
from edgecnn.edge.show import rendered

if TYPE_CHECKING:
    from edgecnn.edge.data.splits import Split

TOP = 5
"""Number of classes that the text shows for each image; the JSON has all."""

_CHUNK = 64


@dataclass(frozen=True)
class PredictedImage:
    """One image of `edgecnn predict`.

    Attributes:
        image: Name of the image.
        label: The true label, or None if unknown.
        predicted: The most probable label.
        probabilities: Probability of each label, 0 to 1, for all classes.
        doubt: One sentence on why light and dark may have been confused; None if they were clear.
    """

    image: str
    label: str | None
    predicted: str
    probabilities: dict[str, float]
    doubt: str | None = None


class Chosen(NamedTuple):
    """An image to classify: uint8 (h, w, c), its name, its true label if known, and doubts about it."""

    image: Images
    name: str
    label: str | None = None
    doubt: str | None = None


@dataclass(frozen=True, repr=False)
class Predicted(Result):
    """The predictions for all images, and the runtime.

    Attributes:
        file: The model file.
        runtime: Package and version that ran it.
        unverified: Why the file is unverified, or None.
        images: The predictions, in the order of the request.
        notes: What else a reader must know, one sentence each; not in the JSON.
        pixels: uint8 (h, w, c) of each image as the model got it; empty if they were not kept; not in the JSON.
        top: Number of classes that the text shows for each image; not in the JSON.
    """

    file: str
    runtime: str
    unverified: str | None
    images: tuple[PredictedImage, ...]
    notes: tuple[str, ...] = unrecorded(())
    pixels: tuple[Images, ...] = unrecorded(())
    top: int = unrecorded(TOP)

    def rows(self) -> list[dict[str, Any]]:
        """Return one dict per image; the probability is that of the predicted class, 0 to 1."""
        return [
            {
                "image": item.image,
                "label": item.label,
                "predicted": item.predicted,
                "probability": item.probabilities[item.predicted],
            }
            for item in self.images
        ]

    def save(self, path: str | Path) -> None:
        """Draw the images with their labels into a .png file, at most the first 200.

        Raises:
            ConfigError: If the file can't be written.
            MissingDependency: If Pillow is not installed.
            ValueError: If the pixels were not kept.
        """
        if not self.pixels:
            raise ValueError("the pixels were not kept: predict with keep_pixels=True")
        rendered(self, "save", Path(path))

    def __repr__(self) -> str:
        return f"<Predicted {self.file}: {', '.join(item.predicted for item in self.images)}>"


def chosen_pictures(
    pictures: "Iterable[Picture | NDArray[Any]]", classifier: Classifier, background: Side | None
) -> Iterator[Chosen]:
    """Yield pictures, including those in folders, fitted for the classifier; `background` is as in `edgecnn.predict`."""
    for place, named in enumerate(pictures):
        several: Iterable[Picture | NDArray[Any]] = [named]
        if isinstance(named, (str, Path)) and Path(named).is_dir():
            several = image_files(Path(named))
        for picture in several:
            title, doubts = title_of(picture, place), list[str]()
            polarity = Polarity(background, doubts.append)
            image = fitted_picture(picture, classifier.shape, classifier.preprocessing, title, polarity)
            yield Chosen(image, title, doubt=doubts[0] if doubts else None)


def chosen_test_images(test: "Split", indices: Sequence[int], classifier: Classifier) -> list[Chosen]:
    """Return test images with their titles and labels.

    Raises:
        ConfigError: If an index is out of range.
    """
    chosen = []
    for number in indices:
        if not 0 <= number < len(test.labels):
            raise ConfigError(f"{field('indices')}={number} is out of range: the test images are 0 to {len(test.labels) - 1}")
        label = int(test.labels[number])
        known = classifier.class_names[label] if label < len(classifier.class_names) else str(label)
        chosen.append(Chosen(test.images([number])[0], f"test image {number}", known))
    return chosen


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


def predict_images(file: Path, classifier: Classifier, chosen: Iterable[Chosen], keep_pixels: bool = True) -> Predicted:
    """Classify images, with few in memory at a time unless their pixels are kept."""
    found: list[PredictedImage] = []
    pixels: list[Images] = []
    rest = iter(chosen)
    while chunk := list(islice(rest, _CHUNK)):
        prediction = classifier.predict(np.stack([item.image for item in chunk]))
        for item, label, row in zip(chunk, prediction.labels, prediction.probabilities, strict=True):
            by_label = dict(zip(classifier.class_names, map(float, row), strict=True))
            found.append(PredictedImage(item.name, item.label, label, by_label, item.doubt))
        pixels += [item.image for item in chunk] if keep_pixels else []
    return Predicted(str(file), classifier.runtime_text, classifier.unverified, tuple(found), pixels=tuple(pixels))
