"""The requirements of files, compared with what the libraries that write them say."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgecnn.edge.compatibility.onnx import read_needs as onnx_needs
from edgecnn.edge.compatibility.requirements import read_needs
from edgecnn.edge.compatibility.tflite import DENSE_BY_CHANNEL, TfliteNeeds
from edgecnn.edge.compatibility.tflite import read_needs as tflite_needs
from edgecnn.edge.compatibility.tflite_graph import OPERATORS, from_object, to_object
from edgecnn.edge.errors import ArtifactError
from tests.onnx_text import onnx_bytes

FLOAT, INT8 = schema.TensorType.FLOAT32, schema.TensorType.INT8
NOISE = np.random.default_rng(0).bytes(3000)


def tflite(
    *codes: tuple[int, int], output: int = FLOAT, weights: int = FLOAT, release: bytes | None = None, custom: str | None = None
) -> bytes:
    """A file with an operator of each (code, version), which take tensor 0 and give tensor 1; tensor 2 is for nobody."""
    model = schema.ModelT(version=3, buffers=[schema.BufferT()], operatorCodes=[])
    for code, version in codes:
        model.operatorCodes.append(schema.OperatorCodeT(builtinCode=code, version=version, customCode=custom))
    operators = [schema.OperatorT(opcodeIndex=i, inputs=[0], outputs=[1]) for i in range(len(codes))]
    tensors = [schema.TensorT(shape=[1, 4], type=kind, buffer=0, name="t") for kind in (FLOAT, output, weights)]
    model.subgraphs = [schema.SubGraphT(tensors=tensors, inputs=[0], outputs=[1], operators=operators)]
    if release is not None:
        model.buffers.append(schema.BufferT(data=list(release)))
        model.metadata = [
            schema.MetadataT(name="another", buffer=0),
            schema.MetadataT(name="min_runtime_version", buffer=len(model.buffers) - 1),
        ]
    return from_object(model)


def onnx_file(operators: tuple[str, ...] = ("Relu",), **options: Any) -> bytes:
    nodes = " ".join(f"x{place} = {kind} (x{place - 1})" for place, kind in enumerate(operators, 1))
    text = f"(float[1, 4] x0) => (float[1, 4] x{len(operators)}) {{{nodes}}}"
    return onnx_bytes(text, w=np.full(300, 0.5, np.float32), **options)  # Longer than one varint byte can express.


def test_operators_have_the_schemas_names() -> None:
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    assert list(OPERATORS) == [names[code] for code in range(len(OPERATORS))]


def test_the_highest_version_of_an_operator_counts() -> None:
    fully, conv = schema.BuiltinOperator.FULLY_CONNECTED, schema.BuiltinOperator.CONV_2D
    needs = tflite_needs(tflite((fully, 4), (conv, 3), (fully, 12), (fully, 9)))
    assert needs.operators == {"CONV_2D": 3, "FULLY_CONNECTED": 12}
    assert needs.text() == "CONV_2D 3, FULLY_CONNECTED 12"


@pytest.mark.parametrize(
    ("code", "version", "name"),
    [
        (schema.BuiltinOperator.RELU, 1, "RELU"),  # A first version, which the file leaves out.
        (schema.BuiltinOperator.GELU, 2, "GELU"),  # A code above 127, in a field of its own.
        (9999, 1, "operator 9999"),
        (schema.BuiltinOperator.CUSTOM, 1, "custom FlexAdd"),
    ],
)
def test_an_operator_has_its_name_and_version(code: int, version: int, name: str) -> None:
    assert tflite_needs(tflite((code, version), custom="FlexAdd")).operators == {name: version}


def test_a_file_from_before_that_field_is_read_too() -> None:
    model = to_object(tflite((schema.BuiltinOperator.TANH, 3)))
    model.operatorCodes[0].builtinCode = 0
    assert tflite_needs(from_object(model)).operators == {"TANH": 3}


@pytest.mark.parametrize(("written", "release"), [(b"2.17.0" + bytes(10), "2.17.0"), (bytes(16), None), (None, None)])
def test_the_release_is_what_the_converter_wrote(written: bytes | None, release: str | None) -> None:
    assert tflite_needs(tflite((0, 1), release=written)).written == release


def test_only_computing_in_int8_is_int8() -> None:
    assert not tflite_needs(tflite((0, 1), weights=INT8)).int8
    assert tflite_needs(tflite((0, 1), output=INT8)).int8
    assert not onnx_needs(onnx_file(operators=("Relu", "DequantizeLinear"))).int8
    assert onnx_needs(onnx_file(operators=("Relu", "QuantizeLinear", "Relu"))).int8


def test_tensors_ask_for_more_than_the_written_version_and_a_left_out_one_for_nothing() -> None:
    model = schema.ModelT.InitFromPackedBuf(tflite((schema.BuiltinOperator.FULLY_CONNECTED, 1)), 0)
    graph = model.subgraphs[0]
    graph.operators[0].inputs = [0, 2, -1]
    graph.operators[0].outputs = [1, -1]

    def needs() -> TfliteNeeds:
        return tflite_needs(from_object(model))

    assert needs().operators == {"FULLY_CONNECTED": 1}
    graph.tensors[2].type = INT8
    assert needs().operators == {"FULLY_CONNECTED": 3}
    graph.tensors[2].quantization = schema.QuantizationParametersT(scale=[0.1, 0.2, 0.3, 0.4], zeroPoint=[0, 0, 0, 0])
    assert needs().operators == {"FULLY_CONNECTED": 12}
    graph.tensors[0].type = graph.tensors[1].type = INT8
    assert needs().operators == {"FULLY_CONNECTED": 4, DENSE_BY_CHANNEL: 1}
    model.operatorCodes[0].builtinCode = model.operatorCodes[0].deprecatedBuiltinCode = schema.BuiltinOperator.ELU
    assert (needs().operators, needs().unknown) == ({"ELU": 1}, ("ELU",))


def test_ir_version_and_opsets_are_those_of_the_onnx_file() -> None:
    needs = onnx_needs(onnx_file(ir_version=300, opset=99, domains=("ai.onnx.ml",)))
    assert (needs.ir_version, needs.opsets) == (300, {"ai.onnx.ml": 1, "ai.onnx": 99})
    assert needs.text() == "IR version 300, opset 99 of ai.onnx, opset 1 of ai.onnx.ml"


@pytest.mark.parametrize("data", [b"", b"\x00" * 100, b"\xff" * 100, NOISE, b"\x1c\0\0\0TFL3" + NOISE])
@pytest.mark.parametrize("model_format", ["tflite", "onnx"])
def test_what_is_no_model_is_an_error(data: bytes, model_format: str) -> None:
    with pytest.raises(ArtifactError, match=model_format):
        read_needs(data, model_format)


@pytest.mark.parametrize(
    ("data", "model_format"), [(tflite((9, 4), (3, 3), release=b"1.14.0"), "tflite"), (onnx_file(), "onnx")]
)
def test_a_cut_or_altered_file_never_raises_anything_else(data: bytes, model_format: str) -> None:
    whole, refused = read_needs(data, model_format), 0
    rng = np.random.default_rng(1)
    for _ in range(2000):
        broken = bytearray(data[: rng.integers(1, len(data))] if rng.random() < 0.3 else data)
        for place, byte in rng.integers(0, (len(broken), 256), (rng.integers(1, 4), 2)):
            broken[place] = byte
        try:
            read_needs(bytes(broken), model_format)
        except ArtifactError:
            refused += 1
    assert refused > 100
    assert read_needs(data, model_format) == whole


def test_a_cut_file_and_numbers_and_offsets_out_of_range_are_refused() -> None:
    data = onnx_file()  # The opset is at its end.
    for size in range(len(data)):
        with pytest.raises(ArtifactError):
            read_needs(data[:size], "onnx")
    data = onnx_file()
    assert data[:2] == b"\x08\x08"
    with pytest.raises(ArtifactError, match="64 bits"):
        read_needs(b"\x08\x88" + b"\x80" * 10 + b"\x00" + data[2:], "onnx")
    broken = bytearray(tflite((0, 1)))
    (table,) = struct.unpack_from("<I", broken)
    (back,) = struct.unpack_from("<i", broken, table)
    struct.pack_into("<i", broken, table, back + len(broken))
    with pytest.raises(ArtifactError, match="outside"):
        read_needs(bytes(broken), "tflite")


def test_exported_files_need_what_the_libraries_read(exported: Path) -> None:
    for path in sorted(exported.glob("*.onnx")):
        model, needs = onnx.load(path), onnx_needs(path.read_bytes())
        assert needs.ir_version == model.ir_version
        assert needs.opsets == {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
        assert needs.int8 == (path.stem == "int8")
    for path in sorted(exported.glob("*.tflite")):
        model, asks = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0), tflite_needs(path.read_bytes())
        written = {OPERATORS[code.builtinCode]: code.version for code in model.operatorCodes}
        assert set(asks.operators) - {DENSE_BY_CHANNEL} == set(written)
        assert (DENSE_BY_CHANNEL in asks.operators) == (path.stem in ("int8", "int16x8"))
        asked = {"int8": {"CONV_2D": 3, "FULLY_CONNECTED": 4}, "int16x8": {"CONV_2D": 4, "FULLY_CONNECTED": 7}}
        for name, version in written.items():
            if path.stem in asked:  # By the quantizer, which keeps the float operator's version.
                assert version == 1
                assert asks.operators[name] == asked[path.stem].get(name, asks.operators[name])
            else:
                assert asks.operators[name] == version
        assert asks.unknown == ()
        assert asks.int8 == (path.stem == "int8")
