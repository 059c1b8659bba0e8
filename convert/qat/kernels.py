"""What the kernels of LiteRT and XNNPACK compute in int8, to the step, so that a network can learn through it.

The forward rounds, the gradient is that of the values themselves (Bengio and others, 2013, arXiv 1308.3432; Jacob and others,
2018, arXiv 1712.05877). All integers are held as float32, which has all whole numbers to 2**24.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgecnn.convert.keras.load import load_tensorflow
from edgecnn.convert.qat.graph import GraphOperator, in_float, without_activation

Steps = tuple[Any, Any]
"""The scale, which is the size of a step, and the zero point of a tensor's int8."""


@dataclass(frozen=True)
class LayerSteps:
    """The integers of a layer with weights.

    Attributes:
        weights: Whole steps, in the file's shape.
        bias: Whole steps of the accumulators (channels,); None without one.
        scales: Size of a step of the weights, in a shape that multiplies them.
        accumulated: Size of a step of the accumulators (channels,).
    """

    weights: Any
    bias: Any
    scales: Any
    accumulated: Any

    def real(self) -> tuple[Any, Any]:
        """Return the weights and the bias that these integers stand for."""
        return self.weights * self.scales, None if self.bias is None else self.bias * self.accumulated


def steps_of(low: Any, high: Any) -> Steps:
    """Return the int8 steps of a range that holds zero; both have gradients (Esser and others, 2020, arXiv 1902.08153, with an
    offset as Bhalgat and others, 2020, arXiv 2004.09576).
    """
    scale = (high - low) / 255
    return scale, _nearest(-128 - low / scale)


def on_steps(values: Any, scale: Any, zero: Any) -> Any:
    """Return real values on the steps of int8; what is beyond them moves only these."""
    return load_tensorflow().clip_by_value(_nearest(values / scale), -128 - zero, 127 - zero) * scale


def layer_in_steps(operator: GraphOperator, weights: Any, bias: Any, share: Any, most: int, taken: Any) -> LayerSteps:
    """Return the integers of a layer.

    Args:
        operator: The layer.
        weights: In the file's shape.
        bias: (channels,), or None.
        share: Logarithms (channels,) of the share of a channel's largest weight that is the last step; None is all of it.
        most: The last step of the weights; the first is its negative.
        taken: Scale of its input.
    """
    tf = load_tensorflow()
    others = [place for place in range(len(weights.shape)) if place != operator.channels]
    largest = tf.stop_gradient(tf.reduce_max(tf.abs(weights), others, keepdims=True))
    # In float32, tf.function multiplies by the reciprocal of a constant, which rounds otherwise.
    scales = tf.cast(tf.cast(tf.where(largest > 0, largest, 1.0), tf.float64) / most, tf.float32)
    if share is not None:
        scales *= tf.reshape(tf.exp(share), largest.shape)
    accumulated = tf.reshape(scales, [-1]) * taken
    whole = tf.clip_by_value(_nearest(weights / scales), -most, most)
    return LayerSteps(whole, None if bias is None else _nearest(bias / accumulated), scales, accumulated)


def operator_in_steps(
    operator: GraphOperator, inputs: Sequence[Any], taken: Sequence[Steps | None], given: Steps, layer: LayerSteps | None
) -> Any:
    """Return the real values (n, ...) of an operator's output, on its steps.

    Args:
        operator: The operator.
        inputs: Real values of its inputs, which are on their steps.
        taken: Those steps; None for what has none.
        given: The steps of its output.
        layer: Its integers, if it has weights.
    """
    scale, zero = given
    first = taken[0]
    if layer and first:
        sums = without_activation(operator, [_nearest(inputs[0] / first[0]), layer.weights, layer.bias])
        whole = _nearest(sums * (layer.accumulated / scale))
    elif operator.kind == "AVERAGE_POOL_2D" and first:
        whole = _half_away(without_activation(operator, [_nearest(inputs[0] / first[0])]) * (first[0] / scale), zero)
    elif operator.kind == "ADD" and all(taken):
        whole = _sum(operator, inputs, [one[0] for one in taken if one], scale)
    elif operator.kind == "HARD_SWISH" and first:
        whole = _as(_hard_swish(inputs[0] / first[0], first[0], scale), in_float(operator, inputs) / scale)
    elif operator.kind == "CONCATENATION":
        moved = [
            _moved(one, steps[0], scale) if steps else _nearest(one / scale) for one, steps in zip(inputs, taken, strict=True)
        ]
        whole = without_activation(operator, moved)
    else:
        whole = _nearest(in_float(operator, inputs) / scale)
    tf = load_tensorflow()
    low, high = (np.clip(one, -1e9, 1e9) for one in operator.limits)
    low, high = tf.maximum(tf.round(low / scale), -128 - zero), tf.minimum(tf.round(high / scale), 127 - zero)
    return tf.clip_by_value(whole, low, high) * scale


def _as(exact: Any, values: Any) -> Any:
    """Return what is exact, with the gradient of the values."""
    return values + load_tensorflow().stop_gradient(exact - values)


def _nearest(values: Any) -> Any:
    """Return the nearest whole numbers, half to even, as XNNPACK rounds."""
    return _as(load_tensorflow().round(values), values)


def _half_away(steps: Any, zero: Any) -> Any:
    """Return whole steps, half a step away from int8's 0, as LiteRT's kernel of average pooling rounds."""
    tf = load_tensorflow()
    stored = steps + zero
    return _as(tf.sign(stored) * tf.floor(tf.abs(stored) + 0.5) - zero, steps)


def _sum(operator: GraphOperator, inputs: Sequence[Any], taken: Sequence[Any], scale: Any) -> Any:
    """Return the sum of two inputs in whole steps of the size `scale`.

    XNNPACK multiplies each with its scale as an integer of 21 bits for the larger one, and rounds half a step up.
    """
    tf = load_tensorflow()
    ratios = [one / scale for one in taken]
    exponent = tf.bitwise.right_shift(tf.bitcast(tf.maximum(*ratios), tf.int32), 23) - 127
    shift = tf.cast(20 - exponent, tf.float32)
    whole, factors = (
        [tf.cast(tf.round(one), tf.int32) for one in many]
        for many in ([one / own for one, own in zip(inputs, taken, strict=True)], [ratio * 2**shift for ratio in ratios])
    )
    half = tf.cast(2 ** (shift - 1), tf.int32)
    products = [one * factor for one, factor in zip(whole, factors, strict=True)]
    exact = tf.bitwise.right_shift(without_activation(operator, products) + half, tf.cast(shift, tf.int32))
    return _as(tf.cast(exact, tf.float32), without_activation(operator, [one / scale for one in inputs]))


def _moved(values: Any, taken: Any, scale: Any) -> Any:
    """Return values on steps of the size `taken` in whole ones of the size `scale`: XNNPACK has 8 bits for the factor."""
    tf = load_tensorflow()
    exact = tf.floor(tf.round(values / taken) * (tf.round(256 * taken / scale) / 256) + 0.5)
    return _as(exact, values / scale)


def _hard_swish(steps: Any, taken: Any, scale: Any) -> Any:
    """Return the hard swish of whole steps of the size `taken` in whole ones of the size `scale`.

    LiteRT's kernel is in fixed point: 16 bits, of which the input takes the upper 9 (tflite/kernels/internal/reference/
    hard_swish.h). `rectified` is relu6(x + 3) / 6, with 1 as 2**15.
    """
    tf = load_tensorflow()
    given = tf.cast(tf.round(steps), tf.int32) * 128
    factor, shift = _factor_of_16_bits(taken / 128 / scale)
    wanted = _high_product(given, factor, 1 << 14)
    steepness, more = _factor_of_16_bits(taken / 128 / (3 / 32768))
    rectified = tf.where(more > 0, _in_16_bits(given * 2 ** tf.maximum(more - 1, 0)), given)
    rectified = _high_product(rectified, steepness, 1 << 14)
    rectified = tf.where(more > 0, _in_16_bits(2 * rectified), _halved(rectified, -more))
    rectified = tf.bitwise.right_shift(rectified + (1 << 15), 1)
    return tf.cast(_halved(_high_product(rectified, wanted, 0), -shift), tf.float32)


def _factor_of_16_bits(factor: Any) -> tuple[Any, Any]:
    """Return a float32 factor as an integer up to 2**15, and the exponent of what it is then multiplied with."""
    tf = load_tensorflow()
    bits = tf.bitcast(factor, tf.int32)
    significand = tf.bitwise.bitwise_or(tf.bitwise.bitwise_and(bits, (1 << 23) - 1), 1 << 23)
    whole = tf.minimum(tf.bitwise.right_shift(significand + (1 << 8), 9), (1 << 15) - 1)
    return whole, tf.bitwise.right_shift(bits, 23) - 126


def _high_product(first: Any, second: Any, half: int) -> Any:
    """Return the product over 2**15, rounded toward zero after `half` was added to its size."""
    tf = load_tensorflow()
    product = first * second
    # The kernel adds 1 - half to a negative product.
    return tf.truncatediv(product + tf.where(product >= 0, half, 1 - half if half else 0), 1 << 15)


def _in_16_bits(whole: Any) -> Any:
    return load_tensorflow().clip_by_value(whole, -(1 << 15), (1 << 15) - 1)


def _halved(whole: Any, times: Any) -> Any:
    """Return whole numbers over 2**times, half rounded away from zero."""
    tf = load_tensorflow()
    times = tf.maximum(times, 0)
    mask = tf.bitwise.left_shift(1, times) - 1
    remainder = tf.bitwise.bitwise_and(whole, mask)
    threshold = tf.bitwise.right_shift(mask, 1) + tf.cast(whole < 0, tf.int32)
    return tf.bitwise.right_shift(whole, times) + tf.cast(remainder > threshold, tf.int32)
