"""How a file takes pixels, what it computes and the names of its classes: from its manifest, or as given."""

from collections import Counter
from importlib import import_module
from typing import TYPE_CHECKING

from edgecnn.edge.errors import ArtifactError, ConfigError, field
from edgecnn.edge.folder.model_file import ModelFile
from edgecnn.edge.formats.format import FORMATS
from edgecnn.edge.manifest import Output
from edgecnn.edge.model.interface import HOW_TO_SAY, Interface
from edgecnn.edge.text import counted

if TYPE_CHECKING:
    from edgecnn.edge.runtimes.base import LoadedModel

# What ends in one of these gives probabilities, in the words of TFLite, ONNX, ncnn and TensorFlow.
_TO_PROBABILITIES = ("SOFTMAX", "LOGISTIC", "STABLEHLO_LOGISTIC", "Softmax", "Sigmoid", "QLinearSoftmax", "QLinearSigmoid")


def interface_of(model: ModelFile, given: Interface | None) -> Interface:
    """Return the interface in a file's manifest, or else the given one.

    Raises:
        ConfigError: If there is neither, or both.
    """
    if model.manifest is not None:
        if given is not None:
            others = ", ".join(map(field, ("preprocess", "scale", "mean", "std", "bgr", "logits")))
            raise ConfigError(
                f"the manifest beside {model.path} defines its preprocessing and output: omit {others} and {field('labels')}"
            )
        return Interface(model.manifest.preprocessing, model.manifest.output, model.manifest.class_names)
    if given is None:
        raise ConfigError(f"{model.path}: {model.unverified}, so how it takes pixels is not known: state it with {HOW_TO_SAY}")
    return given


def require_stated_output(model: ModelFile, runtime: "LoadedModel", output: Output) -> None:
    """Raise if a file that is stated to give logits ends in softmax or sigmoid, as far as its operators can be read.

    The module that its format names reads them: `last_operator(data, runtime)` returns the operator that makes the output,
    before what only changes its form, or None if unknown. What a manifest says was checked when its model was exported.

    Raises:
        ArtifactError: If it gives probabilities.
    """
    reader = FORMATS[model.format].ending
    if output != "logits" or reader is None or model.manifest:
        return
    operator = import_module(reader).last_operator(model.data, runtime)
    if operator in _TO_PROBABILITIES:
        raise ArtifactError(
            f"{model.path}: output {runtime.output_spec.name} is already probabilities (the file ends in {operator}): "
            f"omit {field('logits')}"
        )


def class_names_of(names: tuple[str, ...], columns: int | None, model: ModelFile) -> tuple[str, ...]:
    """Return one name per class.

    Args:
        names: The given names; empty for class numbers.
        columns: Number of outputs for one image; None if it is free.
        model: The file.

    Raises:
        ArtifactError: If the number of classes is unknown, or differs from the manifest's.
        ConfigError: If it differs from the number of given names.
    """
    if columns is None and not names:
        raise ArtifactError(f"{model.path} does not say how many classes it has: name them with {field('labels')}")
    # A single output is the probability of class 1 of two.
    classes = max(2, len(names) if columns is None else columns)
    if names and len(names) != classes:
        if model.manifest is not None:
            raise ArtifactError(f"{model.path} has {classes} classes but its manifest names {len(names)}: export it again")
        raise ConfigError(
            f"{model.path} has {classes} classes, not {counted(names, 'name')}: give {field('labels')}, one name per line"
        )
    if not names:
        return tuple(str(index) for index in range(classes))
    # ImageNet has two classes called crane: by name alone one of them would be lost.
    count = Counter(names)
    return tuple(f"{name} ({index})" if count[name] > 1 else name for index, name in enumerate(names))
