"""State and random operators in a .tflite file are found in whatever graph the file runs, by whatever operator."""

from typing import Any

import pytest
from ai_edge_litert import schema_py_generated as schema

from edgecnn.edge.compatibility.tflite_graph import from_object
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.runtimes.tflite_state import TfliteState, tflite_state

CODE = schema.BuiltinOperator
STATELESS = TfliteState(resettable=False, lasting=False)
STATEFUL = TfliteState(resettable=False, lasting=True)


def tensor(shape: tuple[int, ...], kind: int = schema.TensorType.FLOAT32, buffer: int = 0) -> Any:
    return schema.TensorT(name="t", shape=list(shape), type=kind, buffer=buffer)


def graph(*operators: Any, tensors: list[Any] | None = None) -> Any:
    """A graph from tensor 0 to tensor 1."""
    ends = tensors or [tensor((3,)), tensor((3,))]
    return schema.SubGraphT(tensors=ends, inputs=[0], outputs=[1], operators=list(operators))


class Builder:
    """Collects what operators a file has."""

    def __init__(self) -> None:
        self.codes: list[Any] = []

    def operator(
        self, code: int, options: str = "", second: bool = False, inputs: tuple[int, ...] = (0,), **values: Any
    ) -> Any:
        made = schema.OperatorT(opcodeIndex=len(self.codes), inputs=list(inputs), outputs=[1])
        self.codes.append(schema.OperatorCodeT(builtinCode=code, deprecatedBuiltinCode=min(code, 127), version=1))
        if options:
            table = getattr(schema, f"{options}T")(**values)
            if second:
                made.builtinOptions2Type, made.builtinOptions2 = getattr(schema.BuiltinOptions2, options), table
            else:
                made.builtinOptionsType, made.builtinOptions = getattr(schema.BuiltinOptions, options), table
        return made

    def data(self, *graphs: Any, signatures: dict[str, int] | None = None, buffers: tuple[bytes, ...] = ()) -> bytes:
        model = schema.ModelT(version=3, operatorCodes=self.codes, subgraphs=list(graphs))
        model.buffers = [schema.BufferT(), *(schema.BufferT(data=list(content)) for content in buffers)]
        model.signatureDefs = [
            schema.SignatureDefT(signatureKey=name, subgraphIndex=number, inputs=[], outputs=[])
            for name, number in (signatures or {}).items()
        ]
        return from_object(model)


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
