"""Predictions for named images, for people and machines."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.errors import ArtifactError, ConfigError, field
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.inference.pictures import FittedPicture, Picture, fitted_picture, image_files, title_of
from edgecnn.edge.manifest import Manifest, Side
from edgecnn.edge.model.preprocess import Images
from edgecnn.edge.records import unrecorded
from edgecnn.edge.result import Result
from edgecnn.edge.show import rendered

if TYPE_CHECKING:
    from edgecnn.edge.data.splits import Split

TOP = 5
"""Number of classes that the text shows for each image; the JSON has all."""

_CHUNK = 64
# Keras numbers folders 0, 1, 10: of more classes, numbers alone do not say which is which.
_PLAIN_NUMBERS = 10


@dataclass(frozen=True)
class PredictedImage:
    """One image of `edgecnn predict`.

    Attributes:
        image: Name of the image.
        label: The true label, or None if unknown.
        predicted: The most probable label.
        probabilities: Probability of each label, 0 to 1, for all classes.
        doubt: One sentence on why something else may have been read than was meant, and what to do; None if it was clear.
        accepted: Whether the answer reaches the file's threshold; None for a file without one.
    """

    image: str
    label: str | None
    predicted: str
    probabilities: dict[str, float]
    doubt: str | None = None
    accepted: bool | None = None


@dataclass(frozen=True)
class UnreadPicture:
    """A picture without an answer.

    Attributes:
        image: Name of the image.
        problem: Why it can't be read, one sentence.
    """

    image: str
    problem: str


@dataclass(frozen=True)
class Confusion:
    """A class that was taken for another.

    Attributes:
        label: The true label.
        predicted: The most probable label.
        images: Number of images.
    """

    label: str
    predicted: str
    images: int


@dataclass(frozen=True)
class Counted:
    """How many of the images whose label is known were predicted right.

    Attributes:
        images: Number of images with an answer and a known label.
        correct: Number of those whose label is the predicted one.
        confusions: The others by their two labels, the most frequent first.
        accepted: Number of images whose answer reaches the file's threshold; None for a file without one.
        accepted_wrong: Number of errors among them.
        doubt: Why this may be no test result, one sentence; None if nothing says so.
    """

    images: int
    correct: int
    confusions: tuple[Confusion, ...]
    accepted: int | None = None
    accepted_wrong: int = 0
    doubt: str | None = None


class Unreadable(NamedTuple):
    """A picture that can't be read: its name, and why."""

    name: str
    error: ArtifactError


class Chosen(NamedTuple):
    """An image to classify, its name, and its true label if known."""

    picture: FittedPicture
    name: str
    label: str | None = None


@dataclass(frozen=True, repr=False)
class Predicted(Result):
    """The predictions for all images, and the runtime.

    Attributes:
        file: The model file.
        runtime: Package and version that ran it.
        unverified: Why the file is unverified, or None.
        images: The predictions, in the order of the request, at least one.
        unread: Pictures that can't be read, in the same order.
        accuracy: Of the images whose label is known: test images, and pictures in a folder called like their class. None if
            there are fewer than two.
        notes: What else a reader must know, one sentence each; not in the JSON.
        pixels: uint8 (h, w, c) of each image as the model got it; empty if they were not kept; not in the JSON.
        top: Number of classes that the text shows for each image; not in the JSON.
        refusal: What is said of an answer that the file's threshold does not accept; empty without one; not in the JSON.
    """

    file: str
    runtime: str
    unverified: str | None
    images: tuple[PredictedImage, ...]
    unread: tuple[UnreadPicture, ...] = ()
    accuracy: Counted | None = None
    notes: tuple[str, ...] = unrecorded(())
    pixels: tuple[Images, ...] = unrecorded(())
    top: int = unrecorded(TOP)
    refusal: str = unrecorded("")

    def rows(self) -> list[dict[str, Any]]:
        """Return one dict per image; the probability is that of the predicted class, 0 to 1."""
        return [
            {
                "image": item.image,
                "label": item.label,
                "predicted": item.predicted,
                "probability": item.probabilities[item.predicted],
                "accepted": item.accepted,
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
) -> "Iterator[Chosen | Unreadable]":
    """Yield pictures fitted for the classifier, those in folders too, with the label that a folder called like it states.

    `background` is as in `edgecnn.predict`.
    """
    classes = _known_classes(classifier)
    for place, named in enumerate(pictures):
        several: Iterable[Picture | NDArray[Any]] = [named]
        folder = Path(named) if isinstance(named, (str, Path)) and Path(named).is_dir() else None
        if folder:
            several = image_files(folder, unread=True)
        for picture in several:
            title = title_of(picture, place)
            inside = picture.relative_to(folder).parts[:-1] if folder and isinstance(picture, Path) else ()
            try:
                found = fitted_picture(picture, classifier.shape, classifier.preprocessing, title, background, True)
            except ArtifactError as error:
                yield Unreadable(title, error)
            else:
                label = inside[0] if inside and inside[0] in classes else None
                yield Chosen(found, title, label)


def perhaps_learnt(manifest: Manifest | None, pictures: "Iterable[Picture | NDArray[Any]]") -> str | None:
    """Return why what a model has right of labelled pictures may be no test result; None if nothing says so."""
    paths = [Path(picture).resolve() for picture in pictures if isinstance(picture, (str, Path))]
    if paths and manifest is None:
        return "this is a test result only if the model never saw these pictures"
    record = manifest.dataset if manifest else None
    if record is None or record.fitted is None or (record.split_off and not record.is_drawn):
        return None
    source = Path(record.source)
    tested = source / "test" if record.split_off is None and not record.test_list else None
    for path in paths:
        known = source == path or source in path.parents or path in source.parents
        if known and not (tested and (tested == path or tested in path.parents)):
            return f"{path} has images that the model may have learned: evaluate judges it on its test images alone"
    return None


def _known_classes(classifier: Classifier) -> frozenset[str]:
    """Return the class names; none if they are only numbers that stand for an order which nothing states."""
    stated = classifier.manifest is not None or bool(classifier.interface.class_names)
    return frozenset(classifier.class_names if stated or len(classifier.class_names) <= _PLAIN_NUMBERS else ())


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
        chosen.append(Chosen(FittedPicture(test.images([number])[0]), f"test image {number}", known))
    return chosen


def read_image(
    picture: "Picture | NDArray[Any]", classifier: Classifier, on_doubt: Callable[[str], Any] = lambda doubt: None
) -> Images:
    """Turn a picture of any size into an image for a classifier, by the rule that fitted its training images.

    Args:
        picture: The path of a PNG or JPEG file, such a file opened in binary mode, a PIL image, or a uint8 array
            (height, width, 1 or 3), colours as RGB, such as a camera's.
        classifier: The classifier that will receive it.
        on_doubt: Gets one sentence if something else may have been read than was meant, as of several digits.

    Returns:
        uint8 (h, w, c), which is `classifier.shape`.

    Raises:
        ArtifactError: If the file is missing or is not an image, or it shows nothing.
        MissingDependency: If Pillow is not installed.
        ValueError: If an array has another dtype or shape.
    """
    found = fitted_picture(picture, classifier.shape, classifier.preprocessing)
    if found.doubt:
        on_doubt(found.doubt)
    return found.image


def predict_images(
    file: Path, classifier: Classifier, chosen: "Iterable[Chosen | Unreadable]", keep_pixels: bool = True
) -> Predicted:
    """Classify images, with few in memory at a time unless their pixels are kept.

    Raises:
        ArtifactError: If none of the pictures can be read.
    """
    found: list[PredictedImage] = []
    failed: list[Unreadable] = []
    pixels: list[Images] = []
    rest = iter(chosen)
    while part := list(islice(rest, _CHUNK)):
        failed += (item for item in part if isinstance(item, Unreadable))
        chunk = [item for item in part if isinstance(item, Chosen)]
        if not chunk:
            continue
        prediction = classifier.predict(np.stack([item.picture.image for item in chunk]))
        sure = [None] * len(chunk) if prediction.accepted is None else prediction.accepted.tolist()
        for item, label, row, accepted in zip(chunk, prediction.labels, prediction.probabilities, sure, strict=True):
            by_label = dict(zip(classifier.class_names, map(float, row), strict=True))
            doubt = item.picture.doubt_of(by_label[label], item.name)
            found.append(PredictedImage(item.name, item.label, label, by_label, doubt, accepted))
        pixels += [item.picture.image for item in chunk] if keep_pixels else []
    if len(failed) == 1 and not found:
        raise failed[0].error
    if failed and not found:
        raise ArtifactError(f"none of the {len(failed):,} pictures can be read, the first because {failed[0].error.marked}")
    return Predicted(
        str(file),
        classifier.runtime_text,
        classifier.unverified,
        tuple(found),
        tuple(UnreadPicture(item.name, item.error.parts[0]) for item in failed),
        _counted(found),
        pixels=tuple(pixels),
        refusal=classifier.threshold.refusal if classifier.threshold else "",
    )


def _counted(found: Sequence[PredictedImage]) -> Counted | None:
    labelled = [item for item in found if item.label is not None]
    if len(labelled) < 2:
        return None
    pairs = Counter((str(item.label), item.predicted) for item in labelled)
    confusions = tuple(Confusion(*pair, count) for pair, count in pairs.most_common() if pair[0] != pair[1])
    accepted = [item for item in labelled if item.accepted]
    return Counted(
        len(labelled),
        len(labelled) - sum(item.images for item in confusions),
        confusions,
        None if labelled[0].accepted is None else len(accepted),
        sum(item.label != item.predicted for item in accepted),
    )
