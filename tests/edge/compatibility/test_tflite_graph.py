"""A file's ends are quantized as LiteRT reports it; a file that is written again has what it had, and equal arrays once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools.flatbuffer_utils import convert_object_to_bytearray

from edgecnn.edge.compatibility.tflite_graph import from_object, tflite_ends, to_object
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.runtimes import opener_for

KEPT = Path(__file__).parents[2] / "kept"
FILES = [
    KEPT / "bars/int8.tflite", KEPT / "bars/int16x8.tflite", KEPT / "bars/dynamic.tflite", KEPT / "any_batch/int8.tflite",
    KEPT / "foreign/uint8.tflite", KEPT / "foreign/int8.tflite", KEPT / "foreign/grey.tflite",
]  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_they_are_as_the_interpreter_reports_them(path: Path) -> None:
    data = path.read_bytes()
    opened = opener_for("litert").open_model(data, 1)
    assert tflite_ends(data) == (opened.input_spec.quantization, opened.output_spec.quantization)


def test_some_of_these_files_are_quantized_and_some_are_not() -> None:
    assert {tflite_ends(path.read_bytes())[0] is None for path in FILES} == {True, False}


def test_a_file_of_several_graphs_or_none_is_refused() -> None:
    with pytest.raises(ArtifactError, match="2 graphs"):
        tflite_ends((KEPT / "foreign/two.tflite").read_bytes())
    with pytest.raises(ArtifactError, match="copy it again"):
        tflite_ends(b"\0" * 4 + b"TFL3" + b"\0" * 40)


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
