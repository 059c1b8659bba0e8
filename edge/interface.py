"""What a model file does not say of itself, and whoever runs it must: how it takes pixels, what it gives, its classes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from edge.errors import ConfigError
from edge.manifest import OUTPUTS, Preprocessing

# The names of Keras's `imagenet_utils.preprocess_input`, and two that need no name there.
SCHEMES = {
    "unit": Preprocessing(scale=1 / 255, fit="letterbox", background="any"),
    "raw": Preprocessing(scale=1.0, fit="letterbox", background="any"),
    "tf": Preprocessing(scale=1 / 127.5, fit="letterbox", background="any", mean=(1.0,)),
    "torch": Preprocessing(
        scale=1 / 255, fit="letterbox", background="any", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    ),
    "caffe": Preprocessing(scale=1.0, fit="letterbox", background="any", mean=(103.939, 116.779, 123.68), channel_order="bgr"),
}

HOW_TO_SAY = "--preprocess unit (pixel / 255), raw, tf, torch or caffe, or with --scale, --mean and --std"


@dataclass(frozen=True)
class Interface:
    """What a manifest says of its files, for a file that has none. In Python: `Interface(SCHEMES["unit"])`.

    Attributes:
        preprocessing: How an image becomes the model's input; one of `SCHEMES`, or your own.
        output: `probabilities` if the model ends in softmax or sigmoid, `logits` if it ends before it.
        class_names: In the order of the outputs; empty for class numbers. A name that two classes share gets their numbers.
    """

    preprocessing: Preprocessing
    output: str = "probabilities"
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.output not in OUTPUTS:
            raise ValueError(f"output must be one of {', '.join(OUTPUTS)}, got {self.output!r}")


def preprocessing(
    scheme: str | None = None,
    scale: float | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    bgr: bool = False,
    fit: str = "letterbox",
    background: str = "any",
) -> Preprocessing | None:
    """Return the preprocessing that the options describe, or None if they describe none.

    Args:
        scheme: A name of `SCHEMES`, which says it all; or None.
        scale: The input is (pixel * scale - mean) / std, pixels being 0 to 255.
        mean: One, or one for each channel in the model's order. None or empty is not given: 0.
        std: Likewise, above 0; not given: 1.
        bgr: The model takes blue first.
        fit: As in `Preprocessing`.
        background: As in `Preprocessing`.

    Raises:
        ConfigError: If the scheme is unknown or comes with numbers, if there is a mean or std but no scale (0.485 may be
            meant of pixels / 255 or of pixels), or if a number is out of range.
    """
    given = {"--scale": scale is not None, "--mean": bool(mean), "--std": bool(std), "--bgr": bgr}
    options = [option for option, present in given.items() if present]
    if scheme is not None:
        if scheme not in SCHEMES:
            raise ConfigError(f"--preprocess must be one of {', '.join(SCHEMES)}, got {scheme}")
        if options:
            raise ConfigError(f"--preprocess {scheme} says it all: leave {options[0]} away, or --preprocess")
        return replace(SCHEMES[scheme], fit=fit, background=background)
    if not options:
        return None
    if scale is None:
        raise ConfigError(
            f"{options[0]} needs --scale too: 1 if the numbers are of pixels 0 to 255, 0.00392156863 if of 0 to 1"
        )
    if not 0 < scale < math.inf:
        raise ConfigError(f"--scale must be above 0 and finite, got {scale}")
    means, stds = tuple(mean or (0.0,)), tuple(std or (1.0,))
    for option, values, fits in (("--mean", means, math.isfinite), ("--std", stds, lambda value: 0 < value < math.inf)):
        if len(values) not in (1, 3) or not all(map(fits, values)):
            above = "" if option == "--mean" else " above 0"
            raise ConfigError(f"{option} must be one finite number{above} or one for each of 3 channels, got {_text(values)}")
    return Preprocessing(scale, fit, background, means, stds, "bgr" if bgr else "rgb")


def formula(taken: Preprocessing) -> str:
    """Return how a pixel becomes a number, as `(0.00392157 * pixel - 0.5) / 0.25`."""
    mean, std = (" ".join(f"{value:g}" for value in values) for values in (taken.mean, taken.std))
    text = "pixel" if taken.scale == 1 else f"{taken.scale:g} * pixel"
    if taken.mean != (0.0,) or taken.std != (1.0,):
        text = f"({text} - {mean}) / {std}"
    return text + (", blue first" if taken.channel_order == "bgr" else "")


def require_channels(preprocessing: Preprocessing, channels: int) -> None:
    """Refuse a preprocessing that is of another number of channels than the images.

    Raises:
        ConfigError: If mean or std have neither one value nor one for each channel, or grey is to be ordered blue first.
    """
    for option, values in (("--mean", preprocessing.mean), ("--std", preprocessing.std)):
        if len(values) not in (1, channels):
            raise ConfigError(
                f"{option} has {len(values)} values, the images {channels} channel(s): give one for all, or one each"
            )
    if preprocessing.channel_order == "bgr" and channels != 3:
        raise ConfigError("grey images have no order of colours: leave --bgr away")


def _text(values: Sequence[float]) -> str:
    return " ".join(f"{value:g}" for value in values)
