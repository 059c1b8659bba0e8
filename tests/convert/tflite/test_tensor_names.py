"""Tensors of a .tflite file have short names, each one's own."""

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgecnn.convert.tflite.calibrate import calibrate_tflite
from edgecnn.convert.tflite.converter import to_tflite
from edgecnn.convert.tflite.quantize import activations, open_tflite, quantize_tflite, with_short_names
from edgecnn.convert.training.model.networks import build_network
from edgecnn.edge.compatibility.tflite_graph import from_object, to_object
from tests.convert.tflite.conftest import run

SHAPE = (28, 28, 1)


@pytest.fixture(scope="module")
def small() -> bytes:
    keras.utils.set_random_seed(0)
    return to_tflite(build_network("separable", SHAPE, 10, 0.0, (8, 16, 16)), "float32", SHAPE, "float32")


def names(data: bytes) -> list[bytes]:
    return [tensor.name for tensor in to_object(data).subgraphs[0].tensors]


def with_names(data: bytes, chosen: list[bytes]) -> bytes:
    model = to_object(data)
    for tensor, name in zip(model.subgraphs[0].tensors, chosen, strict=True):
        tensor.name = name
    return from_object(model)


def test_a_name_is_that_of_one_layer_and_of_one_tensor(small: bytes) -> None:
    found = names(small)
    assert not [name for name in found if b";" in name]
    assert len(set(found)) == len(found)
    assert b"serving_default_image:0" in found


def test_the_computed_tensor_has_the_name_as_it_is_and_constants_a_number(small: bytes) -> None:
    """Operators are named by the tensors that they compute: in `keep`, in the manifest, and for people."""
    model = to_object(small)
    operator = model.subgraphs[0].operators[1]
    computed, constant = int(operator.outputs[0]), int(operator.inputs[1])
    joined = [b"%d" % index for index in range(len(model.subgraphs[0].tensors))]
    joined[computed], joined[constant] = b"conv/Relu;conv/BiasAdd1", b"conv/Relu;conv/BiasAdd"
    found = names(with_short_names(with_names(small, joined)))
    assert found[computed] == b"conv/Relu"
    assert found[constant] == b"conv/Relu_1"


def test_only_names_change(small: bytes) -> None:
    image = np.random.default_rng(0).random((1, *SHAPE), np.float32)
    long = with_names(small, [b"%d;%s" % (index, b"x" * 300) for index in range(len(names(small)))])
    short = with_short_names(long)
    np.testing.assert_array_equal(run(short, image), run(long, image))
    assert len(long) - len(short) >= 300 * len(names(small))


def test_an_int8_file_has_short_names_too(small: bytes) -> None:
    """Its quantizer copies each name for the tensors that it adds."""
    inputs = np.random.default_rng(0).random((8, *SHAPE), np.float32)
    data = quantize_tflite(small, "int8", calibrate_tflite(small, inputs))
    assert not [name for name in names(data) if b";" in name]


def test_an_operator_is_kept_in_float_by_its_short_name(small: bytes) -> None:
    inputs = np.random.default_rng(0).random((8, *SHAPE), np.float32)
    name = next(name for _, name, kind in activations(open_tflite(small)) if kind == "CONV_2D")
    graph = to_object(quantize_tflite(small, "int8", calibrate_tflite(small, inputs), [name])).subgraphs[0]
    kinds = [graph.tensors[operator.outputs[0]].type for operator in graph.operators]
    assert kinds.count(schema.TensorType.FLOAT32) > 0
