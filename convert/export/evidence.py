"""How a float model from elsewhere takes pixels, by what is inside it: the steps before its first layer, and its metadata.

Many models begin with steps of their own: Keras's Rescaling and Normalization, the preprocessing of keras.applications, or a
batch normalisation of the image. These turn pixels into numbers of about -1 to 1, and show what they expect: a step that
divides by 127.5 makes a picture of nearly one grey of pixels that were already divided by 255.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.formats import FORMATS
from edgecnn.edge.manifest import Output, Preprocessing
from edgecnn.edge.model.interface import SCHEMES, TO_PROBABILITIES, last_operator
from edgecnn.edge.model.layout import image_layout
from edgecnn.edge.model_file import ModelFile
from edgecnn.edge.runtimes.base import LoadedModel
from edgecnn.edge.sandbox.unverified import run_in_child

# What a network's first layer gets spans about this much, whatever the scheme: 1 for unit, 2 for tf, 4 for torch, 255 for raw.
_LEAST_SPAN, _MOST_SPAN = 0.5, 30.0
# A span outside of these is no scheme's: a picture of nearly one grey, or numbers that no initial weights are made for. Pixels
# that are normalised twice, as `torch` does, span 0.076.
_LEAST_LIKELY, _MOST_LIKELY = 0.1, 240.0
# How near to a scheme's numbers, as a share of their span, those of a model are that does what the scheme does.
_NEAR = 0.02
# How far off 0, as a share of their span, the middle of numbers may go: a mean that is subtracted twice moves it by about 0.4.
_OFF_CENTRE = 0.15
# The mean of a picture's pixels, as Caffe's networks subtract it: ImageNet's is 104 to 124.
_MEAN = 90.0, 140.0


@dataclass(frozen=True)
class Evidence:
    """What a model shows of how it takes pixels.

    Attributes:
        preprocessing: What pixels need before they go in.
        span: (low, high) of the numbers that enter its first layer then.
        step: How many times the model itself multiplies a pixel's number.
    """

    preprocessing: Preprocessing
    span: tuple[float, float]
    step: float

    @property
    def scheme(self) -> str:
        """Name of the preprocessing in `SCHEMES`."""
        return next(name for name, scheme in SCHEMES.items() if scheme == self.preprocessing)

    @property
    def _is_scheme(self) -> bool:
        """Whether the model's own steps give what another scheme gives than the one that they expect."""
        others = (scheme for scheme in SCHEMES.values() if scheme != self.preprocessing)
        given = (np.array(_ends(scheme, mean_of_channels=True)) for scheme in others)
        return any(np.abs(ends - self.span).max() <= _NEAR * np.ptp(ends) for ends in given)

    def text(self, name: str) -> str:
        """Say what was found; `name` is the model's."""
        low, high = (f"{value:.3g}" for value in self.span)
        first, last = (f"{value:g}" for value in _ends(self.preprocessing))
        return f"{name} turns {first} to {last} into {low} to {high} by itself before its first layer"

    def require(self, said: Preprocessing, name: str) -> None:
        """Raise if what a user says contradicts it.

        Raises:
            ConfigError: If pixels would enter the first layer as no scheme has them.
        """
        low, high = _ends(said)
        likely = _LEAST_LIKELY <= abs(high - low) * self.step <= _MOST_LIKELY
        same = (low, high) == _ends(self.preprocessing)
        entering = [self.span[0] + self.step * (end - _ends(self.preprocessing)[0]) for end in _ends(said, True)]
        moved = _off_centre(entering) > _off_centre(self.span) + _OFF_CENTRE
        if not same and (self.step == 1 or self._is_scheme or moved or not likely):
            raise ConfigError(
                f"{self.text(name)}, and {field('preprocess')} as it is stated gives it {low:.3g} to {high:.3g}: omit it, "
                f"or use {field('preprocess')}={self.scheme}"
            )


def _ends(taken: Preprocessing, mean_of_channels: bool = False) -> tuple[float, float]:
    """Return what black and white become, by the first channel, or in the mean of all."""
    mean, std = (np.array(given if mean_of_channels else given[:1]) for given in (taken.mean, taken.std))
    low, high = (float(((pixel * taken.scale - mean) / std).mean()) for pixel in (0, 255))
    return low, high


def _off_centre(ends: Sequence[float]) -> float:
    """Return how far the middle of two numbers is off 0, as a share of their span."""
    low, high = ends
    return abs(low + high) / 2 / max(abs(high - low), 1e-9)


def evidence_of(model: ModelFile, runtime: LoadedModel) -> Evidence | None:
    """Return what a model's first steps show; None if they show nothing.

    The module that its format names runs them: `first_layer_input(opened, inputs)` returns what enters the first layer with
    weights for model inputs (n, ...), or None without such a layer; `opened` is the opened Keras model, of others their bytes.

    Raises:
        ArtifactError: If a child process does not survive the model.
    """
    reader = FORMATS[model.format].reader
    if reader is None or not reader.is_installed:  # On a board, perhaps.
        return None
    layout, spec = image_layout(runtime.input_spec, str(model.path)), runtime.input_spec
    if np.dtype(spec.dtype).kind != "f" or spec.quantization:
        return None
    # Black, a grey step and white: three points show whether the steps are linear.
    inputs = np.stack([np.full(layout.item, value, spec.dtype) for value in (0, 1, 255)])
    module = import_module(str(FORMATS[model.format].importer))
    if FORMATS[model.format].on_device:
        entering = run_in_child(partial(module.first_layer_input, model.data, inputs), str(model.path), len(model.data))
    else:
        entering = module.first_layer_input(runtime, inputs)
    if entering is None or entering.shape[0] != len(inputs):
        return None
    black, one, white = (_centre(values) for values in entering)
    step = np.abs(one - black).mean()
    linear = np.allclose(white - black, 255 * (one - black), rtol=0.05, atol=1e-3 * max(1.0, float(np.abs(white).max())))
    if not linear or not step:
        return None
    if np.allclose(one - black, 1, rtol=0.01):  # Then a mean of pixels is subtracted, or nothing is done.
        low, high = float(black.mean()), float(white.mean())
        return Evidence(SCHEMES["raw"], (low, high), 1.0) if _MEAN[0] <= -low <= _MEAN[1] else None
    fitting = [one for one in (SCHEMES["raw"], SCHEMES["unit"]) if _LEAST_SPAN <= step * np.ptp(_ends(one)) <= _MOST_SPAN]
    if len(fitting) != 1:
        return None
    (scheme,) = fitting
    ends = black, white if scheme.scale == 1 else one
    low, high = (float(values.mean()) for values in ends)
    return Evidence(scheme, (low, high), float(step))


def output_of(model: ModelFile, runtime: LoadedModel) -> Output:
    """Return what a model gives by the operator that makes its output."""
    operator = last_operator(model, runtime)
    return "probabilities" if operator is None or operator in TO_PROBABILITIES else "logits"


def stated_by(model: ModelFile) -> Preprocessing | None:
    """Return the preprocessing in a file's metadata; None if it has none."""
    reader = getattr(import_module(str(FORMATS[model.format].importer)), "stated_preprocessing", None)
    return reader(model.data) if reader else None


def _centre(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the numbers of one image without its border, which may be padded."""
    found = values.astype(np.float64)
    for axis, size in enumerate(values.shape):
        if size > 4:  # Not an axis of channels.
            found = found.take(range(size // 4, size - size // 4), axis=axis)
    return found.ravel()
