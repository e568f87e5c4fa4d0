"""The table of DESIGN section 4: how a chain of snapshots becomes what was added."""

from bisect import insort
from operator import attrgetter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ingest.core.deltas import (
    PARTS,
    DeltaKind,
    SnapshotRules,
    chain_of,
    deltas_of,
    extend,
    inserted,
)
from ingest.core.records import Snapshot
from tests.core.strategies import DATES, chains

BOOTSTRAP, DUPLICATE, INCREMENT, RESET, ADJUSTMENT, GLITCH = DeltaKind
COUNTER = SnapshotRules()
TENTH = SnapshotRules(reset_tolerance=PARTS // 10)
AUTHORITATIVE = SnapshotRules(authoritative=frozenset({"GARMIN"}))
Z = (0, 0)


def chain(*totals: tuple[int, int], source: str = "FITBIT") -> list[Snapshot]:
    return [
        Snapshot("u1", "phone", source, DATES[0], at, steps, calories_out, None, 0)
        for at, (steps, calories_out) in enumerate(totals, 1)
    ]


def mixed(*parts: tuple[str, int]) -> list[Snapshot]:
    """One-letter sources: c is a counter's, a is authoritative; both counters go alike."""
    sources = {"c": "FITBIT", "a": "GARMIN"}
    return [
        Snapshot("u1", "phone", sources[letter], DATES[0], at, total, total, None, 0)
        for at, (letter, total) in enumerate(parts, 1)
    ]


TABLE = [
    ("first", [(5, 7)], COUNTER, [(BOOTSTRAP, 5, 7)]),
    ("first of zeros", [Z], COUNTER, [(BOOTSTRAP, 0, 0)]),
    ("equal", [(5, 7), (5, 7)], COUNTER, [(DUPLICATE, 0, 0)]),
    ("both higher", [(5, 7), (6, 9)], COUNTER, [(INCREMENT, 1, 2)]),
    ("steps higher", [(5, 7), (6, 7)], COUNTER, [(INCREMENT, 1, 0)]),
    ("calories higher", [(5, 7), (5, 8)], COUNTER, [(INCREMENT, 0, 1)]),
    ("from zero", [Z, (5, 7)], COUNTER, [(INCREMENT, 5, 7)]),
    ("steps lower", [(5, 7), (4, 7)], COUNTER, [(RESET, 4, 7)]),
    ("calories lower", [(5, 7), (5, 6)], COUNTER, [(RESET, 5, 6)]),
    ("steps lower, calories higher", [(5, 7), (4, 9)], COUNTER, [(RESET, 4, 9)]),
    ("steps higher, calories lower", [(5, 7), (9, 6)], COUNTER, [(RESET, 9, 6)]),
    ("both lower", [(5, 7), (1, 2)], COUNTER, [(RESET, 1, 2)]),
    ("lower at the tolerance", [(100, 1000), (90, 900)], TENTH, [(ADJUSTMENT, -10, -100)]),
    ("steps one beyond it", [(100, 1000), (89, 900)], TENTH, [(RESET, 89, 900)]),
    ("calories one beyond it", [(100, 1000), (90, 899)], TENTH, [(RESET, 90, 899)]),
    ("lower within and higher", [(100, 1000), (91, 2000)], TENTH, [(ADJUSTMENT, -9, 1000)]),
    ("higher and lower within", [(100, 1000), (101, 950)], TENTH, [(ADJUSTMENT, 1, -50)]),
    ("lower beyond and higher", [(100, 1000), (10, 2000)], TENTH, [(RESET, 10, 2000)]),
    ("lower than a tenth of nine", [(9, 9), (8, 9)], TENTH, [(RESET, 8, 9)]),
    ("equal, with tolerance", [(100, 1000), (100, 1000)], TENTH, [(DUPLICATE, 0, 0)]),
    ("higher, with tolerance", [(100, 1000), (101, 1000)], TENTH, [(INCREMENT, 1, 0)]),
    ("zero then higher", [(5, 7), Z, (6, 9)], COUNTER, [(GLITCH, 0, 0), (INCREMENT, 1, 2)]),
    ("zero then equal", [(5, 7), Z, (5, 7)], COUNTER, [(GLITCH, 0, 0), (DUPLICATE, 0, 0)]),
    ("zero then lower", [(5, 7), Z, (4, 9)], COUNTER, [(RESET, 0, 0), (INCREMENT, 4, 9)]),
    ("zero then less calories", [(5, 7), Z, (9, 6)], COUNTER, [(RESET, 0, 0), (INCREMENT, 9, 6)]),
    (
        "zero then lower within the tolerance",
        [(100, 1000), Z, (95, 1000)],
        TENTH,
        [(RESET, 0, 0), (INCREMENT, 95, 1000)],
    ),
    ("zero at the end", [(5, 7), Z], COUNTER, [(RESET, 0, 0)]),
    (
        "two zeros",
        [(5, 7), Z, Z, (6, 9)],
        COUNTER,
        [(RESET, 0, 0), (DUPLICATE, 0, 0), (INCREMENT, 6, 9)],
    ),
    ("zeros first", [Z, Z, (5, 7)], COUNTER, [(DUPLICATE, 0, 0), (INCREMENT, 5, 7)]),
    (
        "a zero, then another later",
        [(5, 7), Z, (6, 7), Z, (6, 8)],
        COUNTER,
        [(GLITCH, 0, 0), (INCREMENT, 1, 0), (GLITCH, 0, 0), (INCREMENT, 0, 1)],
    ),
    ("only steps are zero", [(5, 7), (0, 7), (6, 9)], COUNTER, [(RESET, 0, 7), (INCREMENT, 6, 2)]),
    (
        "zero with only steps before",
        [(5, 0), Z, (5, 1)],
        COUNTER,
        [(GLITCH, 0, 0), (INCREMENT, 0, 1)],
    ),
    ("after a reset", [(5, 7), (1, 1), (3, 3)], COUNTER, [(RESET, 1, 1), (INCREMENT, 2, 2)]),
    (
        "after an adjustment the comparison is with the adjusted",
        [(100, 100), (95, 95), (100, 100)],
        TENTH,
        [(ADJUSTMENT, -5, -5), (INCREMENT, 5, 5)],
    ),
]


@pytest.mark.parametrize(
    ("totals", "rules", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_each_row_of_the_table_holds(totals, rules, expected):
    snapshots = chain(*totals)
    deltas = deltas_of(snapshots, rules)
    assert [delta.snapshot for delta in deltas] == snapshots
    first, *others = [(d.kind, d.steps, d.calories_out) for d in deltas]
    assert first == (BOOTSTRAP, *totals[0])
    assert others == (expected if len(totals) > 1 else [])


SETTLED = [
    ([(5, 7)], True),
    ([Z], True),
    ([Z, Z], True),
    ([(5, 7), Z], False),
    ([(5, 7), (0, 7)], True),
    ([(5, 7), (4, 7)], True),
    ([(5, 7), Z, Z], True),
    ([(5, 7), Z, (4, 7)], True),
    ([(5, 7), Z, (6, 7)], True),
    ([(5, 7), Z, (6, 7), Z], False),
]


@pytest.mark.parametrize(("totals", "is_settled"), SETTLED)
def test_a_chain_is_unsettled_while_its_last_zero_may_yet_be_a_glitch(totals, is_settled):
    assert chain_of(chain(*totals), COUNTER).is_settled is is_settled


MIXED = [
    ("lower sets the day", [("a", 50), ("a", 30)], [("b", 50), ("j", -20)]),
    ("higher sets the day", [("a", 50), ("a", 80)], [("b", 50), ("i", 30)]),
    ("equal", [("a", 50), ("a", 50)], [("b", 50), ("d", 0)]),
    ("zero is meant", [("a", 50), ("a", 0), ("a", 60)], [("b", 50), ("j", -50), ("i", 60)]),
    ("after a reset", [("c", 50), ("c", 20), ("a", 60)], [("b", 50), ("r", 20), ("j", -10)]),
    ("as the day", [("c", 50), ("c", 20), ("a", 70)], [("b", 50), ("r", 20), ("d", 0)]),
    ("then a counter", [("c", 50), ("a", 30), ("c", 40)], [("b", 50), ("j", -20), ("i", 10)]),
    ("then a lower counter", [("a", 50), ("c", 40)], [("b", 50), ("r", 40)]),
    ("after a glitch", [("c", 50), ("c", 0), ("a", 60)], [("b", 50), ("g", 0), ("i", 10)]),
    ("after a zero", [("c", 50), ("c", 0), ("a", 40)], [("b", 50), ("r", 0), ("j", -10)]),
]
LETTERS = {"b": BOOTSTRAP, "d": DUPLICATE, "i": INCREMENT, "r": RESET, "j": ADJUSTMENT, "g": GLITCH}


@pytest.mark.parametrize(
    ("parts", "expected"), [row[1:] for row in MIXED], ids=[row[0] for row in MIXED]
)
def test_an_authoritative_snapshot_sets_the_day_among_counters(parts, expected):
    deltas = deltas_of(mixed(*parts), AUTHORITATIVE)
    assert [(d.kind, d.steps, d.calories_out) for d in deltas] == [
        (LETTERS[letter], added, added) for letter, added in expected
    ]


def test_an_authoritative_counter_lower_and_one_higher_is_an_adjustment():
    (_, delta) = deltas_of(chain((50, 50), (40, 60), source="GARMIN"), AUTHORITATIVE)
    assert delta[1:] == (ADJUSTMENT, -10, 10)


def test_a_chain_in_short_says_what_its_deltas_come_to():
    snapshots = chain((5, 7), Z, (6, 9), (1, 2), (3, 2))
    snapshots[2] = snapshots[2]._replace(source="APPLE_HEALTH")
    short = chain_of(snapshots, COUNTER)
    assert (short.last_ms, short.steps_total, short.calories_out_total) == (5, 3, 2)
    assert (short.steps, short.calories_out) == (9, 11)
    assert (short.snapshots, short.resets, short.glitches) == (5, 1, 1)
    assert short.sources == ("APPLE_HEALTH", "FITBIT")
    assert short.is_settled


few_totals = st.lists(  # zeros often, in runs too
    st.sampled_from([Z, Z, Z, (5, 7), (4, 7), (6, 9), (0, 7), (9, 0)]), min_size=2, max_size=8
)
every_rules = st.builds(
    SnapshotRules,
    reset_tolerance=st.sampled_from([0, PARTS // 10, PARTS - 1]),
    authoritative=st.sampled_from([frozenset(), frozenset({"GARMIN"}), frozenset({"FITBIT"})]),
)


@given(chains(), every_rules)
def test_a_settled_chain_can_be_extended_wherever_it_is_split(snapshots, rules):
    whole = chain_of(snapshots, rules)
    for split in range(1, len(snapshots)):
        start = chain_of(snapshots[:split], rules)
        if start.is_settled:
            assert extend(start, snapshots[split:], rules) == whole


@pytest.mark.parametrize("rules", [COUNTER, TENTH, SnapshotRules(reset_tolerance=PARTS - 1)])
@given(few_totals)
def test_any_snapshot_can_be_put_into_the_chain_of_the_others(rules, totals):
    snapshots = chain(*totals)
    whole = chain_of(snapshots, rules)
    for place, snapshot in enumerate(snapshots):
        others = snapshots[:place] + snapshots[place + 1 :]
        assert inserted(chain_of(others, rules), others, snapshot, rules) == whole


@given(few_totals, st.data())
def test_snapshots_put_in_one_by_one_in_any_order_make_their_chain(totals, data):
    first, *others = data.draw(st.permutations(chain(*totals)))
    grown, counted = chain_of([first], COUNTER), [first]
    for snapshot in others:
        grown = inserted(grown, counted, snapshot, COUNTER)
        insort(counted, snapshot, key=attrgetter("timestamp_ms"))
    assert grown == chain_of(counted, COUNTER)


def test_what_is_put_in_brings_its_source():
    first, late, last = chain((5, 7), (6, 7), (9, 9))
    grown = inserted(
        chain_of([first, last], COUNTER), [first, last], late._replace(source="GARMIN"), COUNTER
    )
    assert grown.sources == ("FITBIT", "GARMIN")


class Slices(list):
    """A chain that counts how many of its snapshots are looked at."""

    looked_at = 0

    def __getitem__(self, place):
        found = super().__getitem__(place)
        self.looked_at += len(found) if isinstance(place, slice) else 1
        return found


@pytest.mark.parametrize("totals", [[(n, n) for n in range(1440)], [Z] * 1440])
def test_of_a_long_chain_only_the_neighbours_are_judged_again(totals):
    late = chain(*totals).pop(700)
    others = Slices(snapshot for snapshot in chain(*totals) if snapshot != late)
    whole = chain_of(others, COUNTER)
    others.looked_at = 0
    inserted(whole, others, late, COUNTER)
    assert others.looked_at <= 20  # of them 11 to find the place


def test_a_zero_at_the_end_is_unsettled_even_where_any_fall_is_tolerated():
    rules = SnapshotRules(reset_tolerance=PARTS)
    snapshots = chain((5, 7), Z, (6, 9))
    start = chain_of(snapshots[:2], rules)
    assert not start.is_settled or extend(start, snapshots[2:], rules) == chain_of(snapshots, rules)


@given(chains(), every_rules)
def test_a_chain_in_short_holds_the_sums_of_its_deltas(snapshots, rules):
    short, deltas = chain_of(snapshots, rules), deltas_of(snapshots, rules)
    kinds = [delta.kind for delta in deltas]
    assert (short.steps, short.calories_out) == (
        sum(delta.steps for delta in deltas),
        sum(delta.calories_out for delta in deltas),
    )
    assert (short.resets, short.glitches) == (kinds.count(RESET), kinds.count(GLITCH))
    assert kinds.count(BOOTSTRAP) == 1
    assert short.snapshots == len(deltas) == len(snapshots)


@given(chains(), every_rules)
def test_a_day_is_never_less_than_its_last_totals_nor_negative(snapshots, rules):
    short = chain_of(snapshots, rules)
    last = next(d.snapshot for d in reversed(deltas_of(snapshots, rules)) if d.kind is not GLITCH)
    assert short.steps >= last.steps_total >= 0
    assert short.calories_out >= last.calories_out_total >= 0


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=9))
def test_counters_that_never_fall_add_up_to_the_last_totals(steps):
    totals = [
        (sum(a for a, _ in steps[: n + 1]), sum(b for _, b in steps[: n + 1]))
        for n in range(len(steps))
    ]
    short = chain_of(chain(*totals), COUNTER)
    assert (short.steps, short.calories_out) == totals[-1]
    assert short.resets == short.glitches == 0


@given(chains(), every_rules)
def test_an_authoritative_chain_adds_up_to_its_last_totals(snapshots, rules):
    vendor = [snapshot._replace(source="GARMIN") for snapshot in snapshots]
    rules = rules._replace(authoritative=frozenset({"GARMIN"}))
    short = chain_of(vendor, rules)
    assert (short.steps, short.calories_out) == (
        vendor[-1].steps_total,
        vendor[-1].calories_out_total,
    )
    assert short.resets == 0
    assert short.is_settled


@given(chains(), st.integers(0, 9), st.sampled_from([0, 10, 95, 120]), every_rules)
def test_a_late_snapshot_changes_only_the_deltas_around_it(snapshots, at, total, rules):
    """Its own and its successor's, and what the glitch rule adds: a zero before it may be one no
    longer, and a zero behind it passes the comparison on to the next.
    """
    assume(at <= len(snapshots))
    rules = rules._replace(authoritative=frozenset())
    late = snapshots[0]._replace(
        timestamp_ms=2 * at - 1, steps_total=total, calories_out_total=total
    )
    before = {d.snapshot.timestamp_ms: d for d in deltas_of(snapshots, rules)}
    after = deltas_of([*snapshots[:at], late, *snapshots[at:]], rules)
    counters = [(d.snapshot.steps_total, d.snapshot.calories_out_total) for d in after]
    around = {at, at + 1}
    if at > 0 and counters[at - 1] == Z:
        around.add(at - 1)
    if counters[at + 1 : at + 2] == [Z]:
        around.add(at + 2)
    changed = {n for n, d in enumerate(after) if before.get(d.snapshot.timestamp_ms) != d}
    assert changed <= around
