"""The hub: who is told what, in which order, and that nobody waits for a slow reader."""

import asyncio
from itertools import pairwise

import orjson
import pytest

from ingest.core.documents import total_message
from ingest.core.records import Day
from ingest.gateway import access, stream
from ingest.gateway.access import Caller
from ingest.gateway.keys import ApiKey, Scope
from ingest.gateway.problems import Problem
from ingest.gateway.stream import KEEP_ALIVE, OPENING, Hub, HubTopics
from ingest.stores.memory import memory_store
from tests.batches import TTL, batch, pipeline_on, sent
from tests.core.messages import NOW
from tests.gateway.asgi import asked, connected, service_on
from tests.stores.contents import event
from tests.stores.test_contract_totals import total_of

DEADLINE_SECONDS = 20


def totals_of(*user_ids):
    return [total_of(Day(user_id, "2025-01-01")) for user_id in user_ids]


async def next_of(subscription):
    async with asyncio.timeout(DEADLINE_SECONDS):
        return await anext(subscription)


async def is_over(subscription):
    async with asyncio.timeout(DEADLINE_SECONDS):
        return await anext(subscription, None) is None


async def opened(hub, *args, **options):
    subscription = hub.subscribe(*args, **options)
    assert await next_of(subscription) == OPENING
    return subscription


def events_in(chunk):
    """The events of a chunk, each as its fields."""
    return [
        dict(line.split(b": ", 1) for line in event.split(b"\n"))
        for event in chunk.removesuffix(b"\n\n").split(b"\n\n")
    ]


def users_in(chunk):
    return [orjson.loads(fields[b"data"])["user_id"] for fields in events_in(chunk)]


async def test_totals_come_in_order_with_numbers_that_rise():
    hub = Hub()
    reader = await opened(hub)
    totals = totals_of(*(f"u{n}" for n in range(600)))
    await HubTopics(hub).publish_totals(totals)
    events = events_in(await next_of(reader))
    assert [orjson.loads(fields[b"data"]) for fields in events] == [
        orjson.loads(orjson.dumps(total_message(total))) for total in totals
    ]
    assert {fields[b"event"] for fields in events} == {b"total"}
    numbers = [int(fields[b"id"]) for fields in events]
    assert all(before < after for before, after in pairwise(numbers))


async def test_every_reader_is_told_and_only_from_its_beginning():
    hub = Hub()
    first = await opened(hub)
    await HubTopics(hub).publish_totals(totals_of("u1"))
    second = await opened(hub)
    await HubTopics(hub).publish_totals(totals_of("u2"))
    assert users_in(await next_of(first)) == ["u1", "u2"]
    assert users_in(await next_of(second)) == ["u2"]


async def test_a_reader_that_waits_is_woken():
    hub = Hub()
    reader = await opened(hub)
    waiting = asyncio.create_task(next_of(reader))
    await asyncio.sleep(0)
    await HubTopics(hub).publish_totals(totals_of("u1"))
    assert users_in(await waiting) == ["u1"]


async def test_a_reader_sees_only_whom_it_asks_for_and_may_see():
    hub = Hub()
    one = await opened(hub, "u1")
    some = await opened(hub, covers=lambda user_id: user_id.startswith("u1"))
    none = await opened(hub, "u1", lambda user_id: user_id.startswith("u2"))
    await HubTopics(hub).publish_totals(totals_of("u1", "u10", "u2"))
    hub.publish_outcome({"records": 3})
    none.offer(b"end")
    assert users_in(await next_of(one)) == ["u1"]
    assert users_in(await next_of(some)) == ["u1", "u10"]
    assert await next_of(none) == b"end"


async def test_outcomes_go_to_those_who_may_see_them():
    hub = Hub()
    reader = await opened(hub, with_outcomes=True)
    hub.publish_outcome({"records": 3, "reasons": {"NEGATIVE_VALUE": 1}})
    assert await next_of(reader) == (
        b'event: outcome\ndata: {"records":3,"reasons":{"NEGATIVE_VALUE":1}}\n\n'
    )


async def test_a_slow_reader_is_cut_off_and_the_others_go_on():
    hub = Hub(waiting_max=10)
    slow, quick = await opened(hub), await opened(hub)
    for _ in range(10):
        await HubTopics(hub).publish_totals(totals_of("u1"))
    assert len(users_in(await next_of(quick))) == 10
    await HubTopics(hub).publish_totals(totals_of("u2"))
    assert await is_over(slow)
    assert users_in(await next_of(quick)) == ["u2"]
    quick.close()
    assert not hub.is_heard


async def test_a_reader_that_keeps_up_is_not_cut_off_by_one_large_batch():
    hub = Hub()
    reader = await opened(hub)

    async def read():
        users = []
        while len(users) < 5_000:
            users += users_in(await next_of(reader))
        return users

    reading = asyncio.create_task(read())
    users = [f"u{n}" for n in range(5_000)]
    await HubTopics(hub).publish_totals(totals_of(*users))
    assert await reading == users


async def test_a_comment_keeps_a_quiet_stream_open():
    hub = Hub(keep_alive_seconds=0.01)
    reader = await opened(hub)
    assert [await next_of(reader) for _ in range(3)] == [KEEP_ALIVE] * 3
    await HubTopics(hub).publish_totals(totals_of("u1"))
    assert users_in(await next_of(reader)) == ["u1"]
    assert KEEP_ALIVE == b": keep-alive\n\n"


async def test_there_are_no_more_readers_than_the_hub_takes():
    hub = Hub(subscribers_max=2)
    readers = [hub.subscribe() for _ in range(2)]
    with pytest.raises(Problem) as refused:
        hub.subscribe()
    assert (refused.value.status, refused.value.headers["Retry-After"]) == (503, "5")
    readers[0].close()
    readers[0].close()
    hub.subscribe()


async def test_a_hub_that_closes_ends_every_stream_and_begins_none():
    hub = Hub()
    quiet, busy = await opened(hub), await opened(hub)
    waiting = asyncio.create_task(is_over(quiet))
    await asyncio.sleep(0)
    await HubTopics(hub).publish_totals(totals_of("u1"))
    hub.close()
    assert await waiting
    assert await is_over(busy)
    with pytest.raises(Problem):
        hub.subscribe()


async def test_without_readers_no_message_is_made(monkeypatch):
    def fail(total):
        raise AssertionError("a message was made")

    monkeypatch.setattr(stream, "total_message", fail)
    await HubTopics(Hub()).publish_totals(totals_of("u1"))


async def test_it_is_a_publisher_of_the_pipeline():
    hub = Hub()
    reader = await opened(hub)
    pipeline = pipeline_on(memory_store(TTL), HubTopics(hub))
    bad = sent(event(1)).replace(b'"steps":10', b'"steps":-1')
    outcome = await pipeline.run(batch(sent(event(1)), bad))
    assert (outcome.accepted, outcome.rejected) == (1, 1)
    assert users_in(await next_of(reader)) == ["u1"]


async def test_the_route_streams_until_the_reader_goes():
    hub = Hub(keep_alive_seconds=0.01)
    service = service_on(memory_store(TTL), hub=hub)
    async with connected(service, "/v1/stream", query="user=u1") as live:
        begun = await live.message()
        headers = {name.decode(): value.decode() for name, value in begun["headers"]}
        assert begun["status"] == 200
        assert headers["content-type"] == "text/event-stream; charset=utf-8"
        assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-store", "no")
        assert (await live.message())["body"] == OPENING
        await HubTopics(hub).publish_totals(totals_of("u2", "u1"))
        hub.publish_outcome({"records": 1})
        body = b""
        while b"outcome" not in body:
            body += (await live.message())["body"]
        assert b'"user_id":"u1"' in body
        assert b'"user_id":"u2"' not in body
    assert not hub.is_heard


async def test_the_route_ends_for_a_reader_that_does_not_read():
    hub = Hub(waiting_max=10)
    async with connected(service_on(memory_store(TTL), hub=hub), "/v1/stream", room=2) as live:
        assert (await live.message())["status"] == 200
        assert (await live.message())["body"] == OPENING
        for _ in range(100):
            await HubTopics(hub).publish_totals(totals_of("u1"))
            await asyncio.sleep(0)
        assert not hub.is_heard
        chunks = []
        while message := await live.message():
            chunks.append(message)
        assert sum(chunk["body"].count(b"event: total") for chunk in chunks) < 10
        assert not chunks[-1].get("more_body")


TEAM = ApiKey("0" * 12, "team", (Scope.READ,), "u1", NOW)


async def test_the_route_keeps_to_the_prefix_of_a_key():
    hub = Hub()
    service = service_on(memory_store(TTL), hub=hub)
    service.dependency_overrides[access.reader] = lambda: Caller("team", TEAM)
    refused = await asked(service, "/v1/stream", user="u2")
    assert (refused.status, refused.json["code"]) == (403, "USER_NOT_COVERED")
    assert not hub.is_heard
    async with connected(service, "/v1/stream") as live:
        assert (await live.message())["status"] == 200
        assert (await live.message())["body"] == OPENING
        hub.publish_outcome({"records": 1})
        await HubTopics(hub).publish_totals(totals_of("u2", "u11"))
        assert users_in((await live.message())["body"]) == ["u11"]


async def test_the_route_says_so_where_there_is_no_room():
    hub = Hub(subscribers_max=0)
    answer = await asked(service_on(memory_store(TTL), hub=hub), "/v1/stream")
    assert (answer.status, answer.json["code"]) == (503, "TOO_MANY_READERS")


async def test_a_bad_user_is_not_listened_for():
    answer = await asked(service_on(memory_store(TTL)), "/v1/stream", user="a|b")
    assert (answer.status, answer.json["detail"].split(":")[0]) == (422, "user")
