"""Dataclasses to JSON and back: a wrong field is named, never guessed."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.manifest import Manifest, Preprocessing
from edgecnn.edge.records import from_json, inlined, to_json, to_value


@dataclass(frozen=True)
class Inner:
    sizes: tuple[int | None, ...]


@dataclass(frozen=True)
class Outer:
    name: str
    count: int
    share: float
    fast: bool
    note: str | None
    versions: dict[str, str]
    inners: tuple[Inner, ...]


GOOD = {
    "name": "bars",
    "count": 3,
    "share": 0.5,
    "fast": True,
    "note": None,
    "versions": {"numpy": "2.0"},
    "inners": [{"sizes": [None, 12]}],
}
GOOD_RECORD = Outer("bars", 3, 0.5, True, None, {"numpy": "2.0"}, (Inner((None, 12)),))


@pytest.mark.parametrize("text", ["", "{", "nonsense", b"\xff\xfe\x00", '{"name": "cut of'])
def test_what_is_not_json_is_refused_with_its_origin(text: str | bytes) -> None:
    with pytest.raises(ArtifactError, match=r"^box\.json .*not valid JSON \(.+\)"):
        from_json(Outer, text, "box.json")


@pytest.mark.parametrize("value", [[], 3, None, "text"])
def test_json_that_is_no_object_is_refused_as_a_whole(value: object) -> None:
    with pytest.raises(ArtifactError, match=r"^box\.json: the whole .*object"):
        from_json(Outer, json.dumps(value), "box.json")


@pytest.mark.parametrize("field", sorted(GOOD))
def test_a_missing_field_is_named(field: str) -> None:
    rest = {name: value for name, value in GOOD.items() if name != field}
    with pytest.raises(ArtifactError, match=rf"^box\.json: field {field} is missing: write it again$"):
        from_json(Outer, json.dumps(rest), "box.json")


@dataclass(frozen=True)
class Grown:
    name: str
    shape: tuple[int, ...] | None = None


def test_a_field_that_came_later_may_be_missing_and_no_other() -> None:
    assert from_json(Grown, '{"name": "bars"}', "box.json") == Grown("bars", None)
    assert from_json(Grown, '{"name": "bars", "shape": [3, 4]}', "box.json") == Grown("bars", (3, 4))
    with pytest.raises(ArtifactError, match=r"^box\.json: field name is missing"):
        from_json(Grown, '{"shape": null}', "box.json")
    with pytest.raises(ArtifactError, match=r"^box\.json: shape .*tuple\[int, \.\.\.\],.* 3:"):
        from_json(Grown, '{"name": "bars", "shape": 3}', "box.json")


@dataclass(frozen=True)
class Shrunk:
    RETIRED: ClassVar[dict[str, int]] = {"workers": 1}
    name: str


def test_a_field_that_is_gone_is_read_with_the_value_that_changed_nothing_and_no_other() -> None:
    assert from_json(Shrunk, '{"name": "bars", "workers": 1}', "box.json") == Shrunk("bars")
    assert from_json(Shrunk, to_json(Shrunk("bars")), "box.json") == Shrunk("bars")
    with pytest.raises(ArtifactError, match=r"^box\.json: workers must be 1, got 2, .*earlier releases.*: write it again$"):
        from_json(Shrunk, '{"name": "bars", "workers": 2}', "box.json")
    with pytest.raises(ArtifactError, match=r"^box\.json: field workers is unknown"):
        from_json(Grown, '{"name": "bars", "workers": 1}', "box.json")


@dataclass(frozen=True)
class Drawn:
    share: float
    seed: int
    kind: str = "any"


@dataclass(frozen=True)
class Whole:
    name: str
    drawn: Drawn | None = inlined(Drawn)
    note: str = ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"name": "bars", "share": 0.5}', r"field seed is missing"),
        ('{"name": "bars", "share": 0.5, "seed": null}', r"seed must be int, got null"),
        ('{"name": "bars", "drawn": null}', r"field drawn is unknown"),
        ('[{"name": "bars"}]', r"the whole must be an object"),
    ],
)
def test_half_of_what_belongs_together_is_refused(text: str, message: str) -> None:
    with pytest.raises(ArtifactError, match=rf"^box\.json: {message}: write it again$"):
        from_json(Whole, text, "box.json")


def test_what_belongs_together_stands_beside_the_rest_in_json() -> None:
    whole = Whole("bars", Drawn(0.5, 3, "new"))
    assert to_value(whole) == {"name": "bars", "share": 0.5, "seed": 3, "kind": "new", "note": ""}
    assert from_json(Whole, to_json(whole), "box.json") == whole
    none = {"name": "bars", "share": None, "seed": None, "kind": "any", "note": ""}
    assert to_value(Whole("bars")) == none
    assert from_json(Whole, json.dumps(none), "box.json") == Whole("bars")
    assert from_json(Whole, '{"name": "bars"}', "box.json") == Whole("bars")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"colour": "red"}, r"colour is unknown"),
        ({"inners": [{"sizes": []}, {"sizes": [], "x": 1}]}, r"inners\[1\]\.x is unknown"),
    ],
)
def test_an_unknown_field_is_named_with_where_it_is(change: dict[str, object], field: str) -> None:
    with pytest.raises(ArtifactError, match=rf"^box\.json: field {field}:"):
        from_json(Outer, json.dumps({**GOOD, **change}), "box.json")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("name", 3, r"name must be str, got 3"),
        ("name", None, r"name must be str, got null"),
        ("count", True, r"count must be int, got true"),
        ("count", 3.0, r"count must be int, got 3\.0"),
        ("count", "3", r'count must be int, got "3"'),
        ("share", True, r"share must be float, got true"),
        ("share", "0.5", r'share must be float, got "0\.5"'),
        ("share", math.nan, r"share must be float, got NaN"),
        ("share", math.inf, r"share must be float, got Infinity"),
        ("fast", 1, r"fast must be bool, got 1"),
        ("note", 1, r"note must be str, got 1"),
        ("versions", [], r"versions must be dict\[str, str\], got \[\]"),
        ("versions", {"numpy": 2}, r"versions\.numpy must be str, got 2"),
        ("inners", {}, r"inners must be tuple\[.*Inner, \.\.\.\], got \{\}"),
        ("inners", [{"sizes": [1]}, 7], r"inners\[1\] must be an object"),
        ("inners", [{"sizes": [1, "2"]}], r'inners\[0\]\.sizes\[1\] must be int, got "2"'),
    ],
)
def test_a_value_of_another_type_is_named_and_shown(field: str, value: object, message: str) -> None:
    with pytest.raises(ArtifactError, match=rf"^box\.json: {message}: write it again$"):
        from_json(Outer, json.dumps({**GOOD, field: value}), "box.json")


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_does_not_have_is_not_written(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json(Outer("bars", 3, number, True, None, {}, ()))


def test_a_record_comes_back_equal_and_its_lists_of_numbers_stay_on_one_line() -> None:
    assert from_json(Outer, json.dumps(GOOD), "box.json") == GOOD_RECORD
    assert from_json(Outer, to_json(GOOD_RECORD), "box.json") == GOOD_RECORD
    whole = from_json(Outer, json.dumps({**GOOD, "share": 1}), "box.json")
    assert type(whole.share) is float
    text = to_json(GOOD_RECORD)
    assert '      "sizes": [null, 12]\n' in text
    assert '"versions": {\n    "numpy": "2.0"\n  }' in text
    assert text.endswith("}\n")


def test_an_exported_manifest_comes_back_equal_byte_for_byte(exported: Path) -> None:
    text = (exported / "manifest.json").read_text()
    manifest = from_json(Manifest, text, "manifest.json")
    assert to_json(manifest) == text


def test_json_that_is_too_deep_or_a_number_that_is_too_large_is_refused() -> None:
    with pytest.raises(ArtifactError, match="is not valid JSON"):
        from_json(Manifest, "[" * 100_000, "deep.json")
    with pytest.raises(ArtifactError, match=r"scale .*float, got 1000"):
        from_json(Preprocessing, '{"scale": 1' + "0" * 400 + ', "fit": "digit", "background": "any"}', "large.json")
