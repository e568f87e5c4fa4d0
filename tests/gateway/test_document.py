"""The document of the service: what it says of a route is what the route does."""

import pytest

from ingest.stores.memory import memory_store
from tests.batches import TTL
from tests.gateway.asgi import service_on

PROBLEM = "application/problem+json"
DOCUMENT = service_on(memory_store(TTL)).openapi()
OPERATIONS = [
    pytest.param(operation, id=f"{method} {path}")
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
]


def test_every_route_is_there():
    assert {(path, method) for path, own in DOCUMENT["paths"].items() for method in own} == {
        ("/v1/users", "get"),
        ("/v1/users/{user_id}", "delete"),
        ("/v1/users/{user_id}/days", "get"),
        ("/v1/users/{user_id}/days/{date}", "get"),
        ("/v1/users/{user_id}/events", "get"),
        ("/v1/users/{user_id}/export", "get"),
        ("/v1/stream", "get"),
    }


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_route_names_its_problems(operation):
    responses = operation["responses"]
    assert {"200", "401", "403", "422", "429", "503"} <= {*responses}
    for status, response in responses.items():
        if status not in ("200", "304"):
            assert [*response["content"]] == [PROBLEM]
    for status in ("429", "503"):
        assert "Retry-After" in responses[status]["headers"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_parameter_is_bounded_and_explained(operation):
    for parameter in operation.get("parameters", []):
        schema = parameter["schema"]
        assert parameter["description"]
        assert "anyOf" not in schema  # null is no value of a query
        assert {"pattern", "maximum", "maxLength"} & {*schema}, parameter["name"]
        if parameter["name"] in ("from", "to", "date"):
            assert schema["format"] == "date"


def test_every_good_answer_has_a_form_and_takes_nothing_else():
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert schema["additionalProperties"] is False, name
        assert schema["description"], name
