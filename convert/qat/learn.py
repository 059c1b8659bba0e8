"""Trains a float32 .tflite file for its own integers, with the file itself as a teacher beside the labels."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.export.config import choices
from edgecnn.convert.export.converters import Learnt, Ranges
from edgecnn.convert.keras.load import load_keras, load_tensorflow
from edgecnn.convert.qat.graph import FloatGraph, GraphOperator, NotTrainable, in_float
from edgecnn.convert.qat.kernels import LayerSteps, layer_in_steps, on_steps, operator_in_steps, steps_of
from edgecnn.convert.tflite.quantize import FOUR_BITS, quantize_tflite, tflite_steps

# What these compute has a range of its own, whatever the images.
_FIXED = {"SOFTMAX", "LOGISTIC", "TANH"}
# Peak learning rates of Adam (Kingma and Ba, 2015), which fall to zero along a cosine: of weights, which have further to the
# next step with 4 bits, and of the logarithms of the ranges' ends.
_WEIGHTS_RATES, _RANGES_RATE = {"int8": 2e-4, "int4": 3e-3}, 5e-2
# The labels' share of the loss; the rest is the teacher's.
_LABELS_SHARE = 0.5

Lesson = tuple[NDArray[Any], NDArray[np.int64]]
"""Model inputs (n, ...) and labels (n,)."""


@dataclass(frozen=True)
class Lessons:
    """What a network learns from.

    Attributes:
        epochs: Number of passes over the training images.
        batches: Number of batches in an epoch.
        training: Takes the number of an epoch, from 1, and yields its batches.
        validation: Yields those that choose the epoch to keep; None to keep the last.
        on_batch: Gets the number of the epoch and of the batch, from 1, and the mean loss of the epoch so far.
    """

    epochs: int
    batches: int
    training: Callable[[int], Iterator[Lesson]]
    validation: Callable[[], Iterator[Lesson]] | None
    on_batch: Callable[[int, int, float], None]


def learn(float32: bytes, ranges: Ranges, lessons: Lessons, precision: str = "int8") -> Learnt:
    """Train a trusted float32 file that takes one image at a time for `int8` or `int4`, and return what it has learnt.

    The ranges learn with the weights, and are frozen for the last third of the epochs, of which one is kept: what is chosen is
    what the file computes.

    Raises:
        NotTrainable: If the file has an operator that can't be trained, or the training diverges.
        ConversionError: If it can't be quantized.
    """
    network = IntegerNetwork(float32, ranges, _steps(float32, ranges, precision), precision)
    steps = lessons.epochs * lessons.batches
    schedules = load_keras().optimizers.schedules
    optimizers = [
        load_keras().optimizers.Adam(schedules.CosineDecay(rate, steps)) for rate in (_WEIGHTS_RATES[precision], _RANGES_RATE)
    ]
    network.build(optimizers)
    frozen_from = lessons.epochs - choices(lessons.epochs) + 1
    best, kept = np.inf, None
    for epoch in range(1, lessons.epochs + 1):
        frozen, total = epoch >= frozen_from, 0.0
        if epoch == frozen_from and epoch > 1:
            ranges = network.ranges()
            network.freeze(_steps(network.graph.with_weights(network.weights()), ranges, precision))
        for number, (inputs, labels) in enumerate(lessons.training(epoch), 1):
            total += float(network.train(inputs, labels, frozen, optimizers))
            if not isfinite(total):
                raise NotTrainable(f"its loss is no number after batch {number} of epoch {epoch}")
            lessons.on_batch(epoch, number, total / number)
        if frozen:
            loss = _mean_loss(network, lessons.validation) if lessons.validation else -float(epoch)
            if loss < best:
                weights = network.weights()
                best, kept = loss, Learnt(float32, network.graph.with_weights(weights), weights, ranges, epoch)
    assert kept  # noqa: S101  # The last epoch is a frozen one.
    return kept


def _steps(float32: bytes, ranges: Ranges, precision: str) -> Mapping[str, tuple[float, int]]:
    return tflite_steps(quantize_tflite(float32, precision, ranges))


def _mean_loss(network: "IntegerNetwork", batches: Callable[[], Iterator[Lesson]]) -> float:
    losses = [(float(network.loss_of(inputs, labels)), len(labels)) for inputs, labels in batches()]
    return sum(loss * count for loss, count in losses) / sum(count for _, count in losses)


def _flat(values: Any) -> Any:
    """Return values (n, ...) as (n, values of one image)."""
    return load_tensorflow().reshape(values, (-1, int(np.prod(values.shape[1:]))))


def _leaders(graph: FloatGraph, steps: Mapping[str, tuple[float, int]]) -> dict[str, str]:
    """Return of each tensor the one whose range it has: kernels that only move values take them as they are."""
    leader = {graph.image: graph.image}
    for one in graph.operators:
        moved = [name for name in one.inputs if name in leader and steps.get(name, one) == steps.get(one.output)]
        found = [leader[name] for name in moved] if one.channels is None else []
        leader[one.output] = found[0] if found else one.output
        leader |= {name: found[0] for name, other in leader.items() if other in found}
    return leader


def _free_ends(ranges: Ranges, leader: Mapping[str, str], fixed: set[str]) -> dict[str, tuple[float, float]]:
    """Return the ends of each range that learns, by its leader: those that hold the ranges of all tensors with its steps.

    A tensor that is always zero keeps its steps, too.
    """
    found: dict[str, tuple[float, float]] = {}
    for name, leading in leader.items():
        low, high = found.get(leading, (0.0, 0.0))
        found[leading] = min(low, ranges[name][0]), max(high, ranges[name][1])
    kept = {leader[name] for name in fixed if name in leader}
    return {name: (low, high) for name, (low, high) in found.items() if name not in kept and low < high}


class IntegerNetwork:
    """A network in training for integers.

    Args:
        float32: A trusted float32 file that takes one image at a time.
        ranges: Calibrated range of each activation, by tensor name.
        steps: (scale, zero point) of each integer activation of the quantized file that is made with these ranges.
        precision: `int8` or `int4`.
    """

    def __init__(self, float32: bytes, ranges: Ranges, steps: Mapping[str, tuple[float, int]], precision: str) -> None:
        tf = load_tensorflow()
        self.graph, self._ranges = FloatGraph(float32), ranges
        self._few = FOUR_BITS if precision == "int4" else ()
        self._teacher = dict(self.graph.weights)
        self._learning = {name: tf.Variable(values) for name, values in self.graph.weights.items()}
        self._leader = _leaders(self.graph, steps)
        fixed = {self.graph.image, *(one.output for one in self.graph.operators if one.kind in _FIXED)}
        self._ends = _free_ends(ranges, {name: self._leader[name] for name in self._leader if name in steps}, fixed)
        self._factors = {name: tf.Variable([0.0, 0.0]) for name in self._ends}
        few = [(one.filter, one.channels) for one in self.graph.operators if one.kind in self._few and one.channels is not None]
        # Logarithms of the shares of each channel's largest weight; with 8 bits there are steps enough for all of it. More than
        # all would be steps that no weight has.
        self._shares = {
            name: tf.Variable(tf.zeros(self._teacher[name].shape[axis]), constraint=lambda share: tf.minimum(share, 0.0))
            for name, axis in few
        }
        self._steps = {
            name: (tf.Variable(float(scale)), tf.Variable(float(zero)))
            for name, (scale, zero) in steps.items()
            if name in self._leader
        }
        # A batch of another size, as the last one, is traced once more. No branch depends on a tensor.
        traced = partial(tf.function, reduce_retracing=True, autograph=False)
        self.train = traced(self._train_on)
        self.forward = traced(lambda images: _flat(self._run(images, True)[self.graph.output]))
        self.loss_of = traced(partial(self._loss, frozen=True))

    def build(self, optimizers: Sequence[Any]) -> None:
        """Make the variables of the optimizers of `train`; else TensorFlow traces a step twice, first to make these."""
        for optimizer, variables in zip(optimizers, self._groups(), strict=True):
            optimizer.build(variables)

    def ranges(self) -> Ranges:
        """Return the learnt ranges, and the calibrated ones of what has a range of its own."""
        found = {name: (float(low), float(high)) for name in self._ends for low, high in [self._range(name)]}
        led = {name: found[leader] for name, leader in self._leader.items() if leader in found}
        return {**self._ranges, **led}

    def freeze(self, steps: Mapping[str, tuple[float, int]]) -> None:
        """Go on with the scales and zero points of an int8 file that was made with the learnt ranges."""
        for name, (scale, zero) in self._steps.items():
            scale.assign(steps[name][0])
            zero.assign(steps[name][1])

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """Return the learnt weights and biases as the int8 file has them, by tensor name."""
        found, layers = dict(self._learning), self._layers(self._steps)
        for one in self.graph.operators:
            if (layer := layers.get(one.output)) and one.channels is not None:
                found[one.filter], bias = layer.real()
                if one.bias:
                    found[one.bias] = bias
        return {name: np.asarray(values) for name, values in found.items()}

    def _range(self, name: str) -> tuple[Any, Any]:
        low, high = self._ends[name]
        factors = load_tensorflow().exp(self._factors[name])
        return low * factors[0], high * factors[1]

    def _current(self, frozen: bool) -> Mapping[str, tuple[Any, Any]]:
        """Return the scale and the zero point of each integer activation."""
        if frozen:
            return self._steps
        learnt = {name: steps_of(*self._range(name)) for name in self._ends}
        return {name: learnt.get(self._leader[name], taken) for name, taken in self._steps.items()}

    def _layers(self, steps: Mapping[str, tuple[Any, Any]]) -> dict[str, LayerSteps]:
        """Return the integers of the layers that the int8 file computes in integers, by their output."""
        found = {}
        for one in self.graph.operators:
            if one.channels is not None and one.output in steps:
                most = 7 if one.kind in self._few else 127
                weights, bias = self._learning[one.filter], self._learning[one.bias] if one.bias else None
                found[one.output] = layer_in_steps(
                    one, weights, bias, self._shares.get(one.filter), most, steps[one.inputs[0]][0]
                )
        return found

    def _run(self, images: Any, frozen: bool) -> Mapping[str, Any]:
        steps = self._current(frozen)
        layers = self._layers(steps)

        def compute(one: GraphOperator, inputs: Sequence[Any]) -> Any:
            if one.output not in steps:
                return in_float(one, inputs)
            return operator_in_steps(
                one, inputs, [steps.get(name) for name in one.inputs], steps[one.output], layers.get(one.output)
            )

        image = self.graph.image
        images = on_steps(images, *steps[image]) if image in steps else images
        found: Mapping[str, Any] = self.graph.run(images, self._learning, compute)
        return found

    def _loss(self, images: Any, labels: Any, frozen: bool) -> Any:
        """Return the mean cross-entropy of the labels, and divergence from the float file's probabilities (Hinton and others,
        2015, https://arxiv.org/abs/1503.02531).
        """
        tf, scores = load_tensorflow(), self.graph.scores
        expected, found = (
            # One score is that of the second of two classes.
            tf.nn.log_softmax(one if one.shape[1] > 1 else tf.concat([tf.zeros_like(one), one], axis=1))
            for one in map(_flat, (self.graph.run(images, self._teacher)[scores], self._run(images, frozen)[scores]))
        )
        divergence = tf.reduce_sum(tf.exp(expected) * (expected - found), axis=1)
        return tf.reduce_mean((1 - _LABELS_SHARE) * divergence - _LABELS_SHARE * tf.gather(found, labels, batch_dims=1))

    def _groups(self) -> list[list[Any]]:
        return [list(self._learning.values()), [*self._factors.values(), *self._shares.values()]]

    def _train_on(self, images: Any, labels: Any, frozen: bool, optimizers: Sequence[Any]) -> Any:
        groups = self._groups()[: 1 if frozen else 2]
        with load_tensorflow().GradientTape() as tape:
            loss = self._loss(images, labels, frozen)
        for variables, gradients, optimizer in zip(groups, tape.gradient(loss, groups), optimizers, strict=False):
            optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss
