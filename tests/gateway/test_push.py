"""Messages by HTTP: how they may come, what is answered, and what is refused at the door."""

import asyncio
import gzip
import zlib
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.core.totals import Rules
from ingest.gateway import bodies
from ingest.gateway.bodies import Budget
from ingest.gateway.push import STREAMS_OF_ONE_MAX
from tests.batch_strategies import sent_batches, thorough, values_of
from tests.batches import VERDICTS, Model, assert_totals_are_those_of_the_log
from tests.gateway.conftest import Client, serving
from tests.lines import event, events, snapshot, snapshots

EVENTS, SNAPSHOTS = "/v1/activity-events", "/v1/health-snapshots"
JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}
GZIP = {"Content-Encoding": "gzip"}
ONE = events(event(1, 92))


def counts(answer) -> dict[str, int]:
    return {name: count for name in VERDICTS if (count := answer.json()[name])}


async def test_one_message_is_answered_with_its_verdicts(client: Client):
    answer = await client.post(EVENTS, content=events(event(1), event(2, -5)), headers=JSON)
    assert answer.status_code == 200
    assert answer.json() == {
        "messages": 1,
        "records": 2,
        "accepted": 1,
        "duplicates": 0,
        "corrected": 0,
        "stale": 0,
        "rejected": 1,
        "refused": [{"message": 0, "record": 1, "reason": "NEGATIVE_VALUE", "field": "steps"}],
        "refused_omitted": 0,
    }
    again = await client.post(EVENTS, content=events(event(1)), headers=JSON)
    assert counts(again) == {"duplicates": 1}


async def test_an_array_is_many_messages_each_as_it_was(client: Client):
    one, other = snapshots(snapshot(1)).strip(), snapshots(snapshot(2, "x"), user="u2").strip()
    answer = await client.post(SNAPSHOTS, content=b"[ %b,\n%b ]" % (one, other), headers=JSON)
    assert counts(answer) == {"accepted": 1, "rejected": 1}
    (refused,) = answer.json()["refused"]
    assert (refused["message"], refused["reason"]) == (1, "INVALID_RECORD")


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzip"])
async def test_lines_are_messages_and_blank_ones_are_none(client: Client, zipped: bool):
    lines = b"".join(events(event(minute)) + b"\n" for minute in range(50)) + b"no message"
    body = gzip.compress(lines[:500]) + gzip.compress(lines[500:]) if zipped else lines
    answer = await client.post(EVENTS, content=body, headers=NDJSON | (GZIP if zipped else {}))
    assert answer.status_code == 200
    assert (answer.json()["messages"], counts(answer)) == (51, {"accepted": 50, "rejected": 1})
    (refused,) = answer.json()["refused"]
    expected = {"message": 50, "record": None, "reason": "MALFORMED_MESSAGE", "field": "message"}
    assert refused == expected


async def test_a_line_split_anywhere_is_the_same_line(client: Client):
    lines = events(event(1, note="é")) + events(event(2))

    async def dripping() -> AsyncIterator[bytes]:
        for place in range(0, len(lines), 7):
            yield lines[place : place + 7]

    answer = await client.post(EVENTS, content=dripping(), headers=NDJSON)
    assert counts(answer) == {"accepted": 2}


async def test_a_line_too_long_for_a_message_is_refused_and_the_next_is_not(client: Client):
    long = events(event(1, note="x" * 3_000_000))
    answer = await client.post(EVENTS, content=long + ONE, headers=NDJSON)
    assert counts(answer) == {"accepted": 1, "rejected": 1}
    assert answer.json()["refused"][0]["reason"] == "MESSAGE_TOO_LARGE"


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", JSON, 400),
        (b"{", JSON, 400),
        (b"[]", JSON, 400),
        (b"[{}", JSON, 400),
        (b'{"user_id": nan}', JSON, 400),
        (b"[" + b"{}," * 10_000 + b"{}]", JSON, 413),
        (b" " * (bodies.BODY_BYTES_MAX + 1), JSON, 413),
        (gzip.compress(b" " * (bodies.BODY_BYTES_MAX + 1), mtime=0), JSON | GZIP, 413),
        (b"no gzip", JSON | GZIP, 400),
        (gzip.compress(ONE, mtime=0)[:-9], JSON | GZIP, 400),
        (zlib.compress(ONE), JSON | {"Content-Encoding": "deflate"}, 415),
        (ONE, {"Content-Type": "text/plain"}, 415),
        (ONE, {}, 415),
        (ONE, JSON | {"Idempotency-Key": ""}, 400),
        (ONE, JSON | {"Idempotency-Key": "x" * 256}, 400),
        (b"[%b,%b]" % (ONE, ONE), JSON | {"Idempotency-Key": "k"}, 400),
        (ONE, NDJSON | {"Idempotency-Key": "k"}, 400),
        (events(event(1), idempotency_key="a"), JSON | {"Idempotency-Key": "b"}, 400),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_what_cannot_be_read_is_a_problem(client: Client, body, headers, status):
    answer = await client.post(EVENTS, content=body, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert (await client.get("/v1/status")).json()["messages"] == 0


async def test_the_same_key_and_message_have_the_same_answer(client: Client):
    body, headers = events(event(1), event(2, -1)), JSON | {"Idempotency-Key": '"k \\"1\\""'}
    first = await client.post(EVENTS, content=body, headers=headers)
    again = await client.post(EVENTS, content=body, headers=headers)
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json() == first.json()
    assert counts(first) == {"accepted": 1, "rejected": 1}


async def test_a_message_that_is_only_written_otherwise_is_the_same(client: Client):
    headers = JSON | {"Idempotency-Key": "k"}
    first = await client.post(EVENTS, content=ONE, headers=headers)
    spaced = ONE.replace(b",", b" , ")
    again = await client.post(EVENTS, content=spaced, headers=headers)
    assert (again.status_code, again.json()) == (200, first.json())


async def test_the_same_key_and_message_at_once_are_run_once(client: Client):
    headers = JSON | {"Idempotency-Key": "k"}
    posts = [client.post(EVENTS, content=ONE, headers=headers) for _ in range(20)]
    assert [counts(answer) for answer in await asyncio.gather(*posts)] == [{"accepted": 1}] * 20
    assert (await client.get("/v1/status")).json()["messages"] == 1


@pytest.mark.parametrize("is_restarted", [False, True], ids=["remembered", "after a restart"])
async def test_the_same_key_of_another_message_is_refused(client: Client, is_restarted: bool):
    headers = JSON | {"Idempotency-Key": "k"}
    await client.post(EVENTS, content=ONE, headers=headers)
    if is_restarted:
        client.app.state.desk.answers._given.clear()
    answer = await client.post(EVENTS, content=events(event(1, 93)), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "IDEMPOTENCY_CONFLICT")
    other_user = events(event(1, 93), user="u2")
    assert (await client.post(EVENTS, content=other_user, headers=headers)).status_code == 200


async def test_a_body_that_stops_coming_is_given_up():
    async def stalling() -> AsyncIterator[bytes]:
        yield ONE[:10]
        await asyncio.sleep(5)

    async with serving(request_idle_seconds=0.1) as client:
        answer = await client.post(EVENTS, content=stalling(), headers=JSON)
    assert answer.status_code == 408


async def test_bodies_share_a_budget_and_give_it_back(client: Client):
    desk = client.app.state.desk
    desk.budget = Budget(len(ONE) + 10)
    assert (await client.post(EVENTS, content=ONE, headers=JSON)).status_code == 200
    too_much = await client.post(EVENTS, content=ONE + b" " * 20, headers=JSON)
    assert (too_much.status_code, too_much.headers["retry-after"]) == (503, "1")
    assert desk.budget.bytes == 0
    assert (await client.post(EVENTS, content=ONE, headers=JSON)).status_code == 200


@settings(thorough, max_examples=50)
@given(st.lists(sent_batches(4), min_size=1, max_size=3))
async def test_every_record_has_the_verdict_that_the_plain_model_gives_it(batches):
    model = Model()
    async with serving(future_skew_max="10000d") as client:
        for messages in batches:
            expected = model.take(messages)
            for message, value, own in zip(messages, values_of(messages), expected, strict=True):
                answer = await client.post(_path_of(message), content=value, headers=JSON)
                assert counts(answer) == Counter(own)
        await assert_totals_are_those_of_the_log(client.app.state.store, Rules())


def _path_of(message) -> str:
    return EVENTS if b'"events"' in message.value else SNAPSHOTS


async def test_streams_of_one_caller_are_few_and_leave_room_for_others(client: Client):
    release = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield ONE
        await release.wait()

    streams = [
        asyncio.create_task(client.post(EVENTS, content=slow(), headers=NDJSON))
        for _ in range(STREAMS_OF_ONE_MAX)
    ]
    all_of_them = STREAMS_OF_ONE_MAX * bodies.STREAM_BYTES
    while client.app.state.desk.streamed.bytes < all_of_them:  # noqa: ASYNC110 - it has no event
        await asyncio.sleep(0.01)
    more = await client.post(EVENTS, content=ONE, headers=NDJSON)
    assert (more.status_code, more.json()["code"]) == (429, "TOO_MANY_STREAMS")
    assert (await client.post(EVENTS, content=ONE, headers=JSON)).status_code == 200
    release.set()
    assert [answer.status_code for answer in await asyncio.gather(*streams)] == [200] * len(streams)
    assert (await client.post(EVENTS, content=ONE, headers=NDJSON)).status_code == 200
