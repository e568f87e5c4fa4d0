"""In front of Kafka: what is answered, what workers make of it, and what is seen of them."""

import asyncio

import orjson
import pytest

from tests.e2e.workers import Fleet, eventually, ordered, simulated
from tests.gateway.conftest import Client, serving
from tests.gateway.test_push import EVENTS, JSON, NDJSON, SNAPSHOTS
from tests.lines import DATE, event, events

pytestmark = pytest.mark.e2e

SENT = simulated(users=3, days=2)


def gateway_of(fleet: Fleet):
    """The service in front of a fleet."""
    own = {name.lower(): value for name, value in fleet.environment.items()}
    return serving(**own, gateway_mode="kafka")


def lines_of(path: str) -> bytes:
    """The simulated messages for a path; what is no message of either kind goes with the events."""
    of_snapshots = [b'"snapshots"' in line or b'"steps_total"' in line for line in SENT.lines]
    wanted = path == SNAPSHOTS
    own = [line for line, is_one in zip(SENT.lines, of_snapshots, strict=True) if is_one is wanted]
    return b"\n".join(own)


async def until(is_so) -> None:
    await asyncio.to_thread(eventually, is_so)


async def test_what_is_pushed_comes_to_the_truth(fleet: Fleet):
    await asyncio.to_thread(fleet.started, 1)
    async with gateway_of(fleet) as client:
        hearing = client.app.state.hub.subscribe()
        for path in (EVENTS, SNAPSHOTS):
            answer = await client.post(path, content=lines_of(path), headers=NDJSON)
            assert answer.status_code == 202
            assert "accepted" not in answer.json()
        await asyncio.to_thread(fleet.finish)
        assert await asyncio.to_thread(fleet.stored) == SENT.truth
        assert (await client.get("/v1/status")).json()["lag"] == 0
        found = [
            (await client.get(f"/v1/users/{u}/days")).json()["days"] for u in await users(client)
        ]
        assert ordered([day for days in found for day in days]) == SENT.truth
        assert await heard_from(hearing) >= {(t["user_id"], t["date"]) for t in SENT.truth}


async def test_lag_is_what_no_worker_has_done(fleet: Fleet):
    async with gateway_of(fleet) as client:
        await client.post(EVENTS, content=events(event(1)), headers=JSON)
        assert (await client.get("/v1/status")).json()["lag"] == 1


async def test_what_names_no_user_is_not_sent(fleet: Fleet):
    async with gateway_of(fleet) as client:
        bad = [b'{"user_id": "a b", "events": []}', b'{"events": [{"ts": "now"}]}']
        answer = await client.post(EVENTS, content=b"\n".join(bad), headers=NDJSON)
        assert answer.status_code == 202
        assert [refused["message"] for refused in answer.json()["refused"]] == [0, 1]
        partly = await client.post(EVENTS, content=events(event(1), event(2, -1)), headers=JSON)
        assert [refused["record"] for refused in partly.json()["refused"]] == [1]
        status = (await client.get("/v1/status")).json()
        assert status["lag"] == 1
        assert status["records"] == {"forwarded": 1, "rejected": 3}
        assert status["rejections"]["NEGATIVE_VALUE"] == 1


async def test_a_key_that_a_worker_remembers_is_for_no_other_message(fleet: Fleet):
    await asyncio.to_thread(fleet.started, 1)
    headers = JSON | {"Idempotency-Key": "k"}
    async with gateway_of(fleet) as client:
        first = await client.post(EVENTS, content=events(event(1)), headers=headers)
        await asyncio.to_thread(fleet.finish)
    async with gateway_of(fleet) as restarted:
        again = await restarted.post(EVENTS, content=events(event(1)), headers=headers)
        assert (again.status_code, again.json()) == (202, first.json())
        other = await restarted.post(EVENTS, content=events(event(2)), headers=headers)
        assert (other.status_code, other.json()["code"]) == (422, "IDEMPOTENCY_CONFLICT")


async def test_a_user_who_is_erased_is_erased_in_the_topic_too(fleet: Fleet):
    await asyncio.to_thread(fleet.started, 1)
    async with gateway_of(fleet) as client:
        await client.post(EVENTS, content=events(event(1)), headers=JSON)
        await asyncio.to_thread(fleet.finish)
        await until(lambda: fleet.published() != [])
        erased = (await client.delete("/v1/users/u1")).json()
        assert (erased["activity_events"], erased["tombstones"]) == (1, 1)
        assert (await client.get(f"/v1/users/u1/days/{DATE}")).status_code == 404
        assert await asyncio.to_thread(fleet.published) == []


async def users(client: Client) -> list[str]:
    found: list[str] = (await client.get("/v1/users")).json()["users"]
    return found


async def heard_from(hearing) -> set[tuple[str, str]]:
    """The days that were told of, until nothing more comes for a while."""
    told: set[tuple[str, str]] = set()
    try:
        while True:
            async with asyncio.timeout(3):
                for line in (await anext(hearing)).splitlines():
                    if line.startswith(b"data: "):
                        total = orjson.loads(line.removeprefix(b"data: "))
                        told.add((total["user_id"], total["date"]))
    except TimeoutError:
        return told
    finally:
        hearing.close()
