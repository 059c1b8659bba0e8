"""Steps of int8: compiled, which may compute otherwise, they are those of the file."""

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.schema_py_generated import AddOptionsT

from edgecnn.convert.qat.graph import GraphOperator
from edgecnn.convert.qat.kernels import layer_in_steps, operator_in_steps


@pytest.mark.parametrize("most", [127, 7])
def test_the_scales_of_weights_are_those_of_the_file(most: int) -> None:
    weights = np.random.default_rng(0).normal(size=(1000, 4)).astype(np.float32)
    learning, dense = tf.Variable(weights), GraphOperator("FULLY_CONNECTED", ("input", "weights"), "output", None)
    found = tf.function(lambda: layer_in_steps(dense, learning, None, None, most, 0.5).scales)()
    assert np.array_equal(found, np.abs(weights).max(axis=1, keepdims=True) / np.float32(most))


@pytest.mark.parametrize("ratio", [0.5, 0.25, 2.0**-7])
def test_half_a_step_of_a_sum_is_rounded_up(ratio: float) -> None:
    whole = np.array([[-3, -1, 1, 3]], np.float32) / np.float32(2 * ratio)
    inputs, scale = [tf.Variable(one * np.float32(ratio)) for one in (whole, 0 * whole)], tf.Variable(1.0)
    add, steps = GraphOperator("ADD", ("one", "other"), "output", AddOptionsT()), (tf.Variable(ratio), 0.0)
    found = tf.function(lambda: operator_in_steps(add, inputs, [steps, steps], (scale, 0.0), None))()
    assert found.numpy().tolist() == [[-1, 0, 1, 2]]
