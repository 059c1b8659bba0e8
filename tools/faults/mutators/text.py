"""Alterations of JSON, TOML and plain text that leave most of it well formed."""

import json
import re
from typing import Any

from tools.faults.mutators.plain import BYTES, Mutator, Random

_LARGE = 10**400
ESCAPES = "\x1b]0;owned\x07\x1b[31mred\x1b[2J"
HOSTILE: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 2**31, 2**63, -(2**63), 1e308, -1e308, 0.5, float("nan"), float("inf"), _LARGE,
    "", "x" * 5000, ESCAPES, "\u202egnp.exe", "a\nb\rc", "=1+1", "../../etc/passwd", "/etc/passwd", "nul\x00l", "\ud800",
    "[bold red]markup[/]", "| a | `b` |", "<script>alert(1)</script>", "{", [], {}, [[]], [None], {"": {}}, [1] * 1000,
)  # fmt: skip


def alter_value(data: bytes, rng: Random) -> bytes:
    """Replace one value by an unsuitable one."""
    return _edited(data, rng, lambda holder, key: holder.__setitem__(key, HOSTILE[int(rng.integers(len(HOSTILE)))]))


def alter_number(data: bytes, rng: Random) -> bytes:
    """Replace one number by another of the same kind: a plausible but wrong hash, size or count."""

    def changed(holder: Any, key: Any) -> None:
        value = holder[key]
        if type(value) is int:
            holder[key] = value + int(rng.integers(1, 1000)) * (1 if rng.random() < 0.5 else -1)
        elif type(value) is float:
            holder[key] = value * float(rng.choice([-1, 0.1, 3, 1000]))
        elif isinstance(value, str):
            holder[key] = value[::-1] + "0"

    return _edited(data, rng, changed)


def drop_field(data: bytes, rng: Random) -> bytes:
    """Remove one field or item."""
    return _edited(data, rng, lambda holder, key: holder.pop(key))


def add_field(data: bytes, rng: Random) -> bytes:
    """Add an unknown field."""
    value = HOSTILE[int(rng.integers(len(HOSTILE)))]
    return _edited(data, rng, lambda holder, key: holder.update({ESCAPES: value}) if isinstance(holder, dict) else None)


def swap_values(data: bytes, rng: Random) -> bytes:
    """Swap the values of two fields."""
    root = _parsed(data)
    places = _places(root)
    if len(places) < 2:
        return data
    first, second = (places[int(place)] for place in rng.choice(len(places), 2, replace=False))
    (holder, key), (other, name) = first, second
    one, two = json.dumps(holder[key]), json.dumps(other[name])
    holder[key], other[name] = json.loads(two), json.loads(one)
    return _text(root)


def nest_deeply(data: bytes, rng: Random) -> bytes:
    """Nest a value deeper than any parser's recursion."""
    depth = int(rng.choice([500, 5_000, 200_000]))
    opened, closed = ("[", "]") if rng.random() < 0.5 else ('{"a":', "}")
    deep = opened * depth + "1" + closed * depth
    text = data.decode(errors="replace")
    numbers = list(re.finditer(r":\s*(\d+)", text))
    if not numbers:
        return deep.encode()
    chosen = numbers[int(rng.integers(len(numbers)))]
    return (text[: chosen.start(1)] + deep + text[chosen.end(1) :]).encode()


def repeat_field(data: bytes, rng: Random) -> bytes:
    """Repeat one field: parsers differ in which one counts."""
    text = data.decode(errors="replace")
    fields = list(re.finditer(r'"[a-z_]+":\s*("[^"]*"|[\d.]+),', text))
    if not fields:
        return data
    field = fields[int(rng.integers(len(fields)))]
    return (text[: field.start()] + field[0] + text[field.start() :]).encode()


def hostile_line(data: bytes, rng: Random) -> bytes:
    """Replace one line of plain text."""
    lines = data.split(b"\n")
    texts = [item for item in HOSTILE if isinstance(item, str)]
    lines[int(rng.integers(len(lines)))] = texts[int(rng.integers(len(texts)))].encode(errors="surrogatepass")
    return b"\n".join(lines)


def hostile_number(data: bytes, rng: Random) -> bytes:
    """Replace one number of a TOML file by a word of its grammar."""
    words = (
        "nan",
        "-inf",
        "1e999",
        "-1",
        "true",
        '"1"',
        "1979-05-27",
        "[]",
        "{}",
        str(_LARGE),
        "0x7fffffffffffffff",
        "'''",
        "[" * 5000,
    )
    found = list(re.finditer(rb"= *([\d.]+)", data))
    if not found:
        return data
    chosen = found[int(rng.integers(len(found)))]
    return data[: chosen.start(1)] + words[int(rng.integers(len(words)))].encode() + data[chosen.end(1) :]


JSON: tuple[Mutator, ...] = (
    alter_value, alter_value, alter_value, alter_number, alter_number, drop_field, add_field, swap_values, nest_deeply,
    repeat_field,
)  # fmt: skip
TEXT_LINES: tuple[Mutator, ...] = (hostile_line, hostile_line, *BYTES)
FIELDS: tuple[Mutator, ...] = (alter_value, alter_number, drop_field, swap_values)
"""The mutators in `JSON` whose result is still JSON, so that its hash can be corrected."""


def _parsed(data: bytes) -> Any:
    return json.loads(data)


def _text(root: Any) -> bytes:
    return json.dumps(root, indent=2, ensure_ascii=False).encode(errors="surrogatepass")


def _edited(data: bytes, rng: Random, edit: Any) -> bytes:
    root = _parsed(data)
    places = _places(root)
    holder, key = places[int(rng.integers(len(places)))]
    edit(holder, key)
    return _text(root)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Return every (container, key) of a tree, but only the first items of a long list, which would crowd out other fields."""
    if isinstance(value, dict):
        items: list[tuple[Any, Any]] = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value[:5]))
    else:
        return []
    return [(value, key) for key, _ in items] + [place for _, item in items for place in _places(item)]
