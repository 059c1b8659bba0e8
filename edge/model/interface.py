"""What a model file does not record but its user must know: preprocessing, kind of output, class names."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING

from edgecnn.edge.errors import ArtifactError, ConfigError, field
from edgecnn.edge.formats import FORMATS
from edgecnn.edge.manifest import OUTPUTS, Background, Fit, Output, Preprocessing
from edgecnn.edge.model.other_tools import is_of_teachable_machine
from edgecnn.edge.model_file import ModelFile
from edgecnn.edge.text import counted

if TYPE_CHECKING:
    from edgecnn.edge.runtimes.base import LoadedModel

# The names in Keras's `imagenet_utils.preprocess_input`, and two that have no name there.
SCHEMES = {
    "unit": Preprocessing(scale=1 / 255, fit="letterbox", background="any"),
    "raw": Preprocessing(scale=1.0, fit="letterbox", background="any"),
    "tf": Preprocessing(scale=1 / 127.5, fit="letterbox", background="any", mean=(1.0,)),
    "torch": Preprocessing(
        scale=1 / 255, fit="letterbox", background="any", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    ),
    "caffe": Preprocessing(scale=1.0, fit="letterbox", background="any", mean=(103.939, 116.779, 123.68), channel_order="bgr"),
}
# What ends in one of these gives probabilities, in the words of TFLite, ONNX, ncnn and TensorFlow.
_SIGMOIDS = ("LOGISTIC", "STABLEHLO_LOGISTIC", "Sigmoid", "QLinearSigmoid")
TO_PROBABILITIES = ("SOFTMAX", "Softmax", "QLinearSoftmax", *_SIGMOIDS)

HOW_TO_SAY = (
    f"{field('interface')}=unit (pixel / 255), raw, tf, torch or caffe, or with {field('scale')}, {field('mean')} and "
    f"{field('std')}"
)


@dataclass(frozen=True)
class Interface:
    """What a manifest would say about a file that has none. In Python: `Interface(SCHEMES["unit"])`.

    Attributes:
        preprocessing: How an image becomes the model's input; one of `SCHEMES`, or your own.
        output: `probabilities` if the model ends in softmax or sigmoid, `logits` if it ends before.
        class_names: Names in the order of the outputs; empty for class numbers. Names that two classes share get their numbers.
    """

    preprocessing: Preprocessing
    output: Output = "probabilities"
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.output not in OUTPUTS:
            raise ValueError(f"output must be one of {', '.join(OUTPUTS)}, got {self.output!r}")


# All its networks take the middle of a picture so, as the program that comes with an export computes.
OF_TEACHABLE_MACHINE = Interface(replace(SCHEMES["tf"], fit="crop"))


def preprocessing(
    scheme: str | None = None,
    *,
    scale: float | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    bgr: bool = False,
    fit: Fit = "letterbox",
    background: Background = "any",
) -> Preprocessing | None:
    """Return the preprocessing that the options describe, or None if no option is given.

    Args:
        scheme: A name in `SCHEMES`, which excludes the other options; or None.
        scale: Scale of (pixel * scale - mean) / std, for pixels from 0 to 255.
        mean: Mean: one value, or one per channel in the model's order. None or empty means 0.
        std: Standard deviation: one value, or one per channel, above 0. None or empty means 1.
        bgr: Whether the model takes blue first.
        fit: Rule as in `Preprocessing`.
        background: Background as in `Preprocessing`.

    Raises:
        ConfigError: If the scheme is unknown or given with numbers, if there is a mean or std but no scale (0.485 may refer
            to pixels / 255 or to pixels), or if a number is out of range.
    """
    numbers = {"scale": scale is not None, "mean": bool(mean), "std": bool(std), "bgr": bgr}
    given = [field(name) for name, present in numbers.items() if present]
    if scheme is not None:
        if scheme not in SCHEMES:
            raise ConfigError(f"{field('preprocess')} must be one of {', '.join(SCHEMES)}, got {scheme}")
        if given:
            raise ConfigError(f"{field('preprocess')}={scheme} is complete: omit {given[0]}, or {field('preprocess')}")
        return replace(SCHEMES[scheme], fit=fit, background=background)
    if not given:
        return None
    if scale is None:
        raise ConfigError(
            f"{given[0]} needs {field('scale')} too: 1 if the numbers are for pixels 0 to 255, 0.00392156863 for 0 to 1"
        )
    if not 0 < scale < math.inf:
        raise ConfigError(f"{field('scale')} must be above 0 and finite, got {scale}")
    means, stds = tuple(mean or (0.0,)), tuple(std or (1.0,))
    for name, values, fits in (("mean", means, math.isfinite), ("std", stds, lambda value: 0 < value < math.inf)):
        if len(values) not in (1, 3) or not all(map(fits, values)):
            above = "" if name == "mean" else " above 0"
            raise ConfigError(
                f"{field(name)} must be one finite number{above} or one for each of 3 channels, got {_text(values)}"
            )
    return Preprocessing(scale, fit, background, means, stds, "bgr" if bgr else "rgb")


def as_interface(interface: Interface | str | None, fit: Fit = "letterbox") -> Interface | None:
    """Return an interface, which may be given by a name in `SCHEMES` for a model that computes probabilities, with `fit`.

    Raises:
        ConfigError: If there is no such scheme.
    """
    if not isinstance(interface, str):
        return interface
    taken = preprocessing(interface, fit=fit)
    return None if taken is None else Interface(taken)


def formula(taken: Preprocessing) -> str:
    """Return how a pixel becomes a number, for example `(0.00392157 * pixel - 0.5) / 0.25`."""
    mean, std = (" ".join(f"{value:g}" for value in values) for values in (taken.mean, taken.std))
    text = "pixel" if taken.scale == 1 else f"{taken.scale:g} * pixel"
    if any(taken.mean):
        text = f"{text} - {mean}"
    if any(value != 1 for value in taken.std):
        text = f"{f'({text})' if any(taken.mean) else text} / {std}"
    return text + (", blue first" if taken.channel_order == "bgr" else "")


def require_channels(preprocessing: Preprocessing, channels: int) -> None:
    """Raise if a preprocessing does not fit the images' number of channels.

    Raises:
        ConfigError: If mean or std have neither one value nor one per channel, or blue first is requested for grey images.
    """
    for name, values in (("mean", preprocessing.mean), ("std", preprocessing.std)):
        if len(values) not in (1, channels):
            raise ConfigError(
                f"{field(name)} has {counted(values, 'value')}, the images have {counted(channels, 'channel')}: "
                "give one for all, or one per channel"
            )
    if preprocessing.channel_order == "bgr" and channels != 3:
        raise ConfigError(f"grey images have no order of colours: omit {field('bgr')}")


def _text(values: Sequence[float]) -> str:
    return " ".join(f"{value:g}" for value in values)


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


def last_operator(model: ModelFile, runtime: "LoadedModel") -> str | None:
    """Return the operator that makes a file's output, before what only changes its form; None if unknown."""
    reader = FORMATS[model.format].ending
    found: str | None = import_module(reader).last_operator(model.data, runtime) if reader else None
    return found


def stated_interface(model: ModelFile) -> Interface | None:
    """Return how a file from elsewhere takes pixels, where its layers leave no doubt; None if it does not say so.

    Of the format that no device runs, its importer reads the layers: `stated_interface(data, origin)`.

    Raises:
        ArtifactError: If the file is damaged.
    """
    row = FORMATS[model.format]
    if model.manifest is not None:
        return None
    found: Interface | None = None
    if row.on_device:
        found = OF_TEACHABLE_MACHINE if is_of_teachable_machine(model.data) else None
    elif row.importer:
        found = import_module(row.importer).stated_interface(model.data, str(model.path))
    return found and replace(found, class_names=model.class_names)


def agreed(stated: Interface | None, given: Interface | None, model: ModelFile) -> Interface | None:
    """Return what a file states and its user gives, of which the user's class names count, and how pictures are fitted.

    Raises:
        ConfigError: If they contradict each other.
    """
    if stated is None or given is None:
        return given and replace(given, class_names=given.class_names or model.class_names)
    theirs, own = given.preprocessing, stated.preprocessing
    if replace(theirs, fit=own.fit, background=own.background) != own or given.output != stated.output:
        raise ConfigError(
            f"{model.path} takes pixels as {formula(own)} and gives {stated.output}, as its layers say, not {formula(theirs)} "
            f"and {given.output}: omit {field('interface')}, or name another file"
        )
    return replace(given, class_names=given.class_names or stated.class_names)


def require_stated_output(model: ModelFile, runtime: "LoadedModel", output: Output) -> None:
    """Raise if a file that is stated to give logits ends in softmax or sigmoid, as far as its operators can be read.

    The module that its format names reads them: `last_operator(data, runtime)` returns the operator that makes the output,
    before what only changes its form, or None if unknown. What a manifest says was checked when its model was exported.

    Raises:
        ArtifactError: If it gives probabilities.
    """
    if output != "logits" or model.manifest:
        return
    operator = last_operator(model, runtime)
    if operator in TO_PROBABILITIES:
        name, shape = runtime.output_spec.name, runtime.output_spec.shape
        if operator in _SIGMOIDS and shape[-1:] not in ((None,), (1,)):
            raise ArtifactError(
                f"{model.path}: output {name} is neither logits nor class probabilities (the file ends in {operator} for each "
                "class): end the model in softmax, or before the sigmoids"
            )
        raise ArtifactError(
            f"{model.path}: output {name} is already probabilities (the file ends in {operator}): omit {field('logits')}"
        )


def class_names_of(names: tuple[str, ...], columns: int | None, model: ModelFile) -> tuple[str, ...]:
    """Return one name per class of a file with `columns` outputs for one image, None if free; without `names`, class numbers.

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
    apart = tuple(f"{name} ({index})" if count[name] > 1 else name for index, name in enumerate(names))
    # One of them may be called `crane (134)` already.
    return apart if len(set(apart)) == classes else tuple(f"{name} ({index})" for index, name in enumerate(names))
