"""Rounds values as an int8 file does, so that they can still learn: the forward rounds, the gradient passes (Bengio and others,
2013, arXiv 1308.3432; Jacob and others, 2018, arXiv 1712.05877).
"""

from typing import Any

from edgecnn.convert.keras.load import load_tensorflow


def nearest(values: Any) -> Any:
    """Return the nearest whole numbers, half to even; the gradient is that of the values themselves."""
    tf = load_tensorflow()
    return values + tf.stop_gradient(tf.round(values) - values)


def steps_of(low: Any, high: Any) -> tuple[Any, Any]:
    """Return the scale and the zero point of int8 for a range that holds zero; both have gradients (Esser and others, 2020,
    arXiv 1902.08153, with an offset as Bhalgat and others, 2020, arXiv 2004.09576).
    """
    scale = (high - low) / 255
    return scale, nearest(-128 - low / scale)


def rounded_to_steps(values: Any, scale: Any, zero: Any, half_away: bool = False) -> Any:
    """Return real values on the steps of int8 with one scale and zero point; what is beyond them moves only these.

    Half a step is rounded to even, or if `half_away` away from int8's 0, as LiteRT's kernel of average pooling does.
    """
    tf = load_tensorflow()
    steps = values / scale
    if half_away:
        stored = steps + zero
        whole = steps + tf.stop_gradient(tf.sign(stored) * tf.floor(tf.abs(stored) + 0.5) - stored)
    else:
        whole = nearest(steps)
    return tf.clip_by_value(whole, -128 - zero, 127 - zero) * scale


def rounded_weights(weights: Any, axis: int, most: int) -> tuple[Any, Any]:
    """Return weights on the steps from -most to most of each output channel, whose largest weight is the last step, and the
    scales (channels,).
    """
    tf = load_tensorflow()
    others = [place for place in range(len(weights.shape)) if place != axis]
    largest = tf.stop_gradient(tf.reduce_max(tf.abs(weights), others, keepdims=True))
    scale = tf.where(largest > 0, largest, 1.0) / most
    return nearest(weights / scale) * scale, tf.reshape(scale, [-1])


def rounded_bias(bias: Any, scales: Any) -> Any:
    """Return a bias (channels,) on the steps of its accumulators, whose scales are those of the input times the weights'."""
    return nearest(bias / scales) * scales
