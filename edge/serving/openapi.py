"""The OpenAPI document of the API, written by hand for the routes in `app.py`; tests compare it with the answers."""

from typing import Any, get_args

from edgecnn.edge.model.threshold import ScoreName
from edgecnn.edge.serving.models import MOST_BYTES, MOST_PICTURES

_TEXT = {"type": "string"}
_TEXTS_BY_NAME = {"type": "object", "additionalProperties": _TEXT}
_NUMBER = {"type": "number"}
_WHOLE = {"type": "integer"}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _pictures(form: str) -> dict[str, Any]:
    return {**_list({"type": "string", "format": form, "minLength": 1}), "minItems": 1, "maxItems": MOST_PICTURES}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _named(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


_SCHEMAS = {
    "Error": _object({"error": {**_TEXT, "description": "One line for a person."}}),
    "File": _object(
        {
            "name": _TEXT,
            "format": _TEXT,
            "precision": _or_null(_TEXT),
            "size_bytes": _WHOLE,
            "sha256": _TEXT,
            "runtime": _TEXT,
            "unverified": _or_null(_TEXT),
            "doubts": _list(_TEXT),
        }
    ),
    "Verdict": _object(
        {
            "status": {"enum": ["PASS", "FAIL", "UNDECIDED", "INVALID"]},
            "text": _TEXT,
            "measured": _TEXT,
            "machine": _TEXT,
            "current": {"type": "boolean"},
            "files": _TEXTS_BY_NAME,
        }
    ),
    "Model": _object(
        {
            "name": _TEXT,
            "version": _TEXT,
            "class_names": _list(_TEXT),
            "shape": {**_list(_WHOLE), "minItems": 3, "maxItems": 3, "description": "Height, width, channels."},
            "draws": {"type": "boolean", "description": "Whether the model reads characters drawn by hand."},
            "preprocessing": _TEXT,
            "files": _list(_named("File")),
            "skipped": {**_TEXTS_BY_NAME, "description": "The reason for each file that can't run."},
            "reference": _or_null(_TEXT),
            "verdict": _or_null(_named("Verdict")),
            "camera": _or_null(_TEXT),
            "limits": _object({"body_bytes": _WHOLE, "pictures": _WHOLE}),
        }
    ),
    "Ranked": _object({"label": _TEXT, "probability": _SHARE}),
    "Answer": _object(
        {
            "file": _TEXT,
            "sha256": _TEXT,
            "runtime": _TEXT,
            "label": _TEXT,
            "probability": _SHARE,
            "accepted": {**_or_null({"type": "boolean"}), "description": "False: not sure. Null without a threshold."},
            "threshold": _or_null(_named("Threshold")),
            "top": _list(_named("Ranked")),
            "inference_us": _NUMBER,
            "agrees": _or_null({"type": "boolean"}),
            "seen": {
                **_or_null(_named("Seen")),
                "description": "What this file got, if it fits pictures differently than the first file; else null.",
            },
        }
    ),
    "Threshold": _object({"score": {"enum": [*get_args(ScoreName)]}, "least": _NUMBER, "most": _or_null(_NUMBER)}),
    "Seen": _object(
        {
            "height": _WHOLE,
            "width": _WHOLE,
            "channels": {"enum": [1, 3]},
            "pixels": {"type": "string", "contentEncoding": "base64", "description": "uint8, rows first."},
        }
    ),
    "Picture": _object(
        {
            "name": _TEXT,
            "doubt": _or_null(_TEXT),
            "box": {
                **_or_null({**_list({"type": "number", "minimum": 0, "maximum": 1}), "minItems": 4, "maxItems": 4}),
                "description": "What was taken for a digit: left, top, right and bottom as shares of the picture.",
            },
            "seen": {**_or_null(_named("Seen")), "description": "What the first file got, if pixels are asked for."},
            "answers": _list(_named("Answer")),
        }
    ),
    "Answers": _object({"pictures": _list(_named("Picture")), "decode_us": _NUMBER, "total_us": _NUMBER}),
}
_BINARY = {"schema": {"type": "string", "format": "binary", "minLength": 1}}
_BODY = {
    "required": True,
    "description": f"Up to {MOST_PICTURES} pictures, together at most {MOST_BYTES:,} bytes.",
    "content": {
        "image/*": _BINARY,
        "application/octet-stream": _BINARY,
        "multipart/form-data": {"schema": _object({"picture": _pictures("binary")})},
        "application/json": {"schema": _object({"pictures": _pictures("byte")})},
    },
}
_QUERY = [
    {"name": "file", "in": "query", "schema": _list(_TEXT), "description": "Files that shall answer. Default: all."},
    {"name": "top", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 999_999, "default": 5}},
    {"name": "pixels", "in": "query", "schema": {"type": "boolean", "default": False}},
]
_ERRORS = {
    400: "The request can't be read.",
    401: "The token is missing or wrong.",
    403: "A page of another server asks.",
    404: "There is no such file.",
    408: "The request did not arrive in time.",
    413: "The request is too large.",
    422: "A picture can't be read.",
    500: "The model could not answer.",
    503: "Too many requests are waiting, or too many watch; Retry-After says how long to wait.",
}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _operation(name: str, summary: str, answer: str, content: dict[str, Any], *errors: int) -> dict[str, Any]:
    refusal = _json(_named("Error"))
    refusals = {str(status): {"description": _ERRORS[status], "content": refusal} for status in (400, 401, 403, *errors)}
    responses = {"200": {"description": answer, "content": content}, **refusals}
    return {"operationId": name, "summary": summary, "responses": responses}


def openapi(version: str) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of the API of this version of edgecnn."""
    answers = "The answers of each file to each picture."
    classify = _operation("classify", "Classify pictures.", answers, _json(_named("Answers")), 404, 408, 413, 422, 500, 503)
    files = "The files, their classes, and the last benchmark's verdict."
    model = _operation("model", "Describe the model files.", files, _json(_named("Model")))
    lines, text = {"application/x-ndjson": {"schema": _TEXT}}, {"text/plain": {"schema": _TEXT}}
    frames = "Classify the camera's frames, without end."
    camera = _operation("camera", frames, "A line of JSON for each frame.", lines, 404, 503)
    document = _operation("openapi", "Describe the API.", "The OpenAPI document.", _json({}))
    health = _operation("health", "Check whether the server answers.", "The server answers.", _json({}))
    counters = "Counters and histograms in Prometheus's format."
    metrics = _operation("metrics", "Read the counters.", counters, text)
    return {
        "openapi": "3.1.0",
        "info": {"title": "edgecnn serve", "version": version, "license": {"name": "Apache-2.0"}},
        "paths": {
            "/api/classify": {"post": {**classify, "parameters": _QUERY, "requestBody": _BODY}},
            "/api/model": {"get": model},
            "/api/camera": {"get": {**camera, "parameters": _QUERY}},
            "/api/openapi.json": {"get": document},
            "/healthz": {"get": health},
            "/metrics": {"get": metrics},
        },
        "components": {
            "schemas": _SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }
