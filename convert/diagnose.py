"""Where a quantised file loses what its float file computes: layer by layer, on the same images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from convert.diagnose_onnx import OnnxPair
from convert.diagnose_pair import Operator, Pair, Representable, Values
from convert.diagnose_tflite import TflitePair
from edge.errors import ArtifactError, EdgeCnnError

# Beyond this the difference is rounding of the float sums themselves.
_MOST_DB = 100.0


@dataclass(frozen=True)
class LayerError:
    """What quantising one layer's output costs.

    A channel's noise-to-signal ratio is its squared differences from the float file over its squared values, at most 1:
    all is lost. A layer's is the mean of its channels', so that a channel of large numbers does not hide the others.

    Attributes:
        name: The layer's output tensor.
        operator: What computes it.
        snr_db: Signal to noise, -10 log10 of the ratio above: 0 is all lost, and 100 the most that is told apart.
        input_snr_db: Of the worst of its inputs, which the layer can't help.
        input_lost: That input's ratio, 0 to 1.
        introduced: How much its ratio is above that input's, 0 to 1: the share of the signal that is lost here.
        largest_difference: Largest absolute difference of any value.
        saturated: Share of the float file's values more than a step beyond what the integers can stand for, 0 to 1.
        keep: The operators that must stay float for this tensor to stay float: what computes it, what reads it, and on
            through operators that only hand on its numbers.
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
        """The name as people read it: TFLite's converter joins those of all that it fused, behind the model's own."""
        first = self.name.split(";")[0].removesuffix(":0")
        return first.split("/", 1)[1] if first.count("/") > 1 else first


@dataclass(frozen=True)
class Diagnosis:
    """How a quantised file differs from its float file.

    Attributes:
        images: On how many images.
        layers: Those that are integers in the quantised file, the one that loses most of the signal first.
        float_layers: How many others are float there.
        unmatched: How many operators of the float file have no tensor of that name in the quantised one.
    """

    images: int
    layers: tuple[LayerError, ...]
    float_layers: int
    unmatched: int


def diagnose(float32: bytes, quantized: bytes, model_format: str, inputs: Values) -> Diagnosis:
    """Compare both files on the same images, one at a time.

    Args:
        float32: The float32 file.
        quantized: An int8 or int16x8 file of the same network.
        model_format: `tflite` or `onnx`.
        inputs: Model inputs (n, ...), without the batch dimension, in the float file's dtype.

    Raises:
        ArtifactError: If a file can't be run on an image, or nothing in the quantised one is an integer that stands for
            a value of the float one.
        ConversionError: If ONNX Runtime can't prepare the float file.
        MissingDependency: If the runtime is not installed.
    """
    tallies: dict[str, _Tally] = {}
    try:
        pair: Pair = TflitePair(float32, quantized) if model_format == "tflite" else OnnxPair(float32, quantized)
        if not any(operator.name in pair.quantized for operator in pair.operators):
            raise ArtifactError(
                "no activation of the quantised file is an integer with the name of one of the float file: name an int8 or "
                "int16x8 file, and the float32 file that it was made from"
            )
        for image in inputs:
            for name, reference, value in pair.run(image):
                tallies.setdefault(name, _Tally(reference.shape[-1])).add(reference, value, pair.quantized.get(name))
    except EdgeCnnError:
        raise
    except Exception as error:  # The runtimes' errors share no base class; and the files may be of different networks.
        reason = " ".join(str(error).split())[:200]
        raise ArtifactError(f"the two files can't be compared ({reason}): name a float32 file and its int8 file") from error
    lost = _lost_before_and_after(pair.operators, {name: tally.lost() for name, tally in tallies.items()})
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
        for operator, before, after in lost
        if operator.name in pair.quantized
    ]
    # Where two lose the same, the earlier one stays first: an error is mended where it begins.
    layers.sort(key=lambda layer: -layer.introduced)
    found = sum(operator.name in tallies for operator in pair.operators)
    return Diagnosis(len(inputs), tuple(layers), found - len(layers), len(pair.operators) - found)


def _lost_before_and_after(operators: Sequence[Operator], lost: Mapping[str, float]) -> list[tuple[Operator, float, float]]:
    """Return each operator with the ratio of its worst input and its own.

    What the quantised file does not have, as what it fused into the next operator, is as good as the worst of its inputs;
    so is what only regroups its input's channels.
    """
    so_far = dict(lost)
    found = []
    for operator in operators:  # In the order of execution: inputs before what reads them.
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
    """Return the operators that compute or read the tensor, and on through those that pass its numbers."""
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
