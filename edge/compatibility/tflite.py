"""What a .tflite file requires of its runtime, read from its bytes.

tflite-runtime has no schema module: fields of a FlatBuffer are found by their numbers in tensorflow/lite/schema/schema.fbs.
"""

from dataclasses import dataclass
from typing import ClassVar

from edgecnn.edge.compatibility.flatbuffer import Table, root
from edgecnn.edge.compatibility.operator_versions import INT8, INT16, Tensor, needed
from edgecnn.edge.compatibility.requirements import release_key
from edgecnn.edge.compatibility.tflite_operators import operator_name
from edgecnn.edge.compatibility.tflite_releases import INTEGERS_SINCE, RELEASES, TFLITE_SINCE, highest, oldest_tflite

__all__ = ["RELEASES", "TfliteNeeds", "read_needs"]

# Positions of the fields in the tables of schema.fbs.
_MODEL_OPERATOR_CODES, _MODEL_SUBGRAPHS, _MODEL_BUFFERS, _MODEL_METADATA = 1, 2, 4, 6
_CODE_VERSION = 2
_SUBGRAPH_TENSORS, _SUBGRAPH_OPERATORS = 0, 3
_TENSOR_SHAPE, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_QUANTIZATION = 0, 1, 3, 4
_QUANTIZATION_SCALE = 2
_OPERATOR_CODE, _OPERATOR_INPUTS, _OPERATOR_OUTPUTS = 0, 1, 2
_ABSENT = 2**32 - 1  # Index of an omitted input or output.
_METADATA_NAME, _METADATA_BUFFER = 0, 1
_BUFFER_DATA = 0


@dataclass(frozen=True)
class TfliteNeeds:
    """See `edgecnn.edge.compatibility.requirements.Needs`.

    Attributes:
        operators: Each operator's name and its highest version: as written, or as its tensors require, since a quantizer may
            not have raised the float file's. Includes `DENSE_BY_CHANNEL`.
        written: Oldest TensorFlow Lite release that loads it, as written by its converter; None if it wrote none. A later
            change of the file may not have kept it.
        int8: Whether operators compute in 8-bit integers; weights that are only stored in 8 bits don't count.
        int16: Whether operators compute in 16-bit integers.
        unknown: Operators on integers that no rule covers (`operator_versions`); they may need a higher version than the
            written one.
    """

    title: ClassVar[str] = "TensorFlow Lite"
    numbered: ClassVar[str] = "tflite-runtime"  # ai-edge-litert has its own numbers.

    operators: dict[str, int]
    written: str | None
    int8: bool
    int16: bool = False
    unknown: tuple[str, ...] = ()

    def text(self) -> str:
        """See `Needs`."""
        return ", ".join(f"{name} {version}" for name, version in self.operators.items())

    def oldest_runtime(self) -> str | None:
        """See `Needs`."""
        release = None if self.unknown else oldest_tflite(self.operators)
        return release and f"tensorflow-lite>={max(release, self._integers_since(), key=release_key)}"

    def at_least(self) -> str | None:
        """See `Needs`. If a version is newer than the table, this is the release with the operator's last version in it."""
        known = [TFLITE_SINCE[name][: max(1, version)][-1] for name, version in self.operators.items() if name in TFLITE_SINCE]
        return max([*known, self._integers_since()], key=release_key) if known else None

    def lack(self, package: str, release: str) -> str | None:
        """See `Needs`."""
        for operator, wanted in self.operators.items():
            has = highest(package, release, operator)
            if operator in self.unknown:
                return f"no table lists which release of {package} computes {operator} in integers"
            if wanted > has:
                since = oldest_tflite({operator: wanted})
                came = f" (TensorFlow Lite {since} and later)" if since else ""
                return f"{operator} has version {wanted}{came}, and {package} {release} has {f'up to {has}' if has else 'none'}"
        return None

    def _integers_since(self) -> str:
        return INTEGERS_SINCE if self.int8 or self.int16 else "0"


def read_needs(data: bytes) -> TfliteNeeds:
    """Read a file's requirements. See `edgecnn.edge.compatibility.requirements.read_needs`."""
    if data[4:8] != b"TFL3":
        raise ValueError("no TFL3 mark")
    model = root(data)
    codes = [(operator_name(code), code.i32(_CODE_VERSION, 1)) for code in model.tables(_MODEL_OPERATOR_CODES)]
    operators: dict[str, int] = {}
    for name, version in codes:
        operators[name] = max(version, operators.get(name, 0))
    if not operators:
        raise ValueError("no operators")
    kinds, unknown = set(), set()
    for graph in model.tables(_MODEL_SUBGRAPHS):
        tensors = [_tensor(table) for table in graph.tables(_SUBGRAPH_TENSORS)]
        for operator in graph.tables(_SUBGRAPH_OPERATORS):
            name, _ = codes[operator.u32(_OPERATOR_CODE, 0)]
            inputs, outputs = (
                [None if index == _ABSENT else tensors[index] for index in operator.u32s(place)]
                for place in (_OPERATOR_INPUTS, _OPERATOR_OUTPUTS)
            )
            kinds |= {tensor.kind for tensor in outputs if tensor is not None}
            asked = needed(name, inputs, outputs)
            if asked is None:
                unknown.add(name)
            for kind, version in (asked or {}).items():
                operators[kind] = max(version, operators.get(kind, 0))
    return TfliteNeeds(dict(sorted(operators.items())), _release(model), INT8 in kinds, INT16 in kinds, tuple(sorted(unknown)))


def _tensor(table: Table) -> Tensor:
    for place in (_TENSOR_SHAPE, _TENSOR_NAME):
        table.vector(place)  # Unused here, but it counts against the budget.
    quantization = table.table(_TENSOR_QUANTIZATION)
    return Tensor(table.i8(_TENSOR_TYPE), quantization.vector(_QUANTIZATION_SCALE)[1] if quantization else 0)


def _release(model: Table) -> str | None:
    buffers = model.tables(_MODEL_BUFFERS)
    for entry in model.tables(_MODEL_METADATA):
        if entry.data(_METADATA_NAME) == b"min_runtime_version":
            written = buffers[entry.i32(_METADATA_BUFFER, 0)].data(_BUFFER_DATA)
            return written.rstrip(b"\0").decode("ascii") or None
    return None
