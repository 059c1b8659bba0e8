"""python -m tools.json_schemas docs/reference/schemas: a JSON Schema of whatever `--json` writes, made from the dataclasses."""

import dataclasses
import json
import re
import sys
import types
import typing
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

DIALECT = "https://json-schema.org/draft/2020-12/schema"

# Name of the schema -> what it is of, and the dataclasses that it may be.
SCHEMAS = {
    "manifest": ("manifest.json, and edgecnn export --json", ("edge.manifest.Manifest",)),
    "bench": ("edgecnn bench --json", ("benchmarks.results.records.Report",)),
    "bench-device": ("edgecnn bench --device --json", ("benchmarks.results.records.DeviceResults",)),
    "board-checks": (
        "edgecnn verify --device --json, and edgecnn doctor --device --json",
        ("benchmarks.deploy.records.BoardChecks",),
    ),
    "bundle": ("edgecnn bundle --json", ("benchmarks.bundle.write_bundle.Bundled",)),
    "compare": ("edgecnn compare --json", ("benchmarks.compare.compare.Comparison",)),
    "data": ("edgecnn data --json", ("edge.data.inspection.Inspection",)),
    "deploy": (
        "edgecnn deploy --json, and --status --json",
        ("benchmarks.deploy.records.Deployment", "benchmarks.deploy.records.DeployStatus"),
    ),
    "diagnose": ("edgecnn diagnose --json", ("convert.diagnose.Diagnosis",)),
    "doctor": ("edgecnn doctor --json", ("benchmarks.doctor.examine.Examination",)),
    "evaluate": ("edgecnn evaluate --json", ("benchmarks.measure.evaluation.Evaluations",)),
    "fit": ("edgecnn fit --json", ("benchmarks.results.fit.Fit",)),
    "predict": ("edgecnn predict --json", ("edge.inference.predictions.Predicted",)),
    "selftest": ("edgecnn selftest --json", ("benchmarks.compare.selftest.SelfTest",)),
    "summary": ("edgecnn summary --json", ("edge.graph.summary.Summaries",)),
    "sweep": ("edgecnn sweep --json", ("benchmarks.results.sweep.Sweep",)),
    "train": ("edgecnn train --json, and train.json", ("convert.training.records.TrainResult",)),
    "verify": (
        "edgecnn verify --json, of a file and of a bundle",
        ("benchmarks.bundle.verify.Verification", "benchmarks.bundle.golden.GoldenCheck"),
    ),
}

_SIMPLE = {str: "string", int: "integer", float: "number", bool: "boolean"}
_ATTRIBUTE = re.compile(r"^    ([a-z_0-9]+): (.*(?:\n        .*)*)", re.MULTILINE)


def schema_of(title: str, kinds: tuple[str, ...]) -> dict[str, Any]:
    """Return the JSON Schema of a dataclass, or of one of several, by their names below `edgecnn`."""
    definitions = _Definitions()
    found = [definitions.of(_imported(kind)) for kind in kinds]
    return {
        "$schema": DIALECT,
        "title": title,
        **(found[0] if len(found) == 1 else {"anyOf": found}),
        "$defs": dict(sorted(definitions.made.items())),
    }


class _Definitions:
    """The dataclasses that a schema holds, each once."""

    def __init__(self) -> None:
        self.made: dict[str, dict[str, Any]] = {}
        self._kinds: dict[str, Any] = {}

    def of(self, kind: Any) -> dict[str, Any]:
        """Return the schema of a type hint, as `edgecnn.edge.records` reads and writes it."""
        base, arguments = typing.get_origin(kind), typing.get_args(kind)
        if dataclasses.is_dataclass(kind):
            return self._of_dataclass(kind)
        if base is typing.Literal:
            return {"enum": list(arguments)}
        if base in (types.UnionType, typing.Union):
            return {"anyOf": [self.of(argument) for argument in arguments]}
        if base is tuple:
            return {"type": "array", "items": self.of(arguments[0])}
        if base in (dict, Mapping):
            return {"type": "object", "additionalProperties": self.of(arguments[1])}
        return {"type": "null" if kind is type(None) else _SIMPLE[kind]}

    def _of_dataclass(self, kind: Any) -> dict[str, Any]:
        name = kind.__name__
        if self._kinds.setdefault(name, kind) is not kind:
            raise TypeError(f"{name} names two dataclasses of one schema")
        if name not in self.made:
            self.made[name] = {}  # For what holds itself.
            properties, required = self._fields(kind)
            text = " ".join((kind.__doc__ or "").partition("\n\n")[0].split())
            self.made[name] = {
                "type": "object",
                "description": text,
                "properties": properties,
                "required": required,
                "additionalProperties": False,
            }
        return {"$ref": f"#/$defs/{name}"}

    def _fields(self, kind: Any) -> tuple[dict[str, Any], list[str]]:
        hints, texts = typing.get_type_hints(kind), _texts(kind)
        properties: dict[str, Any] = {}
        required = []
        for item in dataclasses.fields(kind):
            if not item.metadata.get("recorded", True):
                continue
            if part := item.metadata.get("inlined"):
                own, needed = self._fields(part)
                for name in needed:  # Null where there is no such part.
                    own[name] = {"anyOf": [own[name], {"type": "null"}]}
                properties |= own
                continue
            described = {"description": texts[item.name]} if item.name in texts else {}
            properties[item.name] = self.of(hints[item.name]) | described
            if item.default is dataclasses.MISSING:
                required.append(item.name)
        return properties, required


def _imported(name: str) -> Any:
    module, _, kind = name.rpartition(".")
    return getattr(import_module(f"edgecnn.{module}"), kind)


def _texts(kind: Any) -> dict[str, str]:
    """Return what a dataclass's docstring says of each attribute."""
    section = (kind.__doc__ or "").partition("Attributes:\n")[2]
    section = re.sub("^    ", "", section, flags=re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in _ATTRIBUTE.findall(section)}


def main(folder: Path) -> None:
    """Write every schema into a folder, and delete those that are none any more."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.json"):
        old.unlink()
    for name, (title, kinds) in SCHEMAS.items():
        text = json.dumps(schema_of(title, kinds), indent=2, ensure_ascii=False)
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
