"""What makes a .tflite file's answer depend on more than its input: state and random numbers, read from its bytes.

A runtime does not report them. The interpreter sets an LSTM's variable tensors to zero on request. State written by
ASSIGN_VARIABLE, and the variable tensors of any graph except the first, are reset only by opening the file again.
"""

from collections.abc import Iterable
from typing import NamedTuple

from edgecnn.edge.compatibility.tflite_graph import Table, graphs_of, root
from edgecnn.edge.errors import parsing

# Positions of the fields in the tables of schema.fbs.
_MODEL_SIGNATURES = 7
_SIGNATURE_KEY, _SIGNATURE_SUBGRAPH = 2, 4
_SUBGRAPH_TENSORS, _TENSOR_IS_VARIABLE = 0, 5
_OPERATOR_OPTIONS, _OPERATOR_OPTIONS_2 = 4, 12
# Operators that run other graphs: the position of their options, and of the graphs' numbers in these.
_CALLERS = {
    "CALL": (_OPERATOR_OPTIONS, (0,)),
    "IF": (_OPERATOR_OPTIONS, (0, 1)),
    "WHILE": (_OPERATOR_OPTIONS, (0, 1)),
    "STABLEHLO_WHILE": (_OPERATOR_OPTIONS_2, (0, 1)),
    "STABLEHLO_COMPOSITE": (_OPERATOR_OPTIONS_2, (1,)),
}
# Runs as many graphs as it has branches.
_CASE = "STABLEHLO_CASE"
# Runs a graph only the first time, to set the initial values of variables.
_INITIALIZER = "CALL_ONCE"
# Custom operators may have such names too.
_RANDOM = ("RANDOM", "MULTINOMIAL")


class TfliteState(NamedTuple):
    """State that a call leaves for the next one, and random operators.

    Attributes:
        resettable: Whether it has variable tensors that the interpreter's `reset_all_variables` sets to zero.
        lasting: Whether it has state that only opening the file again resets.
        random: Names of operators that draw random numbers.
    """

    resettable: bool
    lasting: bool
    random: tuple[str, ...] = ()


def tflite_state(data: bytes, signature: str | None = None) -> TfliteState:
    """Read the state and the random operators of a file that a runtime has loaded, in a signature or the first graph.

    Raises:
        ArtifactError: If the bytes are not such a file.
    """
    with parsing("it is not a tflite file, or is damaged", "copy it again"):
        return _read(root(data), signature)


class _Graph(NamedTuple):
    """A graph's operators by name, whether it has variable tensors, and the graphs that it runs each time or once."""

    operators: frozenset[str]
    variables: bool
    runs: frozenset[int]
    initializers: frozenset[int]


def _read(model: Table, signature: str | None) -> TfliteState:
    graphs = [_graph(table, operators) for table, operators in graphs_of(model)]
    entries = {entry.data(_SIGNATURE_KEY): entry.u32(_SIGNATURE_SUBGRAPH, 0) for entry in model.tables(_MODEL_SIGNATURES)}
    start = 0 if signature is None else entries[signature.encode()]
    run = _reached([start], graphs)
    # A graph that no known operator runs is run by an unknown operator.
    initial = _reached([number for graph in graphs for number in graph.initializers], graphs)
    run |= set(range(len(graphs))) - initial - _reached(entries.values(), graphs)
    operators = sorted({name for number in run for name in graphs[number].operators})
    variables = {number for number in run if graphs[number].variables}
    return TfliteState(
        resettable=0 in variables,
        lasting=bool(variables - {0}) or "ASSIGN_VARIABLE" in operators,
        random=tuple(name for name in operators if any(word in name.upper() for word in _RANDOM)),
    )


def _graph(table: Table, operators: list[tuple[str, Table]]) -> _Graph:
    runs, initializers = set[int](), set[int]()
    for name, operator in operators:
        options, places = _CALLERS.get(name, (_OPERATOR_OPTIONS, ()))
        if places and (given := operator.table(options)) is not None:
            runs |= {given.u32(place, 0) for place in places}
        elif name == _CASE and (given := operator.table(_OPERATOR_OPTIONS_2)) is not None:
            runs |= set(given.u32s(0))
        elif name == _INITIALIZER and (given := operator.table(_OPERATOR_OPTIONS)) is not None:
            initializers.add(given.u32(0, 0))
    variables = any(tensor.i8(_TENSOR_IS_VARIABLE) for tensor in table.tables(_SUBGRAPH_TENSORS))
    return _Graph(frozenset(name for name, _ in operators), variables, frozenset(runs), frozenset(initializers))


def _reached(starts: Iterable[int], graphs: list[_Graph]) -> set[int]:
    """Return the numbers of these graphs and of the graphs that they run."""
    waiting = list(starts)
    seen = set(waiting)
    while waiting:
        new = graphs[waiting.pop()].runs - seen
        seen |= new
        waiting += new
    return seen
