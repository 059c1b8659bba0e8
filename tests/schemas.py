"""Checks what a command wrote against the JSON Schema that is published of it."""

import json
from pathlib import Path

import jsonschema

SCHEMAS = Path(__file__).parents[1] / "docs/reference/schemas"


def require_valid(name: str, text: str) -> None:
    """Require that JSON is what docs/reference/schemas/`name`.json says, which must be JSON Schema itself."""
    schema = json.loads((SCHEMAS / f"{name}.json").read_text())
    validator = jsonschema.validators.validator_for(schema)
    validator.check_schema(schema)
    errors = [f"{error.json_path}: {error.message[:200]}" for error in validator(schema).iter_errors(json.loads(text))]
    assert not errors, errors
