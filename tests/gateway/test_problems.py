"""Whatever goes wrong is told as a problem, and a bug is told without its text."""

import pytest
from fastapi import Query
from fastapi.responses import StreamingResponse
from structlog.testing import capture_logs

from ingest.errors import QueueUnavailable, StoreUnavailable
from ingest.gateway.problems import Problem
from ingest.stores.memory import memory_store
from tests.batches import TTL
from tests.gateway.asgi import asked, service_on

QUOTED = "u1 walked 12345 steps"


@pytest.fixture
def service():
    return service_on(memory_store(TTL))


def raising(service, error):
    @service.get("/raises")
    async def raises():
        raise error


def breaking_off(service, error):
    async def chunks():
        yield b"some"
        raise error

    @service.get("/breaks")
    async def breaks():
        return StreamingResponse(chunks())


async def test_a_problem_says_what_it_was_made_with(service):
    problem = Problem(
        429, "Slow down", code="TOO_FAST", detail="wait a while", headers={"Retry-After": "7"}
    )
    raising(service, problem)
    answer = await asked(service, "/raises")
    assert (answer.status, answer.headers["retry-after"]) == (429, "7")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json == {
        "type": "urn:ingest:TOO_FAST",
        "title": "Slow down",
        "status": 429,
        "detail": "wait a while",
        "code": "TOO_FAST",
    }


async def test_a_problem_of_a_status_alone_is_about_blank(service):
    raising(service, Problem(403))
    answer = await asked(service, "/raises")
    assert answer.json == {"type": "about:blank", "title": "Forbidden", "status": 403}


async def test_what_is_not_there_and_what_cannot_be_done_are_problems(service):
    absent = await asked(service, "/nothing")
    assert (absent.status, absent.json["title"]) == (404, "Not Found")
    refused = await asked(service, "/v1/users", "POST")
    assert (refused.status, refused.headers["allow"]) == (405, "GET")
    assert refused.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("error", "code"),
    [(StoreUnavailable("m"), "STORE_UNAVAILABLE"), (QueueUnavailable("k"), "QUEUE_UNAVAILABLE")],
)
async def test_a_service_that_is_away_is_to_be_tried_again(service, error, code):
    raising(service, error)
    with capture_logs() as logs:
        answer = await asked(service, "/raises")
    assert (answer.status, answer.headers["retry-after"], answer.json["code"]) == (503, "5", code)
    assert [line["event"] for line in logs] == ["ingest.request_unanswered"]


async def test_a_bug_is_logged_once_and_not_told(service):
    raising(service, KeyError(QUOTED))
    with capture_logs() as logs:
        answer = await asked(service, "/raises")
    assert (answer.status, answer.json["title"]) == (500, "Internal Server Error")
    (line,) = logs
    assert (line["event"], line["error"]) == ("ingest.bug", "KeyError")
    assert any("raises" in frame for frame in line["frames"])
    assert QUOTED not in answer.body.decode() + str(logs)


@pytest.mark.parametrize(
    ("error", "event"),
    [
        (StoreUnavailable("the server is away"), "ingest.answer_cut_short"),
        (KeyError(QUOTED), "ingest.bug"),
    ],
)
async def test_an_answer_that_cannot_go_on_is_left_incomplete(service, error, event):
    breaking_off(service, error)
    with capture_logs() as logs:
        answer = await asked(service, "/breaks")
    assert (answer.status, answer.body, answer.is_whole) == (200, b"some", False)
    assert [line["event"] for line in logs] == [event]
    assert QUOTED not in str(logs)


async def test_a_body_that_breaks_a_rule_is_not_quoted(service):
    @service.get("/sizes")
    async def sizes(size: int = Query(ge=1)):
        return size

    answer = await asked(service, "/sizes", size=QUOTED)
    assert answer.status == 422
    assert answer.json["detail"].startswith("size: ")
    assert QUOTED not in answer.body.decode()
    missing = await asked(service, "/sizes")
    assert missing.json["detail"] == "size: Field required"
