"""A .tflite file that is written again has what it had, and equal arrays once."""

from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools.flatbuffer_utils import convert_object_to_bytearray

from edgecnn.edge.compatibility.tflite_graph import from_object, to_object
from edgecnn.edge.runtimes import opener_for
from tests.conftest import KEPT


def quantized(scale: list[float], zero_point: list[int]) -> Any:
    """Return a tensor with this quantization."""
    tensor, parameters = schema.TensorT(), schema.QuantizationParametersT()
    parameters.scale, parameters.zeroPoint = np.array(scale, np.float32), np.array(zero_point, np.int64)
    tensor.quantization = parameters
    return tensor


def model_of(*tensors: Any) -> Any:
    """Return a model that is nothing but tensors."""
    model, graph = schema.ModelT(), schema.SubGraphT()
    graph.tensors, model.subgraphs = list(tensors), [graph]
    return model


def test_equal_arrays_are_written_once() -> None:
    zeros = [0] * 500
    one, three = (len(from_object(model_of(*[quantized([0.5], zeros)] * count))) for count in (1, 3))
    assert three - one < 8 * 500


def test_arrays_of_other_types_stay_apart_though_their_bytes_are_equal() -> None:
    data = from_object(model_of(quantized([0.0, 0.0], [0])))
    written = schema.ModelT.InitFromPackedBuf(data, 0).subgraphs[0].tensors[0].quantization
    assert written.scale.dtype == np.float32
    assert written.scale.tolist() == [0.0, 0.0]
    assert written.zeroPoint.tolist() == [0]


@pytest.mark.parametrize(("late", "early", "written"), [(6, 0, 6), (150, 0, 127), (0, 3, 3), (32, 32, 32)])
def test_both_codes_of_an_operator_name_it(late: int, early: int, written: int) -> None:
    model = model_of()
    model.operatorCodes = [schema.OperatorCodeT(builtinCode=late, deprecatedBuiltinCode=early)]
    (code,) = schema.ModelT.InitFromPackedBuf(from_object(model), 0).operatorCodes
    assert (code.builtinCode, code.deprecatedBuiltinCode) == (late, written)


def test_a_file_is_smaller_and_computes_the_same() -> None:
    data = (KEPT / "bars" / "int8.tflite").read_bytes()
    model = to_object(data)
    written = from_object(model)
    assert len(written) < len(convert_object_to_bytearray(model))
    before, after = (opener_for("tflite").open_model(file, 1) for file in (data, written))
    assert after.input_spec == before.input_spec
    pixels = np.random.default_rng(0).integers(-128, 128, (1, 12, 12, 1)).astype(np.int8)
    assert np.array_equal(after.run(pixels), before.run(pixels))
