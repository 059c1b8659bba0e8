"""State and random operators in a .tflite file are found in whatever graph the file runs, by whatever operator."""

from typing import Any

import flatbuffers
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.runtimes.tflite_state import TfliteState, tflite_state

CODE = schema.BuiltinOperator
STATELESS = TfliteState(resettable=False, lasting=False)
STATEFUL = TfliteState(resettable=False, lasting=True)


def tensor(shape: tuple[int, ...], kind: int = schema.TensorType.FLOAT32, buffer: int = 0) -> Any:
    made = schema.TensorT()
    made.name, made.shape, made.type, made.buffer = "t", list(shape), kind, buffer
    return made


def graph(*operators: Any, tensors: list[Any] | None = None) -> Any:
    """A graph from tensor 0 to tensor 1."""
    made = schema.SubGraphT()
    made.tensors, made.inputs, made.outputs = tensors or [tensor((3,)), tensor((3,))], [0], [1]
    made.operators = list(operators)
    return made


class Builder:
    """Collects what operators a file has."""

    def __init__(self) -> None:
        self.codes: list[Any] = []

    def operator(
        self, code: int, options: str = "", second: bool = False, inputs: tuple[int, ...] = (0,), **values: Any
    ) -> Any:
        entry = schema.OperatorCodeT()
        entry.builtinCode, entry.deprecatedBuiltinCode, entry.version = code, min(code, 127), 1
        made = schema.OperatorT()
        made.opcodeIndex, made.inputs, made.outputs = len(self.codes), list(inputs), [1]
        self.codes.append(entry)
        if options:
            table = getattr(schema, f"{options}T")()
            for name, value in values.items():
                setattr(table, name, value)
            if second:
                made.builtinOptions2Type, made.builtinOptions2 = getattr(schema.BuiltinOptions2, options), table
            else:
                made.builtinOptionsType, made.builtinOptions = getattr(schema.BuiltinOptions, options), table
        return made

    def data(self, *graphs: Any, signatures: dict[str, int] | None = None, buffers: tuple[bytes, ...] = ()) -> bytes:
        model = schema.ModelT()
        model.version, model.operatorCodes, model.subgraphs = 3, self.codes, list(graphs)
        model.buffers = [schema.BufferT()]
        for content in buffers:
            model.buffers.append(schema.BufferT())
            model.buffers[-1].data = list(content)
        model.signatureDefs = []
        for name, number in (signatures or {}).items():
            entry = schema.SignatureDefT()
            entry.signatureKey, entry.subgraphIndex, entry.inputs, entry.outputs = name, number, [], []
            model.signatureDefs.append(entry)
        builder = flatbuffers.Builder(4096)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


CALLERS: dict[str, dict[str, Any]] = {
    "IF": {"options": "IfOptions", "thenSubgraphIndex": 2, "elseSubgraphIndex": 1},
    "WHILE": {"options": "WhileOptions", "condSubgraphIndex": 2, "bodySubgraphIndex": 1},
    "CALL": {"options": "CallOptions", "subgraph": 1},
    "STABLEHLO_WHILE": {"options": "StablehloWhileOptions", "second": True, "condSubgraphIndex": 2, "bodySubgraphIndex": 1},
    "STABLEHLO_COMPOSITE": {"options": "StableHLOCompositeOptions", "second": True, "decompositionSubgraphIndex": 1},
    "STABLEHLO_CASE": {"options": "StablehloCaseOptions", "second": True, "branchSubgraphIndices": [2, 1]},
    # Something that a later, unknown operator might do.
    "GELU": {},
}


@pytest.mark.parametrize("initial", [False, True], ids=["", "initial too"])
@pytest.mark.parametrize("name", CALLERS)
def test_state_is_found_behind_every_operator_that_runs_a_graph(name: str, initial: bool) -> None:
    made = Builder()
    first = [made.operator(CODE.CALL_ONCE, "CallOnceOptions", initSubgraphIndex=1)] if initial and name != "GELU" else []
    caller = made.operator(getattr(CODE, name), **CALLERS[name])
    stateful, plain = graph(made.operator(CODE.ASSIGN_VARIABLE)), graph(made.operator(CODE.NEG))
    entry = graph(*first, caller)
    assert tflite_state(made.data(entry, stateful, plain)) == STATEFUL
    # Even if the graph belongs to another signature.
    if name != "GELU":
        assert tflite_state(made.data(entry, stateful, plain, signatures={"a": 0, "b": 1}), "a") == STATEFUL


def test_what_only_the_first_call_runs_or_another_signature_is_no_state() -> None:
    made = Builder()
    entry = graph(made.operator(CODE.CALL_ONCE, "CallOnceOptions", initSubgraphIndex=1), made.operator(CODE.NEG))
    stateful = graph(made.operator(CODE.ASSIGN_VARIABLE))
    assert tflite_state(made.data(entry, stateful)) == STATELESS
    assert tflite_state(made.data(graph(made.operator(CODE.NEG)), stateful, signatures={"a": 0, "b": 1}), "a") == STATELESS


@pytest.mark.parametrize("name", ["RANDOM_UNIFORM", "RANDOM_STANDARD_NORMAL", "MULTINOMIAL"])
def test_random_operators_are_found_in_every_graph(name: str) -> None:
    made = Builder()
    caller = made.operator(CODE.STABLEHLO_COMPOSITE, **CALLERS["STABLEHLO_COMPOSITE"])
    drawn = graph(made.operator(getattr(CODE, name)))
    for data in (made.data(drawn), made.data(graph(caller), drawn)):
        assert tflite_state(data) == TfliteState(resettable=False, lasting=False, random=(name,))


@pytest.mark.parametrize("streaming", [False, True])
def test_a_file_that_draws_its_answer_is_refused_also_where_it_streams(streaming: bool) -> None:
    made = Builder()
    draw = made.operator(CODE.RANDOM_UNIFORM, "RandomOptions", inputs=(2,))
    shape = tensor((1,), schema.TensorType.INT32, 1)
    data = made.data(graph(draw, tensors=[tensor((3,)), tensor((3,)), shape]), buffers=((3).to_bytes(4, "little"),))
    with pytest.raises(ArtifactError, match=r"RANDOM_UNIFORM\b.*inference mode"):
        opener_for("tflite").open_model(data, 1, None, streaming)
