"""How a float model from elsewhere takes pixels: as its user says, as it shows by itself, or as labelled images suggest."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgecnn.benchmarks.statistics.binomial import interval
from edgecnn.convert.export.evidence import evidence_of, output_of, stated_by
from edgecnn.convert.export.export import require_classes
from edgecnn.edge.data.dataset import Dataset
from edgecnn.edge.data.splits import Split
from edgecnn.edge.errors import ConfigError, EdgeCnnError, field, setting
from edgecnn.edge.formats import FORMATS
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.inference.model_test_images import require_shape
from edgecnn.edge.inference.usage import Usage
from edgecnn.edge.manifest import Fit, Output, Preprocessing
from edgecnn.edge.model.interface import HOW_TO_SAY, SCHEMES, Interface, formula
from edgecnn.edge.model.preprocess import correct, counts, losses
from edgecnn.edge.model_file import ModelFile
from edgecnn.edge.result import SILENT, Progress
from edgecnn.edge.runtimes.base import LoadedModel
from edgecnn.edge.text import counted

Say = Callable[[str], None]
# Labelled images that try the schemes.
_TRIED = 200
# The name of normalization by the images' own mean and deviation, and how many of them are looked at.
_OWN, _MEASURED = "normalised", 500
# Without a wrong answer, too sure a scheme shows in nothing. Where n images have none, up to 3/n of others have one (95 %), and
# an error of a sure network costs about 8 nats: losses below 24/n are the same, and the first scheme is named.
_UNSEEN = 24
# Standard errors by which another scheme must be better than the stated one; one that is wrong is mostly far worse.
_CLEAR = 2.5
# Images that try them at least, and the pixels of these together above that: large ones take seconds each.
_LEAST, _PIXELS_TRIED = 30, 2_000_000


def found_interface(model: ModelFile, runtime: LoadedModel, said: Interface | None, fit: Fit, say: Say) -> Interface | None:
    """Return how a model from elsewhere takes pixels and what it gives: as a user says, or as the model shows.

    Args:
        model: The file.
        runtime: The opened file.
        said: What the user says; None for nothing.
        fit: How image files are fitted, which no model shows.
        say: Gets a line on what was found.

    Returns:
        None if neither says it.

    Raises:
        ConfigError: If the user contradicts the model.
        ArtifactError: If a child process does not survive the model.
    """
    stated = stated_by(model)
    evidence = None if stated else evidence_of(model, runtime)
    if evidence and said:
        evidence.require(said.preprocessing, str(model.path))
    taken = evidence.preprocessing if evidence else stated
    if said or taken is None:
        return said
    why = evidence.text("it") if evidence else "its metadata says so"
    say(f"{model.path}: pixels go in as {formula(taken)}, since {why}")
    return Interface(replace(taken, fit=fit), output_of(model, runtime))


def found_usage(usage: Usage, models: Sequence[ModelFile], progress: Progress) -> Usage:
    """Return what is stated of files and images, with the interface that the first file from elsewhere shows by itself.

    It stays as it is if something was said, or nothing is shown: then the file's user is asked.

    Raises:
        ConfigError: If the user contradicts a float file.
        ArtifactError: If a child process does not survive the file.
    """
    model = next((model for model in models if model.manifest is None), None)
    if model is None or FORMATS[model.format].importer is None:
        return usage
    said, fit = usage.said_interface(), usage.images.fit or "letterbox"
    runtime = usage.opener(model.format).open_file(model, 1, usage.signature)
    return replace(usage, interface=found_interface(model, runtime, said, fit, progress.say))


class _Tried(NamedTuple):
    """Preprocessings that were tried on labelled images.

    Attributes:
        labels: The labels (n,).
        losses: Each one's loss of each image, float64 (n,), by its name.
        right: Each one's number of right answers.
        refused: Errors of those that the model can't take.
    """

    labels: NDArray[np.int64]
    losses: dict[str, NDArray[np.float64]]
    right: dict[str, int]
    refused: list[EdgeCnnError]


def _try(
    model: ModelFile,
    runtime: LoadedModel,
    output: Output,
    dataset: Dataset,
    schemes: Mapping[str, Preprocessing],
    progress: Progress = SILENT,
    most: int = _TRIED,
) -> _Tried:
    test = dataset.test
    chosen = np.linspace(0, len(test.labels) - 1, min(most, len(test.labels))).astype(np.int64)
    images, found = test.images(chosen), _Tried(test.labels[chosen], {}, {}, [])
    for place, (name, taken) in enumerate(schemes.items()):
        progress.step(place, len(schemes), "trying how it takes pixels")
        try:
            classifier = Classifier(model, runtime, Interface(taken, output))
            require_shape(model.path, classifier, test)
            require_classes(model.path, len(classifier.class_names), dataset)
            probabilities = classifier.probabilities(images)
        except EdgeCnnError as error:
            found.refused.append(error)
        else:
            found.losses[name] = losses(probabilities, found.labels)
            found.right[name] = int(correct(probabilities, found.labels).sum())
    return found


def better_scheme(model: ModelFile, runtime: LoadedModel, said: Interface, dataset: Dataset, progress: Progress) -> str | None:
    """Return a doubt about a stated preprocessing if labels are clearly more probable under another one; else None.

    Without a wrong answer nothing is shown: a network is surer of larger numbers, which says nothing of its training.
    """
    stated, own_scheme = "as stated", said.preprocessing
    height, width, _ = dataset.test.shape
    most = min(_TRIED, max(_LEAST, _PIXELS_TRIED // (height * width)))
    others_of = {name: taken for name, taken in SCHEMES.items() if formula(taken) != formula(own_scheme)}
    if len(dataset.test.labels) < _LEAST:
        return None
    tried = _try(model, runtime, said.output, dataset, {stated: own_scheme, **others_of}, progress, most)
    if stated not in tried.losses or tried.right[stated] == len(tried.labels):
        return None  # Whoever uses what the model can't take says why.
    own, number = tried.losses[stated], len(tried.labels)
    others = [name for name in others_of if name in tried.losses and tried.right[name] >= max(1, tried.right[stated])]
    name = min(others, key=lambda other: float(tried.losses[other].mean()), default=None)
    if name is None:
        return None
    least = _UNSEEN / number if tried.right[name] == number else 0.0
    gain, deviation = own.mean() - max(tried.losses[name].mean(), least), (own - tried.losses[name]).std()
    if gain <= _CLEAR * deviation / np.sqrt(number):
        return None
    return (
        f"Doubtful: of {counted(number, 'labelled image')} {name} gets {tried.right[name]:,} right (cross-entropy "
        f"{tried.losses[name].mean():.2g}), and {formula(said.preprocessing)}, as stated, {tried.right[stated]:,} "
        f"({own.mean():.2g}): was the model trained with {setting('preprocess', name)}?"
    )


def ask_which(model: ModelFile, runtime: LoadedModel, dataset: Dataset) -> EdgeCnnError:
    """Return the error for a model that does not show how it takes pixels: the scheme under which labels are most probable.

    The number of right answers often is the same under two schemes: a network of ReLUs that was trained on pixel / 255 often
    names the same classes for pixels of 0 to 255, but is then sure of each, wrong ones too, which the cross-entropy shows.
    It is a question and no choice: another preprocessing may be better still, and the classes may be in another order.
    """
    output = output_of(model, runtime)
    schemes = {**SCHEMES, _OWN: _normalised(dataset.train)}
    labels, tried, right, refused = _try(model, runtime, output, dataset, schemes)
    number = len(labels)
    if not tried:  # Whatever it takes, something else is wrong with the model.
        return refused[0]
    commonest = int(counts(labels, int(labels.max()) + 1).max())
    name, as_good = _fitting(tried, right, commonest)
    ordered = sorted(right, key=lambda one: (one != name, -right[one]))
    each = ", ".join(f"{one} {right[one]:,} ({abs(tried[one].mean()):.2g})" for one in ordered)
    found = f"of {counted(number, 'labelled image')} it gets right (cross-entropy): {each}"
    question = f"{model.path}: how it takes pixels is not known"
    if interval(max(right.values()), number).low * number <= commonest:
        fix = f"state it with {HOW_TO_SAY}, and check the order of the classes"
        return ConfigError(f"{question}, and no scheme fits ({found}): {fix}")
    own = schemes[_OWN] if _OWN in tried else None
    return ConfigError(f"{question}; {found}. {_suggestion(name, as_good, own, output)}")


def _suggestion(name: str, as_good: bool, own: Preprocessing | None, output: Output) -> str:
    """Return what to add for a scheme; `own` is the images' own normalization, if the model can take it."""
    logits = f" and {field('logits')}" if output == "logits" else ""
    numbers = ""
    if own:
        mean, std = (",".join(f"{value:g}" for value in values) for values in (own.mean, own.std))
        numbers = f"{field('scale')}={own.scale:.9g} {field('mean')}={mean} {field('std')}={std}"
    if name == _OWN:
        return (
            f"{_OWN} is the mean and deviation of these images, from 0 to 1. If it was trained so, add {numbers}{logits}, "
            "better with the very numbers of its training"
        )
    sure = ", or another that is as good" if as_good else ""
    other = f"; if with a mean and deviation of its own, for example {numbers}" if own else ""
    return f"If it was trained with {name}{sure}, add {field('preprocess')}={name}{logits}{other}"


def _fitting(tried: Mapping[str, NDArray[np.float64]], right: Mapping[str, int], commonest: int) -> tuple[str, bool]:
    """Return the scheme whose probabilities fit the labels, of those not shown to be right less often than the best.

    Args:
        tried: Each scheme's loss of each image.
        right: Its number of right answers. One that is not shown to be above that of a guess does not count.
        commonest: The number of images in the most frequent class.

    Returns:
        Its name, and whether there are several such.
    """
    number, most = len(next(iter(tried.values()))), max(right.values())
    found = {name: interval(count, number) for name, count in right.items()}
    least = interval(most, number).low
    as_good = [
        name for name in tried if right[name] == most or (found[name].high >= least and found[name].low * number > commonest)
    ]

    def loss_of(name: str) -> float:
        loss = float(tried[name].mean())
        return max(loss, _UNSEEN / number) if right[name] == number else loss

    name = min(as_good, key=loss_of)
    if name == _OWN and (others := [other for other in as_good if other != _OWN]):
        other = min(others, key=loss_of)
        gain = tried[other] - tried[_OWN]
        if gain.mean() <= 2 * gain.std() / np.sqrt(number):  # A rarer preprocessing needs more than luck.
            name = other
    return name, len(as_good) > 1


def _normalised(train: Split) -> Preprocessing:
    """Return the preprocessing by mean and deviation of each channel of training images, as PyTorch's recipes have it."""
    few = np.linspace(0, len(train.labels) - 1, min(_MEASURED, len(train.labels))).astype(np.int64)
    moments = np.zeros((2, train.shape[2]))
    for place in few:  # One at a time: large ones together take gigabytes.
        pixels = train.images([place])[0] / 255
        moments += pixels.mean(axis=(0, 1)), np.square(pixels).mean(axis=(0, 1))
    mean, square = moments / len(few)
    deviation = np.sqrt(np.maximum(square - mean**2, 1e-6))
    means, stds = (tuple(round(float(value), 4) for value in values) for values in (mean, deviation))
    return replace(SCHEMES["unit"], mean=means, std=stds)
