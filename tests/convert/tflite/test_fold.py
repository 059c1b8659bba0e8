"""A convolution of folded columns computes what the plain one computes, to the last bit, in a kernel of more channels."""

import copy
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from edgecnn.convert.tflite.calibrate import calibrate_tflite
from edgecnn.convert.tflite.converter import to_tflite
from edgecnn.convert.tflite.fold import fold, foldable
from edgecnn.convert.tflite.quantize import activations, open_tflite, operators_of, quantize_tflite
from edgecnn.edge.compatibility.tflite_graph import from_object, to_object
from edgecnn.edge.runtimes import opener_for
from tests.convert.tflite.conftest import run

layers = keras.layers


def int8_of(model: Any, keep: tuple[str, ...] = ()) -> bytes:
    shape = model.input_shape[1:]
    float32 = to_tflite(model, "float32", shape, "float32")
    ranges = calibrate_tflite(float32, np.random.default_rng(0).uniform(-1, 1, (10, *shape)).astype(np.float32))
    return quantize_tflite(float32, "int8", ranges, keep)


def network(shape: tuple[int, ...], *some: Any) -> Any:
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input(shape), *some, layers.GlobalAveragePooling2D(), layers.Dense(3)])


def answers(data: bytes) -> NDArray[Any]:
    _, *shape = opener_for("tflite").open_model(data, 1).input_spec.shape
    return run(data, np.random.default_rng(1).integers(-128, 128, (30, *(size or 1 for size in shape))).astype(np.int8))


def convolutions(data: bytes) -> list[tuple[int, ...]]:
    interpreter = open_tflite(data)
    shapes = {tensor["index"]: tuple(int(size) for size in tensor["shape"]) for tensor in interpreter.get_tensor_details()}
    return [shapes[one["inputs"][1]] for one in operators_of(interpreter) if one["op_name"] == "CONV_2D"]


@pytest.mark.parametrize(
    ("size", "convolution", "columns", "kernel"),
    [
        ((12, 12, 1), {"filters": 8, "kernel_size": 3, "padding": "same", "activation": "relu"}, 4, (32, 3, 3, 4)),
        ((12, 12, 3), {"filters": 8, "kernel_size": 3, "padding": "same"}, 2, (16, 3, 3, 6)),
        ((9, 16, 2), {"filters": 5, "kernel_size": (1, 5), "padding": "same"}, 2, (10, 1, 3, 4)),
        ((8, 16, 2), {"filters": 5, "kernel_size": (3, 5), "padding": "same"}, 4, (20, 3, 3, 8)),
        ((8, 8, 2), {"filters": 4, "kernel_size": 2, "padding": "same"}, 2, (8, 2, 2, 4)),
        ((8, 8, 2), {"filters": 4, "kernel_size": 4, "padding": "same"}, 4, (16, 4, 3, 8)),
        ((12, 16, 1), {"filters": 8, "kernel_size": 3, "strides": 2, "padding": "same"}, 2, (16, 3, 2, 4)),
        ((12, 16, 3), {"filters": 8, "kernel_size": 5, "strides": 2, "padding": "same"}, 2, (16, 5, 3, 12)),
        ((12, 16, 1), {"filters": 8, "kernel_size": 3, "padding": "valid"}, 2, (16, 3, 2, 2)),
        ((12, 12, 1), {"filters": 1, "kernel_size": 3, "padding": "same"}, 4, (4, 3, 3, 4)),
    ],
)
def test_answers_are_the_same_to_the_last_bit(
    size: tuple[int, ...], convolution: dict[str, Any], columns: int, kernel: tuple[int, ...]
) -> None:
    plain = int8_of(network(size, layers.Conv2D(**convolution, bias_initializer="random_normal")))
    ((name, numbers),) = foldable(plain).items()
    assert columns in numbers
    folded = fold(plain, {name: columns})
    assert convolutions(folded) == [kernel]
    expected = answers(plain)
    assert len(np.unique(expected)) > 5
    np.testing.assert_array_equal(answers(folded), expected)


@pytest.mark.parametrize(
    ("size", "some"),
    [
        ((8, 8, 3), [layers.Conv2D(64, 3, padding="same")]),
        ((8, 8, 3), [layers.Conv2D(8, (3, 1), padding="same")]),
        ((8, 7, 3), [layers.Conv2D(8, 3, padding="same")]),
        ((8, 8, 3), [layers.Conv2D(8, 3, padding="same", dilation_rate=2)]),
        ((8, 8, 4), [layers.Conv2D(8, 3, padding="same", groups=2)]),
        ((8, 8, 4), [layers.DepthwiseConv2D(3, padding="same")]),
        ((8, 9, 3), [layers.Conv2D(8, 3, strides=2, padding="same")]),
        ((8, 14, 3), [layers.Conv2D(8, 3, strides=4, padding="same")]),
        ((8, 8, 3), [layers.Conv2D(8, 4, padding="valid")]),
    ],
    ids=[
        "wide",
        "no taps to the side",
        "odd",
        "dilated",
        "grouped",
        "depthwise",
        "odd and strided",
        "a rest before",
        "a rest after",
    ],
)
def test_other_convolutions_stay_as_they_are(size: tuple[int, ...], some: list[Any]) -> None:
    plain = int8_of(network(size, *some))
    assert foldable(plain) == {}
    assert fold(plain, {"anything": 2}) == plain


def test_a_layer_that_is_used_twice_stays_as_it_is() -> None:
    twice = layers.Conv2D(3, 3, padding="same")
    assert foldable(int8_of(network((8, 8, 3), twice, layers.ReLU(), layers.AveragePooling2D(1), twice))) == {}


def test_a_convolution_in_float_stays_as_it_is_and_others_are_folded() -> None:
    model = network((8, 8, 1), *(layers.Conv2D(8, 3, padding="same", activation="relu") for _ in range(2)))
    float32 = to_tflite(model, "float32", (8, 8, 1), "float32")
    first, second = [name for _, name, kind in activations(open_tflite(float32)) if kind == "CONV_2D"]
    assert list(foldable(int8_of(model))) == [first, second]
    plain = int8_of(model, (first,))
    assert list(foldable(plain)) == [second]
    folded = fold(plain, {first: 4, second: 2})
    assert convolutions(folded) == [(8, 3, 3, 1), (16, 3, 3, 16)]
    np.testing.assert_array_equal(answers(folded), answers(plain))


def test_a_file_of_several_graphs_stays_as_it_is() -> None:
    model = to_object(int8_of(network((8, 8, 1), layers.Conv2D(8, 3, padding="same"))))
    assert foldable(from_object(model))
    model.subgraphs.append(model.subgraphs[0])
    assert foldable(from_object(model)) == {}


def test_a_convolution_without_a_bias_stays_as_it_is() -> None:
    model = to_object(int8_of(network((8, 8, 1), layers.Conv2D(8, 3, padding="same"))))
    (graph,) = model.subgraphs
    convolution = next(one for one in graph.operators if len(one.inputs) == 3)
    # The last tensor looks like a bias: -1 must not mean that one.
    other = copy.deepcopy(graph.tensors[convolution.inputs[2]])
    other.buffer = len(model.buffers)
    model.buffers.append(copy.deepcopy(model.buffers[graph.tensors[convolution.inputs[2]].buffer]))
    graph.tensors.append(other)
    for operator in graph.operators:  # The dense layer has no bias either.
        operator.inputs = [index for index in operator.inputs if index >= 0]
    convolution.inputs = [*convolution.inputs[:2], -1]
    assert foldable(from_object(model)) == {}


def test_a_file_of_any_batch_stays_as_it_is() -> None:
    model = network((8, 8, 1), layers.Conv2D(8, 3, padding="same"))
    float32 = to_tflite(model, "float32", (8, 8, 1), "float32", True)
    ranges = calibrate_tflite(float32, np.random.default_rng(0).uniform(-1, 1, (10, 8, 8, 1)).astype(np.float32))
    assert foldable(quantize_tflite(float32, "int8", ranges)) == {}
