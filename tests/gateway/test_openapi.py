"""The OpenAPI document says what is answered, and nothing else is answered."""

import asyncio
import json
from collections.abc import Iterator

import hypothesis
import pytest
import schemathesis
from jsonschema import Draft202012Validator
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from ingest.gateway.app import create_app
from ingest.gateway.problems import MEDIA_TYPE
from ingest.settings import Settings
from tests.gateway.server import Gateway, serving
from tests.lines import event, events, snapshot, snapshots

JSON, NDJSON, STREAM = "application/json", "application/x-ndjson", "text/event-stream"
PUSHED = {200: JSON, 202: JSON} | dict.fromkeys(
    (400, 401, 403, 408, 413, 415, 422, 429, 503), MEDIA_TYPE
)
READ = {200: JSON} | dict.fromkeys((401, 403, 422, 429, 503), MEDIA_TYPE)
ANSWERS = {
    ("post", "/v1/activity-events"): PUSHED,
    ("post", "/v1/health-snapshots"): PUSHED,
    ("get", "/v1/users"): READ,
    ("get", "/v1/users/{user_id}/days"): READ | {304: None},
    ("get", "/v1/users/{user_id}/days/{date}"): READ | {304: None, 404: MEDIA_TYPE},
    ("get", "/v1/users/{user_id}/events"): READ,
    ("get", "/v1/users/{user_id}/export"): READ | {200: NDJSON},
    ("delete", "/v1/users/{user_id}"): READ,
    ("get", "/v1/stream"): READ | {200: STREAM},
    ("get", "/v1/status"): {200: JSON} | dict.fromkeys((401, 403, 429), MEDIA_TYPE),
    ("get", "/livez"): {200: JSON},
    ("get", "/readyz"): {200: JSON, 503: JSON},
}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = 40  # of each route
DOCUMENT = create_app(Settings()).openapi()
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT).exclude(path="/v1/stream")  # it has no end


@schemathesis.serializer(NDJSON)
def _lines(_: object, body: object) -> bytes:
    """Any text is lines, and what is no text is one."""
    if isinstance(body, str):
        return body.encode(errors="surrogatepass")
    return body if isinstance(body, bytes) else json.dumps(body).encode()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A service that has records of two users."""
    with serving(tmp_path_factory.mktemp("gateway")) as one:
        for user in ("ann", "bob"):
            one.post("/v1/activity-events", events(event(1), event(61, hr_avg=80), user=user))
            one.post("/v1/health-snapshots", snapshots(snapshot(1), snapshot(2), user=user))
        yield one
        assert "ingest.bug" not in one.log()
        assert "Traceback" not in one.log()


def test_every_route_documents_what_it_answers():
    documented = {
        (method, path): {
            int(status): next(iter(answer.get("content", ())), None)
            for status, answer in operation["responses"].items()
        }
        for path, operations in DOCUMENT["paths"].items()
        for method, operation in operations.items()
    }
    assert documented == ANSWERS


def test_its_schemas_are_schemas_and_refer_to_one_another():
    for name, schema in DOCUMENT["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert name
    for reference in _references(DOCUMENT):
        assert reference.startswith("#/components/schemas/")
        assert reference.rpartition("/")[2] in DOCUMENT["components"]["schemas"]


def test_every_answer_that_says_to_come_back_says_when():
    for operations in DOCUMENT["paths"].values():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                if status in ("429", "503") and MEDIA_TYPE in answer["content"]:
                    assert "Retry-After" in answer["headers"]


def test_what_asks_for_a_key_says_how_it_is_sent():
    for path, operations in DOCUMENT["paths"].items():
        for operation in operations.values():
            assert ("401" in operation["responses"]) == path.startswith("/v1/")
            assert ("security" in operation) == path.startswith("/v1/")
    assert DOCUMENT["components"]["securitySchemes"]["key"]["scheme"] == "bearer"


async def test_the_service_gives_this_document(gateway: Gateway):
    assert (await asyncio.to_thread(gateway.get, "/openapi.json")).json() == DOCUMENT


@pytest.mark.e2e
@SCHEMA.parametrize()
@hypothesis.settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[*hypothesis.HealthCheck],
)
def test_nothing_else_is_answered(case, gateway: Gateway):
    case.call_and_validate(base_url=gateway.url, checks=CHECKS, timeout=10)


def _references(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(reference := part.get("$ref"), str):
            yield reference
        for inner in part.values():
            yield from _references(inner)
    if isinstance(part, list):
        for inner in part:
            yield from _references(inner)
