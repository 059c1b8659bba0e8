"""Finds where a quantized file loses accuracy compared with its float file: layer by layer, on the same images."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgecnn.edge.errors import ArtifactError, EdgeCnnError, why
from edgecnn.edge.formats import FORMATS
from edgecnn.edge.graph.summary import layer_label
from edgecnn.edge.records import to_value, unrecorded
from edgecnn.edge.result import Result

Values = NDArray[Any]


@dataclass(frozen=True)
class Operator:
    """One operator of the float file.

    Attributes:
        name: Name of its output tensor.
        kind: Name in the format: CONV_2D, Conv, ...
        inputs: Tensors that it reads, without constants.
        passing: Whether it only passes its input's numbers on, some of them or clipped: a max pooling, a reshape.
        regroups: Whether its channels are not its input's, as in a reshape. Its loss can't be compared with theirs.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    passing: bool
    regroups: bool


@dataclass(frozen=True)
class Representable:
    """The values that an integer tensor can represent: from `low` to `high`, `step` apart."""

    low: float
    high: float
    step: float


class Pair(Protocol):
    """A float file and a quantized one of the same network, opened.

    Attributes:
        operators: Operators of the float file, in the order of execution.
        quantized: For each float tensor, the integers that stand for it in the quantized file.
    """

    operators: Sequence[Operator]
    quantized: dict[str, Representable]

    def run(self, image: Values) -> Iterator[tuple[str, Values, Values]]:
        """Run one model input, without its batch dimension, through both files.

        Yields each tensor that both have: its name, and both values as real numbers with channels last.
        """


# Beyond this, the difference is the rounding of float sums.
_MOST_DB = 100.0


@dataclass(frozen=True)
class LayerError:
    """The error of quantizing one layer's output.

    A channel's noise-to-signal ratio is its squared differences from the float file divided by its squared values, at most 1:
    everything is lost. A layer's ratio is the mean of its channels', so that a channel of large values does not hide others.

    Attributes:
        name: Output tensor of the layer.
        operator: Operator that computes it.
        snr_db: Signal to noise, -10 log10 of the ratio above: 0 means all is lost; values are capped at 100.
        input_snr_db: The same for its worst input, which the layer can't improve.
        input_lost: Ratio of that input, 0 to 1.
        introduced: Ratio minus that input's, 0 to 1: the share of the signal lost in this layer.
        largest_difference: Largest absolute difference of any value.
        saturated: Share of the float file's values more than a step outside the integers' range, 0 to 1.
        keep: Operators that must stay float for this tensor to stay float: the one that computes it and those that read
            it, through operators that only pass its numbers on.
    """

    name: str
    operator: str
    snr_db: float
    input_snr_db: float
    input_lost: float
    introduced: float
    largest_difference: float
    saturated: float
    keep: tuple[str, ...]

    @property
    def label(self) -> str:
        """The name for people: TFLite's converter joins the names of all layers it fused, behind the model's own."""
        return layer_label(self.name)


@dataclass(frozen=True, repr=False)
class Diagnosis(Result):
    """How a quantized file differs from its float file.

    Attributes:
        images: Number of images compared.
        layers: Layers that are integers in the quantized file; the one that loses most of the signal comes first.
        float_layers: Number of other layers, which are float there.
        unmatched: Number of operators of the float file without a tensor of that name in the quantized file.
        trained: Whether the quantized file was trained for integers, so that its weights are not the float file's.
        quantized: Name of the quantized file; not in the JSON.
        float32: Name of the float file; not in the JSON.
    """

    images: int
    layers: tuple[LayerError, ...]
    float_layers: int
    unmatched: int
    trained: bool = False
    quantized: str = unrecorded("")
    float32: str = unrecorded("")

    def rows(self) -> list[dict[str, Any]]:
        """Return one dict per layer, the worst first."""
        layers: list[dict[str, Any]] = to_value(self.layers)
        return layers


def diagnose(float32: bytes, quantized: bytes, model_format: str, inputs: Values) -> Diagnosis:
    """Compare both files on the same images, one at a time.

    Args:
        float32: The float32 file.
        quantized: An int8 or int16x8 file of the same network.
        model_format: Name of their format.
        inputs: Model inputs (n, ...), without the batch dimension, in the float file's dtype.

    Raises:
        ArtifactError: If a file can't be run on an image, or no integer in the quantized file stands for a value of the
            float file.
        ConversionError: If ONNX Runtime can't prepare the float file, or an ncnn file has a layer with weights of unknown size.
        MissingDependency: If the runtime is not installed.
    """
    tallies: dict[str, _Tally] = {}
    try:
        pair: Pair = import_module(str(FORMATS[model_format].pair)).open_pair(float32, quantized)
        _require_a_common_name(pair)
        for image in inputs:
            for name, reference, value in pair.run(image):
                tallies.setdefault(name, _Tally(reference.shape[-1])).add(reference, value, pair.quantized.get(name))
    except EdgeCnnError:
        raise
    except Exception as error:  # The runtimes' errors share no base class; and the files may be of different networks.
        fix = "name a float32 file and its int8 file"
        raise ArtifactError(f"the two files can't be compared ({why(error, 200)}): {fix}") from error
    shares = {name: tally.lost() for name, tally in tallies.items()}
    layers = [
        LayerError(
            operator.name,
            operator.kind,
            _decibels(after),
            _decibels(before),
            before,
            max(0.0, after - before),
            tallies[operator.name].largest,
            tallies[operator.name].saturated / tallies[operator.name].values,
            _keep(operator.name, pair.operators),
        )
        for operator, before, after in _lost_before_and_after(pair.operators, shares)
        if operator.name in pair.quantized
    ]
    # Of two equal losses the earlier stays first: an error is fixed where it begins.
    layers.sort(key=lambda layer: -layer.introduced)
    found = sum(operator.name in tallies for operator in pair.operators)
    return Diagnosis(len(inputs), tuple(layers), found - len(layers), len(pair.operators) - found)


def _require_a_common_name(pair: Pair) -> None:
    if not any(operator.name in pair.quantized for operator in pair.operators):
        raise ArtifactError(
            "no integer activation of the quantized file has the name of an activation of the float file: name an int8 or "
            "int16x8 file, and the float32 file that it was made from"
        )


def _lost_before_and_after(operators: Sequence[Operator], lost: Mapping[str, float]) -> list[tuple[Operator, float, float]]:
    """Return each operator with the ratio of its worst input and its own ratio.

    A tensor that the quantized file lacks, because it was fused into the next operator, counts like its worst input;
    so does one that only regroups its input's channels.
    """
    so_far = dict(lost)
    found = []
    for operator in operators:  # In the order of execution: inputs before their readers.
        before = max((so_far.get(name, 0.0) for name in operator.inputs), default=0.0)
        if operator.regroups:
            so_far[operator.name] = before
        found.append((operator, before, so_far.setdefault(operator.name, before)))
    return found


class _Tally:
    """Sums over the images, for one tensor."""

    def __init__(self, channels: int) -> None:
        self.signal, self.noise = np.zeros(channels), np.zeros(channels)
        self.largest, self.saturated, self.values = 0.0, 0, 0

    def add(self, reference: Values, value: Values, limits: Representable | None) -> None:
        reference, difference = reference.astype(np.float64), value.astype(np.float64) - reference
        axes = tuple(range(reference.ndim - 1))
        self.signal += np.square(reference).sum(axis=axes)
        self.noise += np.square(difference).sum(axis=axes)
        self.largest = max(self.largest, float(np.abs(difference).max()))
        self.values += reference.size
        if limits:
            # A softmax's integers end one step below 1.
            low, high = limits.low - limits.step, limits.high + limits.step
            self.saturated += int(((reference < low) | (reference > high)).sum())

    def lost(self) -> float:
        ratios = np.ones_like(self.noise)
        np.divide(self.noise, self.signal, out=ratios, where=self.noise < self.signal)
        return float(np.where(self.noise == 0, 0.0, ratios).mean())


def _decibels(lost: float) -> float:
    return float(min(_MOST_DB, -10 * np.log10(max(lost, 10 ** (-_MOST_DB / 10)))))


def _keep(name: str, operators: Sequence[Operator]) -> tuple[str, ...]:
    """Return the operators that compute or read the tensor, also through operators that pass its numbers on."""
    makers = {operator.name: operator for operator in operators}
    same, waiting = set(), [name]
    while waiting:
        tensor = waiting.pop()
        if tensor in same or tensor not in makers:
            continue
        same.add(tensor)
        if makers[tensor].passing:
            waiting += makers[tensor].inputs
        waiting += [operator.name for operator in operators if operator.passing and tensor in operator.inputs]
    return tuple(
        operator.name for operator in operators if operator.name in same or any(tensor in same for tensor in operator.inputs)
    )
