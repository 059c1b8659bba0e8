"""Frozen dataclasses <-> JSON, with errors that name the field."""

import dataclasses
import json
import sys
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from edge.errors import ArtifactError

Record = TypeVar("Record")


def to_json(record: Any) -> str:
    """Return a dataclass as indented JSON; a list of numbers stays on one line.

    Raises:
        ValueError: If a number is NaN or infinite, which JSON does not have.
    """
    return _layout(dataclasses.asdict(record), "") + "\n"


def from_json(kind: type[Record], text: str | bytes, origin: str, schema: int | None = None) -> Record:
    """Build a `kind` from JSON, checking every field against its type hint.

    A field with a default may be missing, as in what an earlier release wrote; unknown fields are errors.

    Args:
        kind: A dataclass of str, int, float, bool, None, dict[str, ...], tuple[..., ...] and dataclasses of these.
        text: The JSON.
        origin: What the text is, for messages.
        schema: The number that the text's field `schema` must have, where the layout is numbered.

    Raises:
        ArtifactError: If the text is not JSON or does not describe a `kind`.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{origin} is not valid JSON ({error}): write it again with edgecnn") from error
    if schema is not None and isinstance(value, dict) and value.get("schema") != schema:
        raise ArtifactError(f"{origin} has schema {value.get('schema')}, this edgecnn reads {schema}: write it again")
    return typing.cast(Record, _parse(kind, value, origin, ""))


def _layout(value: Any, indent: str) -> str:
    deeper = indent + "  "
    if isinstance(value, Mapping) and value:
        rows = [f"{deeper}{json.dumps(key)}: {_layout(item, deeper)}" for key, item in value.items()]
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
    if isinstance(value, (list, tuple)) and any(isinstance(item, (Mapping, list, tuple)) for item in value):
        return "[\n" + ",\n".join(deeper + _layout(item, deeper) for item in value) + f"\n{indent}]"
    return json.dumps(value, allow_nan=False, ensure_ascii=False)


def _parse(kind: Any, value: Any, origin: str, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _parse_dataclass(kind, value, origin, where)
    base, arguments = typing.get_origin(kind), typing.get_args(kind)
    if base in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        (kind,) = (argument for argument in arguments if argument is not type(None))
        return _parse(kind, value, origin, where)
    if base is tuple and isinstance(value, list):
        return tuple(_parse(arguments[0], item, origin, f"{where}[{i}]") for i, item in enumerate(value))
    if base is dict and isinstance(value, dict):
        return {key: _parse(arguments[1], item, origin, f"{where}.{key}") for key, item in value.items()}
    if kind is float and type(value) in (int, float) and abs(value) <= sys.float_info.max:
        return float(value)
    if kind in (str, int, bool) and type(value) is kind:
        return value
    expected = getattr(kind, "__name__", None) if base is None else str(kind)
    raise ArtifactError(f"{origin}: {where.lstrip('.')} must be {expected}, got {json.dumps(value)[:60]}: write it again")


def _parse_dataclass(kind: Any, value: Any, origin: str, where: str) -> Any:
    if not isinstance(value, dict):
        raise ArtifactError(f"{origin}: {where.lstrip('.') or 'the whole'} must be an object: write it again")
    hints = typing.get_type_hints(kind)
    optional = {item.name for item in dataclasses.fields(kind) if item.default is not dataclasses.MISSING}
    wrong = sorted((hints.keys() - optional - value.keys()) | (value.keys() - hints.keys()))
    if wrong:
        state = "is missing" if wrong[0] in hints else "is unknown"
        raise ArtifactError(f"{origin}: field {where.lstrip('.')}{'.' if where else ''}{wrong[0]} {state}: write it again")
    return kind(**{name: _parse(hint, value[name], origin, f"{where}.{name}") for name, hint in hints.items() if name in value})
