"""Opening what a command names."""

from collections.abc import Sequence
from pathlib import Path

from commands.options import ImageOptions, InterfaceOptions, ModelOptions
from convert.data_options import read_labels
from edge.classifier import Classifier
from edge.errors import ConfigError
from edge.interface import Interface, formula
from edge.model_file import read_model
from edge.runtimes import Opener, opener_for


def opener(model_format: str, model: ModelOptions) -> Opener:
    """Return how to open a format; only the workstation opens `keras`."""
    if model_format != "keras":
        return opener_for(model_format)
    from convert.keras_runtime import keras_opener  # noqa: PLC0415 - The others start sooner without.

    return keras_opener(tuple(model.trust or ()))


def load(
    file: Path,
    threads: int,
    model: ModelOptions,
    takes: InterfaceOptions,
    images: ImageOptions,
    others: Sequence[Path] = (),
) -> Classifier:
    """Open a model file with what its manifest or the options say of it. Errors as `edge.Classifier.load`.

    Args:
        file: A .keras, .tflite or .onnx file.
        threads: For the runtime.
        model: How to open it.
        takes: How it takes pixels.
        images: Which images, and their labels.
        others: Files that the options may be about instead.

    Raises:
        ConfigError: Also if labels are named that are not the manifest's.
    """
    found, interface = read_model(file), interface_of(takes, images)
    if found.manifest and any(read_model(other).manifest is None for other in others):
        interface = None
    classifier = Classifier(found, opener(found.format, model).open_file(found, threads, model.signature), interface)
    if images.labels and found.manifest:
        own, said = classifier.class_names, read_labels(images.labels)
        # A model of numbers learned from arrays, and a folder's classes may have names.
        if said != own and own != tuple(map(str, range(len(own)))):
            raise ConfigError(f"{images.labels} contradicts the classes of {file} ({', '.join(own[:3])}, ...): leave it away")
    return classifier


def interface_of(takes: InterfaceOptions, images: ImageOptions) -> Interface | None:
    """Return what the options say of a file that edgecnn did not export; None if they say nothing."""
    return takes.interface(images, read_labels(images.labels) if images.labels else ())


def unverified(classifier: Classifier) -> str:
    """Return lines to add to a result: why nothing vouches for the file, and what is odd about how it is used."""
    lines = [f"doubtful: {doubt}" for doubt in classifier.doubts]
    if classifier.unverified is not None:
        lines.append(f"unverified: {classifier.unverified}; pixels go in as {formula(classifier.preprocessing)}")
    return "".join(f"\n{line}" for line in lines)
