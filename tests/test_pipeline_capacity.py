"""A day takes so many devices and records and no more, whatever comes, and stays right."""

import bson
import orjson
import pytest

from ingest.core import capacity
from ingest.core.documents import total_message
from ingest.core.merge import DeviceTotal
from ingest.core.records import Day
from ingest.core.sums import EventSums
from ingest.core.totals import DeviceDay, Rules, recompute
from ingest.errors import Reason
from ingest.stores.documents import total_document
from tests.batches import counts_of, sent
from tests.core.messages import NOW
from tests.test_pipeline import DAY, World, event, snapshot

DEVICES, RECORDS = 3, 9
RECORDS_OF_A_DAY = capacity.RECORDS_MAX


@pytest.fixture(autouse=True)
def small_days(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "DEVICES_MAX", DEVICES)
    monkeypatch.setattr(capacity, "RECORDS_MAX", RECORDS)


def of_device(number: int, **changes) -> bytes:
    return sent(event(minute=number, device_id=f"d{number}", **changes))


def reasons(outcome) -> list[tuple[str, str]]:
    return [(d.refusal.reason.value, d.refusal.field) for d in outcome.dead_letters]


async def test_a_device_too_many_is_refused_with_its_bytes():
    world = World()
    messages = [of_device(number) for number in range(DEVICES + 1)]
    outcome = await world.run(*messages)
    assert counts_of(outcome) == {"accepted": DEVICES, "rejected": 1}
    assert reasons(outcome) == [("DAY_FULL", "device_id")]
    assert outcome.dead_letters[0].refusal.original == messages[-1]
    assert len((await world.total()).devices) == DEVICES


async def test_so_it_is_in_a_later_batch():
    world = World()
    for number in range(DEVICES):
        await world.run(of_device(number))
    assert reasons(await world.run(of_device(DEVICES))) == [("DAY_FULL", "device_id")]
    assert len((await world.total()).devices) == DEVICES


async def test_a_device_that_the_day_has_goes_on():
    world = World()
    await world.run(*[of_device(number) for number in range(DEVICES)])
    more = sent(event(minute=100, device_id="d0"), event(minute=101, device_id="d0"))
    assert counts_of(await world.run(more)) == {"accepted": 2}
    assert counts_of(await world.run(of_device(0))) == {"duplicates": 1}


async def test_another_day_has_room():
    world = World()
    await world.run(*[of_device(number) for number in range(DEVICES)])
    next_day = Day("u1", "2025-11-14")
    rows = [event(minute=1430, device_id="new"), event(1441, device_id="new", date=next_day.date)]
    outcome = await world.run(sent(*rows))
    assert counts_of(outcome) == {"accepted": 1, "rejected": 1}
    assert [*(await world.total(next_day)).devices] == ["new"]
    (letter,) = outcome.dead_letters
    assert letter.refusal.place == 0
    assert b"23:50" in letter.refusal.original
    assert b"00:01" not in letter.refusal.original


async def test_another_user_has_room():
    world = World()
    await world.run(*[of_device(number) for number in range(DEVICES)])
    assert counts_of(await world.run(of_device(DEVICES, user_id="u2"))) == {"accepted": 1}


async def test_a_day_with_all_its_records_takes_no_more():
    world = World()
    chain = [snapshot(minute, minute) for minute in range(RECORDS - 1)]
    await world.run(sent(*chain), sent(event(minute=1)))
    outcome = await world.run(sent(snapshot(50, 500), snapshot(51, 510)), sent(event(minute=2)))
    assert reasons(outcome) == [("DAY_FULL", "timestamp")] * 2 + [("DAY_FULL", "ts")]
    total = await world.total()
    assert (total.snapshots_count, total.events_count) == (RECORDS - 1, 1)


async def test_records_that_are_repeated_fill_no_day():
    world = World()
    repeated = [sent(event(minute=minute)) for minute in range(RECORDS - 1)]
    outcome = await world.run(*repeated * 3, sent(event(minute=100)))
    assert counts_of(outcome) == {"accepted": RECORDS, "duplicates": 2 * (RECORDS - 1)}


async def test_what_was_refused_before_and_what_conflicts_keep_their_places():
    world = World()
    await world.run(*[of_device(number) for number in range(DEVICES)])
    bad = event(minute=1, device_id="d1", steps=-1)
    full = event(minute=2, device_id="d9")
    outcome = await world.run(sent(bad), sent(full), sent(event(minute=1, device_id="d1", steps=7)))
    assert sorted(reasons(outcome)) == [
        ("CONFLICT_DIFFERENT_DATA", "record"),
        ("DAY_FULL", "device_id"),
        ("NEGATIVE_VALUE", "steps"),
    ]
    assert outcome.rejections == {
        ("synced", Reason.CONFLICT_DIFFERENT_DATA): 1,
        ("synced", Reason.DAY_FULL): 1,
        ("synced", Reason.NEGATIVE_VALUE): 1,
    }


async def test_a_worker_that_knows_nothing_yet_counts_its_own_batch():
    world = World()
    await world.run(*[of_device(number) for number in range(DEVICES)])
    world.pipeline.cache.clear()
    others = [of_device(number) for number in range(10, 10 + DEVICES + 1)]
    outcome = await world.run(*others)
    assert counts_of(outcome) == {"accepted": DEVICES, "rejected": 1}
    assert len((await world.total()).devices) == 2 * DEVICES
    assert reasons(await world.run(of_device(50))) == [("DAY_FULL", "device_id")]


async def test_a_batch_that_is_run_again_has_the_same_verdicts():
    world = World()
    messages = [of_device(number) for number in range(DEVICES + 2)]
    await world.run(*messages)
    assert counts_of(await world.run(*messages)) == {"duplicates": DEVICES, "rejected": 2}
    world.pipeline.cache.clear()
    assert counts_of(await world.run(*messages)) == {"duplicates": DEVICES, "rejected": 2}


def test_the_largest_day_fits_in_a_message_and_in_a_document():
    """Its records are as many as a batch adds to a day that is nearly full, or not at hand, twice.

    Each message of a batch adds a source to at most 72 hours, those that one date can have.
    """
    hours, sources_an_hour, devices = 72, 13, 200
    assert hours * sources_an_hour * devices > RECORDS_OF_A_DAY + 2 * 72 * 1000
    sources = tuple("S" * 60 + f"{n:04}" for n in range(sources_an_hour))
    sums = EventSums(
        60,
        600_000,
        10**9 * 60,
        2_400_000,
        60,
        sources,
    )
    state = {
        f"{number:0128}": DeviceDay({480_000 + hour: sums for hour in range(hours)}, sums, None)
        for number in range(devices)
    }
    total = recompute(DAY, [event()], [], Rules(), NOW)._replace(
        state=state,
        devices=dict.fromkeys(state, DeviceTotal(10**6, 10**9, "events")),
    )
    assert len(orjson.dumps(total_message(total))) < 1_000_000  # Kafka's default
    assert len(bson.encode(total_document(total))) < 16 * 1024 * 1024
