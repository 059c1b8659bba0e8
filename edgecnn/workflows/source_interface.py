"""How a float model from elsewhere takes pixels: as its user says, as it shows by itself, or as labelled images suggest."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from edgecnn.benchmarks.statistics.binomial import interval
from edgecnn.convert.export.evidence import evidence_of, output_of, stated_by
from edgecnn.edge.data.splits import Split
from edgecnn.edge.errors import ConfigError, EdgeCnnError, field
from edgecnn.edge.formats import FORMATS
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.inference.usage import Usage
from edgecnn.edge.manifest import Fit
from edgecnn.edge.model.interface import HOW_TO_SAY, SCHEMES, Interface, formula
from edgecnn.edge.model.preprocess import correct, counts, cross_entropy
from edgecnn.edge.model_file import ModelFile
from edgecnn.edge.result import Progress
from edgecnn.edge.runtimes.base import LoadedModel
from edgecnn.edge.text import counted

Say = Callable[[str], None]
# Labelled images that try the schemes.
_TRIED = 200
# Without a wrong answer, too sure a scheme shows in nothing: then losses below this one are the same, and the first is named.
_SURE = 0.5


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


def ask_which(model: ModelFile, runtime: LoadedModel, test: Split) -> EdgeCnnError:
    """Return the error for a model that does not show how it takes pixels: the scheme under which labels are most probable.

    The number of right answers often is the same under two schemes: a network of ReLUs that was trained on pixel / 255 often
    names the same classes for pixels of 0 to 255, but is then sure of each, wrong ones too, which the cross-entropy shows.
    It is a question and no choice: another preprocessing may be better still, and the classes may be in another order.
    """
    chosen = np.linspace(0, len(test.labels) - 1, min(_TRIED, len(test.labels))).astype(np.int64)
    images, labels, output = test.images(chosen), test.labels[chosen], output_of(model, runtime)
    tried: dict[str, tuple[float, int]] = {}
    refused: list[EdgeCnnError] = []
    for name, taken in SCHEMES.items():
        try:
            classifier = Classifier(model, runtime, Interface(taken, output))
            probabilities = classifier.probabilities(images)
            tried[name] = cross_entropy(probabilities, labels), int(correct(probabilities, labels).sum())
        except EdgeCnnError as error:
            refused.append(error)
    unknown = f"{model.path}: how it takes pixels is not known"
    if not tried:  # Whatever it takes, something else is wrong with the model.
        return refused[0]
    most, number = max(right for _, right in tried.values()), len(labels)
    as_good = [name for name, (_, right) in tried.items() if interval(right, number).high * number >= most]

    def loss_of(name: str) -> float:
        loss, right = tried[name]
        return max(loss, _SURE) if right == number else loss

    name = min(as_good, key=loss_of)
    ordered = sorted(tried.items(), key=lambda one: (one[0] != name, -one[1][1]))
    each = ", ".join(f"{name} {right:,} ({loss:.2g})" for name, (loss, right) in ordered)
    found = f"of {counted(number, 'labelled image')} it gets right (cross-entropy): {each}"
    commonest = int(counts(labels, int(labels.max()) + 1).max())
    if interval(most, number).low * number <= commonest:
        fix = f"state it with {HOW_TO_SAY}, and check the order of the classes"
        return ConfigError(f"{unknown}, and no scheme fits ({found}): {fix}")
    sure = "" if as_good == [name] else ", or another that is as good"
    logits = f" and {field('logits')}" if output == "logits" else ""
    return ConfigError(f"{unknown}; {found}. If it was trained with {name}{sure}, add {field('preprocess')}={name}{logits}")
