"""What every store's totals and keys keep: compare-and-set, and remembering for as long as said."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from ingest.core.dedupe import KeyRef, RememberedKey
from ingest.core.deltas import SnapshotRules
from ingest.core.records import Day
from ingest.core.totals import NO_CHANGE, Reread, Rules, recompute, repair
from ingest.ports import Scope
from tests.batches import TTL
from tests.stores.test_contract import LONGEST, event, snapshot

NOW = datetime(2025, 11, 13, 12, 0, 0, 123_000, tzinfo=UTC)  # whole milliseconds, as BSON keeps
DAY = Day("u1", "2025-11-13")
FIRST, OTHER = Day("u1", "2025-11-12"), Day("u2", "2025-11-13")
AUTHORITATIVE = Rules(snapshots=SnapshotRules(100_000, frozenset({"GARMIN"})))


def total_of(day=DAY, revision=1, steps=12):
    total = recompute(day, [event(steps=steps)], [], Rules(), NOW)
    return total._replace(revision=revision)


def kinds_of_totals():
    """A total of every shape there is, by name."""
    watch = {"device_id": LONGEST}
    chain = [snapshot(n, steps_total=n, calories_out_total=1) for n in (5, 9)]
    zero = snapshot(10, steps_total=0, calories_out_total=0)
    hours = [event(n, source=s) for n, s in ((0, "FITBIT"), (1, "GARMIN"), (61, "A_1"), (-1, "B"))]
    vendor = snapshot(20, steps_total=3, source="GARMIN")
    for name, events, snapshots in (
        ("one event", [event()], []),
        ("no heart rate", [event(hr_avg=None, steps=None)], []),
        ("hours of several sources", hours, []),
        ("a chain", [], chain),
        ("a chain with a reset", [], [*chain, snapshot(10, steps_total=1), snapshot(12)]),
        ("a chain that ends in a zero", [], [*chain, zero]),
        ("a chain with a glitch", [], [*chain, zero, snapshot(11)]),
        ("a vendor's summary", [], [*chain, vendor]),
        ("several devices", [*hours, event(0, **watch)], [*chain, snapshot(0, **watch)]),
        ("events beside a chain", hours, [snapshot(0, **watch)]),
        ("great sums", [event(n, calories_out=10**9) for n in range(50)], []),
    ):
        yield name, recompute(DAY, events, snapshots, AUTHORITATIVE, NOW)._replace(revision=1)
    moved_away = Reread([event().minute // 60], True, NO_CHANGE)
    nothing = repair(total_of(revision=0), DAY, moved_away, Rules(), NOW)
    assert not nothing.state
    yield "nothing", nothing


TOTALS = dict(kinds_of_totals())


@pytest.mark.parametrize("name", TOTALS)
async def test_a_total_comes_back_exactly_as_it_was_saved(store, name):
    assert await store.totals.save([TOTALS[name]]) == set()
    assert await store.totals.load([DAY]) == {DAY: TOTALS[name]}
    assert await store.totals.totals_between("u1", *[DAY.date] * 2) == [TOTALS[name]]


def test_the_totals_of_that_table_differ_and_cover_every_shape():
    chains = [device.chain for total in TOTALS.values() for device in total.state.values()]
    assert {total.basis for total in TOTALS.values()} == {"events", "snapshots", "mixed"}
    assert any(total.hr_avg is None and total.state for total in TOTALS.values())
    assert any(total.resets for total in TOTALS.values())
    assert any(chain and chain.glitches for chain in chains)
    assert any(chain and not chain.is_settled for chain in chains)


@pytest.mark.parametrize("before", TOTALS)
async def test_a_total_is_replaced_whole_by_its_next_revision(store, before):
    await store.totals.save([TOTALS[before]])
    for revision, total in enumerate(TOTALS.values(), start=2):
        following = total._replace(revision=revision)
        assert await store.totals.save([following]) == set()
        assert await store.totals.load([DAY]) == {DAY: following}


async def test_saving_twice_loses_the_second_time_and_changes_nothing(store):
    for total in (total_of(), total_of(revision=2, steps=13)):
        assert await store.totals.save([total]) == set()
        assert await store.totals.save([total._replace(steps=99)]) == {DAY}
        assert await store.totals.load([DAY]) == {DAY: total}


@pytest.mark.parametrize("revision", [1, 2, 3, 5, 6])
async def test_a_save_that_does_not_follow_the_stored_revision_is_lost(store, revision):
    for stored in (1, 2, 3):
        await store.totals.save([total_of(revision=stored)])
    assert await store.totals.save([total_of(revision=revision, steps=99)]) == {DAY}
    assert await store.totals.load([DAY]) == {DAY: total_of(revision=3)}


@pytest.mark.parametrize("revision", [2, 3])
async def test_a_save_against_a_total_that_is_not_there_is_lost(store, revision):
    assert await store.totals.save([total_of(revision=revision)]) == {DAY}
    assert await store.totals.load([DAY]) == {}


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("revision", [1, 3])
async def test_one_lost_day_does_not_lose_the_others_of_its_call(store, place, revision):
    days = [FIRST, DAY, OTHER]
    await store.totals.save([total_of(days[place])])
    totals = [
        total_of(day, revision=revision if n == place else 1, steps=50)
        for n, day in enumerate(days)
    ]
    assert await store.totals.save(totals) == {days[place]}
    expected = {day: total_of(day, steps=12 if day == days[place] else 50) for day in days}
    assert await store.totals.load(days) == expected


async def test_every_day_of_a_call_can_be_lost(store):
    totals = [total_of(day) for day in (FIRST, DAY, OTHER)]
    await store.totals.save(totals)
    assert await store.totals.save(totals) == {FIRST, DAY, OTHER}


async def test_new_and_known_days_are_saved_in_one_call(store):
    await store.totals.save([total_of(DAY)])
    totals = [total_of(FIRST), total_of(DAY, revision=2), total_of(OTHER)]
    assert await store.totals.save(totals) == set()
    assert await store.totals.load([FIRST, DAY, OTHER]) == {total.day: total for total in totals}


INTERLEAVINGS = ["aabb", "abab", "abba", "baab", "baba", "bbaa"]  # each loads, then saves


@pytest.mark.parametrize("steps", INTERLEAVINGS)
@pytest.mark.parametrize("known", [0, 1, 2])
async def test_of_two_writers_that_load_and_save_one_day_none_writes_over_the_other(
    store, steps, known
):
    for revision in range(1, known + 1):
        await store.totals.save([total_of(revision=revision)])
    loaded, lost = {}, {}
    for writer in steps:
        if writer not in loaded:
            total = (await store.totals.load([DAY])).get(DAY)
            loaded[writer] = total.revision if total is not None else 0
        else:
            own = total_of(revision=loaded[writer] + 1, steps=ord(writer))
            lost[writer] = await store.totals.save([own])
    is_one_after_the_other = steps in {"aabb", "bbaa"}
    first, second = dict.fromkeys(writer for n, writer in enumerate(steps) if writer in steps[:n])
    assert lost == {first: set(), second: set() if is_one_after_the_other else {DAY}}
    writes = 2 if is_one_after_the_other else 1
    winner = second if is_one_after_the_other else first
    stored = total_of(revision=known + writes, steps=ord(winner))
    assert await store.totals.load([DAY]) == {DAY: stored}


async def test_days_without_a_total_are_left_out_of_what_is_loaded(store):
    assert await store.totals.load([DAY]) == {}
    await store.totals.save([total_of(DAY)])
    assert await store.totals.load({FIRST, DAY, OTHER, Day("u1", "2025-11-14")}) == {
        DAY: total_of(DAY)
    }


async def test_totals_between_are_a_users_own_of_both_bounds_in_order(store):
    dates = ["2025-10-31", "2025-11-01", "2025-11-13", "2026-01-01"]
    totals = [total_of(Day("u1", date)) for date in dates]
    others = [total_of(Day(user_id, "2025-11-13")) for user_id in ("u", "u10", "u1-")]
    await store.totals.save([*others, *totals[::-1]])
    for first in range(4):
        for last in range(4):
            found = await store.totals.totals_between("u1", dates[first], dates[last])
            assert found == totals[first : last + 1]
    assert await store.totals.totals_between("u1", "2025-11-02", "2025-11-12") == []
    assert await store.totals.totals_between("u3", dates[0], dates[-1]) == []


async def test_the_totals_of_a_thousand_days_are_saved_and_loaded_in_one_call(store):
    totals = {day: total_of(day) for day in (Day(f"u{n}", DAY.date) for n in range(1_000))}
    assert await store.totals.save([*totals.values()]) == set()
    assert await store.totals.load(totals) == totals


async def test_a_save_against_a_total_that_was_deleted_is_lost(store):
    for revision in (1, 2):
        await store.totals.save([total_of(revision=revision)])
    assert await store.totals.erase("u1") == 1
    assert await store.totals.save([total_of(revision=3)]) == {DAY}
    assert await store.totals.load([DAY]) == {}
    assert await store.totals.save([total_of(revision=1)]) == set()


async def test_two_writers_of_one_revision_at_once_one_of_them_loses(store):
    for revision in range(1, 6):
        drafts = [total_of(revision=revision, steps=steps) for steps in (1, 2, 3)]
        lost = await asyncio.gather(*(store.totals.save([draft]) for draft in drafts))
        assert sorted(map(len, lost)) == [0, 1, 1]
        winner = drafts[lost.index(set())]
        assert await store.totals.load([DAY]) == {DAY: winner}


async def test_two_writers_of_equal_totals_do_not_both_think_theirs_is_saved(store):
    """Different records of equal values make equal totals; one of them would be left out."""
    await store.totals.save([total_of(), total_of(OTHER)])
    for revision in (2, 3):
        drafts = [total_of(revision=revision), total_of(OTHER, revision=revision)]
        assert await store.totals.save(drafts[:1]) == set()
        assert DAY in await store.totals.save(drafts)
        assert await store.totals.save(drafts) == {DAY, OTHER}


async def test_totals_are_restored_at_their_revision_and_leave_what_is_there(store):
    await store.totals.save([total_of(DAY)])
    totals = [total_of(FIRST, revision=7), total_of(DAY, revision=9), total_of(OTHER, revision=2)]
    assert await store.totals.restore(totals) == {1: total_of(DAY)}
    assert await store.totals.restore(totals) == {0: totals[0], 1: total_of(DAY), 2: totals[2]}
    assert await store.totals.save([total_of(FIRST, revision=8)]) == set()


async def test_totals_are_scanned_in_the_order_of_their_ids_counted_and_erased(store):
    days = [
        Day(user_id, date) for user_id in ("u1-", "u10", "u1") for date in ("2025-01-01", "2026")
    ]
    totals = [total_of(day) for day in days]
    await store.totals.save(totals[::-1])
    assert await store.totals.count() == 6
    assert await scanned(store.totals, Scope()) == totals
    assert await scanned(store.totals, Scope("u10")) == totals[2:4]
    assert await scanned(store.totals, Scope(after="u10|2025-01-01")) == totals[3:]
    assert await scanned(store.totals, Scope(after="u10|2025-01-01", limit=2)) == totals[3:5]
    assert await scanned(store.totals, Scope("u10", limit=1)) == totals[2:3]
    assert [await store.totals.erase("u1") for _ in range(2)] == [2, 0]
    assert await scanned(store.totals, Scope()) == totals[:4]


async def scanned(port, scope):
    return [row async for page in port.scan(scope) for row in page]


KEY = KeyRef("u1", "k")
YEARS_AHEAD = NOW.replace(year=2095)  # a database that sweeps by its own clock leaves it alone
TICK = timedelta(milliseconds=1)


async def test_a_key_never_remembered_is_unknown(store):
    assert await store.keys.fingerprints([KEY], YEARS_AHEAD) == {}


async def test_a_remembered_key_is_known_with_its_fingerprint_and_others_are_not(store):
    await store.keys.remember({KEY: "a", KeyRef("u1", "l"): "b"}, YEARS_AHEAD)
    asked = [KEY, KeyRef("u1", "l"), KeyRef("u1", "m")]
    assert await store.keys.fingerprints(asked, YEARS_AHEAD) == {KEY: "a", KeyRef("u1", "l"): "b"}


async def test_a_key_remembered_again_keeps_its_first_fingerprint(store):
    for fingerprint in ("a", "a", "b"):
        await store.keys.remember({KEY: fingerprint}, YEARS_AHEAD)
        assert await store.keys.fingerprints([KEY], YEARS_AHEAD) == {KEY: "a"}


async def test_a_known_key_does_not_keep_a_new_one_of_its_call_from_being_remembered(store):
    await store.keys.remember({KEY: "a"}, YEARS_AHEAD)
    keys = {KeyRef("u1", "j"): "b", KEY: "b", KeyRef("u1", "l"): "b"}
    await store.keys.remember(keys, YEARS_AHEAD)
    assert await store.keys.fingerprints([*keys], YEARS_AHEAD) == {**keys, KEY: "a"}


@pytest.mark.parametrize(
    ("age", "is_known"),
    [(timedelta(), True), (TTL - TICK, True), (TTL, False), (TTL + TICK, False)],
)
async def test_a_key_is_known_until_exactly_its_time_to_live(store, age, is_known):
    await store.keys.remember({KEY: "a"}, YEARS_AHEAD)
    assert await store.keys.fingerprints([KEY], YEARS_AHEAD + age) == (
        {KEY: "a"} if is_known else {}
    )


@pytest.mark.parametrize("age", [TTL, TTL * 2])
async def test_an_expired_key_is_remembered_anew_whether_or_not_it_was_swept(store, age):
    await store.keys.remember({KEY: "a"}, YEARS_AHEAD)
    await store.keys.remember({KEY: "b"}, YEARS_AHEAD + age)
    assert await store.keys.fingerprints([KEY], YEARS_AHEAD + age) == {KEY: "b"}
    assert await store.keys.fingerprints([KEY], YEARS_AHEAD + age + TTL - TICK) == {KEY: "b"}
    assert await store.keys.fingerprints([KEY], YEARS_AHEAD + age + TTL) == {}


async def test_a_key_expires_at_its_own_time_whenever_the_others_were_remembered(store):
    """Batches that run side by side remember their keys in another order than they began in."""
    await store.keys.remember({KeyRef("u2", "k"): "a"}, YEARS_AHEAD + TICK)
    await store.keys.remember({KEY: "a"}, YEARS_AHEAD)
    await store.keys.remember({KEY: "b"}, YEARS_AHEAD + TTL)
    assert await store.keys.fingerprints([KEY], YEARS_AHEAD + TTL) == {KEY: "b"}


async def test_the_scope_of_a_key_is_its_user(store):
    await store.keys.remember({KEY: "a"}, YEARS_AHEAD)
    assert await store.keys.fingerprints([KeyRef("u2", "k"), KeyRef("u", "1k")], YEARS_AHEAD) == {}
    await store.keys.remember({KeyRef("u2", "k"): "b"}, YEARS_AHEAD)
    asked = [KEY, KeyRef("u2", "k")]
    assert await store.keys.fingerprints(asked, YEARS_AHEAD) == {KEY: "a", KeyRef("u2", "k"): "b"}


async def test_a_key_may_be_long_and_hold_every_printable_character(store):
    printable = "".join(map(chr, range(32, 127)))
    keys = [KeyRef(LONGEST, (printable * 3)[:255]), KeyRef("u1", printable), KeyRef("u1", " ")]
    await store.keys.remember({key: key.key[:9] for key in keys}, YEARS_AHEAD)
    assert await store.keys.fingerprints(keys, YEARS_AHEAD) == {key: key.key[:9] for key in keys}


async def test_a_thousand_keys_are_remembered_and_looked_up_in_one_call(store):
    keys = {KeyRef("u1", f"k{n}"): str(n) for n in range(1_000)}
    await store.keys.remember(keys, YEARS_AHEAD)
    assert await store.keys.fingerprints([*keys], YEARS_AHEAD) == keys


async def test_keys_are_restored_as_they_were_and_leave_what_is_there(store):
    await store.keys.remember({KEY: "a"}, YEARS_AHEAD)
    there = RememberedKey(KEY, "a", YEARS_AHEAD)
    keys = [RememberedKey(KEY, "b", YEARS_AHEAD - TICK), RememberedKey(KeyRef("u1", "l"), "c", NOW)]
    assert await store.keys.restore(keys) == {0: there}
    assert await store.keys.restore(keys) == {0: there, 1: keys[1]}
    assert await store.keys.fingerprints([KEY, keys[1].ref], NOW + TTL) == {KEY: "a"}


async def test_keys_are_scanned_in_the_order_of_their_ids_counted_and_erased(store):
    refs = [KeyRef(user_id, key) for user_id in ("u1-", "u1") for key in (" a", "k", "k|2")]
    await store.keys.remember(dict.fromkeys(refs[::-1], "f"), YEARS_AHEAD)
    keys = [RememberedKey(ref, "f", YEARS_AHEAD) for ref in refs]
    assert await store.keys.count() == 6
    assert await scanned(store.keys, Scope()) == keys
    assert await scanned(store.keys, Scope("u1-")) == keys[:3]
    assert await scanned(store.keys, Scope(after="u1-|k")) == keys[2:]
    assert await scanned(store.keys, Scope(after="u1-|k", limit=2)) == keys[2:4]
    assert [await store.keys.erase("u1-") for _ in range(2)] == [3, 0]
    assert await scanned(store.keys, Scope()) == keys[3:]
