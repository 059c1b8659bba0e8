"""Frozen dataclasses <-> JSON, with errors that name the field."""

import dataclasses
import functools
import json
import re
import sys
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from edgecnn.edge.errors import ArtifactError, load_json
from edgecnn.edge.text import printable_lines, shortened, without_controls

Record = TypeVar("Record")
# NUL, which ends a file's name, and surrogates, which no encoding writes.
_UNSOUND = re.compile("[\0\ud800-\udfff]")
# A manifest has a dozen types and many records of each.
_type_hints = functools.cache(typing.get_type_hints)


def unrecorded(default: Any) -> Any:
    """Return a dataclass field for Python only: JSON leaves it out, and comparison ignores it."""
    return dataclasses.field(default=default, metadata={"recorded": False}, compare=False)


def inlined(kind: type[Any]) -> Any:
    """Return a dataclass's field that is a `kind` or None, whose own fields JSON has beside those of the whole.

    What belongs together is one thing in Python, and the layout of what was written before stays. None is written as null in
    each field, or as its default; it is read where the fields without a default are null or missing.
    """
    return dataclasses.field(default=None, metadata={"inlined": kind})


def to_value(record: Any) -> Any:
    """Return a dataclass and what it holds as dicts and lists, as in JSON."""
    if dataclasses.is_dataclass(record):
        value: dict[str, Any] = {}
        kind: Any = type(record)
        for item in _recorded(kind):
            found, part = getattr(record, item.name), item.metadata.get("inlined")
            if part and found is None:
                value |= {own.name: None if own.default is dataclasses.MISSING else own.default for own in _recorded(part)}
            else:
                value |= to_value(found) if part else {item.name: to_value(found)}
        return value
    if isinstance(record, Mapping):
        return {key: to_value(item) for key, item in record.items()}
    return list(map(to_value, record)) if isinstance(record, (list, tuple)) else record


def to_json(record: Any) -> str:
    """Return a dataclass as indented JSON; a list of numbers stays on one line.

    Raises:
        ValueError: If a number is NaN or infinite, which JSON can't write.
    """
    return _layout(to_value(record), "") + "\n"


def from_json(kind: type[Record], text: str | bytes, origin: str, schema: int | None = None) -> Record:
    """Build a `kind` from JSON, and check every field against its type hint.

    A field with a default may be missing, as in files of an earlier release. Unknown fields are errors, except those that the
    dataclass lists in `RETIRED`, with the only value that is still read.

    Args:
        kind: A dataclass of str, int, float, bool, None, dict[str, ...], tuple[..., ...], Literal of
            texts, such a Literal or bool, and dataclasses of these.
        text: The JSON.
        origin: Name of the text for messages.
        schema: The number that the text's field `schema` must have, if the layout is numbered.

    Raises:
        ArtifactError: If the text is not JSON or does not describe a `kind`.
    """
    return from_value(kind, load_json(text, f"{origin} is not valid JSON", "write it again with edgecnn"), origin, schema)


def from_value(kind: type[Record], value: Any, origin: str, schema: int | None = None) -> Record:
    """Build a `kind` from a JSON value. Arguments and errors are those of `from_json`."""
    if schema is not None and isinstance(value, dict) and value.get("schema") != schema:
        raise ArtifactError(f"{origin} has schema {_shown(value.get('schema'))}; this edgecnn reads {schema}: write it again")
    return typing.cast(Record, _parse(kind, value, origin, ""))


@functools.cache
def _recorded(kind: Any) -> tuple[dataclasses.Field[Any], ...]:
    return tuple(item for item in dataclasses.fields(kind) if item.metadata.get("recorded", True))


def _layout(value: Any, indent: str) -> str:
    deeper = indent + "  "
    if isinstance(value, Mapping) and value:
        rows = [f"{deeper}{_layout(key, deeper)}: {_layout(item, deeper)}" for key, item in value.items()]
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
    if isinstance(value, (list, tuple)) and any(isinstance(item, (Mapping, list, tuple)) for item in value):
        return "[\n" + ",\n".join(deeper + _layout(item, deeper) for item in value) + f"\n{indent}]"
    # Control characters are escaped as in JSON: the file means the same, and is safe to show.
    return printable_lines(json.dumps(value, allow_nan=False, ensure_ascii=False))


def _parse(kind: Any, value: Any, origin: str, where: str) -> Any:
    # Most values are numbers and texts, and a command waits for its manifest.
    if kind is float and type(value) in (int, float) and abs(value) <= sys.float_info.max:
        return float(value)
    if kind in (str, int, bool) and type(value) is kind and _is_sound(value):
        # A name with a newline could add a line to whatever shows it.
        return without_controls(value) if isinstance(value, str) else value
    if dataclasses.is_dataclass(kind):
        return _parse_dataclass(kind, value, origin, where)
    base, arguments = typing.get_origin(kind), typing.get_args(kind)
    if base is typing.Literal:
        if isinstance(value, str) and value in arguments:
            return value
        raise ArtifactError(
            f"{origin}: {where.lstrip('.')} must be {' or '.join(arguments)}, got {_shown(value)}: write it again"
        )
    if base in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        kinds = [argument for argument in arguments if argument is not type(None)]
        (kind,) = kinds if len(kinds) == 1 else [item for item in kinds if (item is bool) == isinstance(value, bool)]
        return _parse(kind, value, origin, where)
    if base is tuple and isinstance(value, list):
        return tuple(_parse(arguments[0], item, origin, f"{where}[{i}]") for i, item in enumerate(value))
    if base is dict and isinstance(value, dict) and all(map(_is_sound, value)):
        return {without_controls(key): _parse(arguments[1], item, origin, f"{where}.{key}") for key, item in value.items()}
    expected = getattr(kind, "__name__", None) if base is None else str(kind)
    raise ArtifactError(f"{origin}: {where.lstrip('.')} must be {expected}, got {_shown(value)}: write it again")


def _is_sound(value: str | int) -> bool:
    """Whether a text can be written and be a file name, and whether a number fits the 64 bits that numpy counts in."""
    if isinstance(value, str):
        return not _UNSOUND.search(value)
    return -(2**63) <= value < 2**63


def _shown(value: Any) -> str:
    """Return a JSON value for a message; it may be nested without limit."""
    if isinstance(value, (dict, list)) and value:
        return "an object" if isinstance(value, dict) else "a list"
    return shortened(json.dumps(value), 60)


def _parse_dataclass(kind: Any, value: Any, origin: str, where: str) -> Any:
    if not isinstance(value, dict):
        raise ArtifactError(f"{origin}: {where.lstrip('.') or 'the whole'} must be an object: write it again")
    value = _without_retired(getattr(kind, "RETIRED", {}), value, origin, where)
    types_of, parts = _type_hints(kind), {}
    for item in _recorded(kind):
        if part := item.metadata.get("inlined"):
            value, parts[item.name] = _parse_inlined(part, value, origin, where)
    own = [item for item in _recorded(kind) if item.name not in parts]
    hints = {item.name: types_of[item.name] for item in own}
    optional = {item.name for item in own if item.default is not dataclasses.MISSING}
    wrong = sorted((hints.keys() - optional - value.keys()) | (value.keys() - hints.keys()))
    if wrong:
        state = "is missing" if wrong[0] in hints else "is unknown"
        raise ArtifactError(f"{origin}: field {where.lstrip('.')}{'.' if where else ''}{wrong[0]} {state}: write it again")
    known = {name: _parse(hint, value[name], origin, f"{where}.{name}") for name, hint in hints.items() if name in value}
    return kind(**known, **parts)


def _without_retired(retired: Mapping[str, Any], value: dict[str, Any], origin: str, where: str) -> dict[str, Any]:
    for name in retired.keys() & value.keys():
        if value[name] != retired[name]:
            named, got = f"{where}.{name}".lstrip("."), _shown(value[name])
            raise ArtifactError(
                f"{origin}: {named} must be {retired[name]}, got {got}, which only earlier releases read: write it again"
            )
    return {name: item for name, item in value.items() if name not in retired}


def _parse_inlined(part: Any, value: dict[str, Any], origin: str, where: str) -> tuple[dict[str, Any], Any]:
    """Return an object without the fields of a part of it, and that part."""
    names = {item.name for item in _recorded(part)}
    needed = {item.name for item in _recorded(part) if item.default is dataclasses.MISSING}
    rest = {name: item for name, item in value.items() if name not in names}
    own = {name: item for name, item in value.items() if name in names}
    if all(own.get(name) is None for name in needed):
        return rest, None
    return rest, _parse_dataclass(part, own, origin, where)
