"""The OpenAPI document describes the routes, and what they answer, also to requests that nobody thought of."""

from typing import Any, cast

import jsonschema
import pytest

from edgecnn.edge.serving.app import Site, application
from edgecnn.edge.serving.export_page import PAGE
from edgecnn.edge.serving.metrics import Metrics
from edgecnn.edge.serving.openapi import openapi
from edgecnn.edge.serving.security import Access
from tests.edge.serving.running import Server

pytestmark = pytest.mark.workstation("invented requests take minutes under emulation")

EXAMPLES = 30


def test_it_lists_every_route_but_the_page_and_describes_the_model(server: Server) -> None:
    document = server.get("/api/openapi.json").json
    app: Any = application(Site(cast(Any, None), Metrics(), "0"), Access())
    assert document["paths"].keys() == app._paths - {"/", *(f"/{path.name}" for path in PAGE.iterdir())}
    for path, methods in document["paths"].items():
        (method,) = methods
        assert server.request("PUT", path).status == 405, path
        assert server.request(method.upper(), path).status in (200, 400, 404), path
    document = openapi("0")
    schema = {"$ref": "#/components/schemas/Model", "components": document["components"]}
    jsonschema.validate(server.get("/api/model").json, schema)


def test_each_answer_is_described_in_words_that_say_what_it_is() -> None:
    operations = [operation for methods in openapi("0")["paths"].values() for operation in methods.values()]
    said = [response["description"] for operation in operations for response in operation["responses"].values()]
    assert {text for text in said if len(text.split()) < 3} == set()


def test_answers_to_invented_requests_are_as_described(server: Server) -> None:
    schemathesis: Any = pytest.importorskip("schemathesis", reason="schemathesis is not installed: pip install schemathesis")
    hypothesis: Any = pytest.importorskip("hypothesis")
    # That a schema allows what is refused with 422 is right: no schema says which bytes are a picture.
    not_checked = [pytest.importorskip("schemathesis.specs.openapi.checks").positive_data_acceptance]
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{server.port}/api/openapi.json")
    tried = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path == "/api/camera":  # It has no end where there is a camera, and is 404 here.
            continue

        @hypothesis.given(case=operation.as_strategy())  # type: ignore[untyped-decorator] # It may be missing.
        @hypothesis.settings(  # type: ignore[untyped-decorator] # As above.
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        def answers_as_described(case: Any) -> None:
            nonlocal tried
            tried += 1
            case.call_and_validate(timeout=60, excluded_checks=not_checked)

        answers_as_described()
    assert tried > EXAMPLES
