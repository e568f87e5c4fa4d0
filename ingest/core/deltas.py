"""A chain of snapshots to what was added since the one before (DESIGN section 4).

A chain is the snapshots of one (user, device, date) in time order. Each snapshot is compared with
the one before it, as the table in `_compared` says. Two rules look further:

- a `glitch` (all zeros, and the next is back at or above the one before) needs the next snapshot,
  so a chain that ends in such a zero is *unsettled*: its last kind may still change;
- an `authoritative` snapshot sets the day, so it is compared with the sum of the deltas so far.
"""

from bisect import bisect_left
from collections.abc import Sequence
from enum import StrEnum
from operator import add, attrgetter, sub
from typing import Final, NamedTuple

from ingest.core.records import Snapshot

PARTS: Final = 1_000_000  # a tolerance is held in millionths, so that comparing stays exact


class DeltaKind(StrEnum):
    """How a snapshot stands to the one before it."""

    BOOTSTRAP = "bootstrap"
    DUPLICATE = "duplicate"
    INCREMENT = "increment"
    RESET = "reset"
    ADJUSTMENT = "adjustment"
    GLITCH = "glitch"


class SnapshotRules(NamedTuple):
    """`reset_tolerance` in millionths of the value before; the sources that are authoritative."""

    reset_tolerance: int = 0
    authoritative: frozenset[str] = frozenset()


class Delta(NamedTuple):
    """What one snapshot added to its day: steps, and calories in units."""

    snapshot: Snapshot
    kind: DeltaKind
    steps: int
    calories_out: int


class Chain(NamedTuple):
    """All that must be known of a chain to add later snapshots to it.

    `last_ms`, `steps_total` and `calories_out_total` are the last snapshot's, `steps` and
    `calories_out` the sums of the deltas. Only a settled chain may be extended; another is read
    again from the log.
    """

    last_ms: int
    steps_total: int
    calories_out_total: int
    steps: int
    calories_out: int
    snapshots: int
    resets: int
    glitches: int
    sources: tuple[str, ...]
    is_settled: bool


class _Counters(NamedTuple):
    steps: int
    calories_out: int


_ZERO: Final = _Counters(0, 0)
_FALLS: Final = (DeltaKind.RESET, DeltaKind.ADJUSTMENT)
_time: Final = attrgetter("timestamp_ms")


def deltas_of(chain: Sequence[Snapshot], rules: SnapshotRules) -> list[Delta]:
    """The delta of each snapshot of a chain, which must be in time order."""
    return _deltas(chain, rules, before=None, day=_ZERO)


def chain_of(snapshots: Sequence[Snapshot], rules: SnapshotRules) -> Chain:
    """What a whole chain comes to: at least one snapshot, in time order."""
    empty = Chain(0, 0, 0, 0, 0, 0, 0, 0, (), is_settled=True)
    return _extended(empty, snapshots, _deltas(snapshots, rules, before=None, day=_ZERO), rules)


def extend(chain: Chain, snapshots: Sequence[Snapshot], rules: SnapshotRules) -> Chain:
    """A settled chain with later snapshots added: at least one, in time order."""
    before = _Counters(chain.steps_total, chain.calories_out_total)
    day = _Counters(chain.steps, chain.calories_out)
    return _extended(chain, snapshots, _deltas(snapshots, rules, before=before, day=day), rules)


def inserted(
    chain: Chain, counted: Sequence[Snapshot], added: Snapshot, rules: SnapshotRules
) -> Chain:
    """A chain of these snapshots, settled or not, with one more at whatever time.

    Only its neighbours are judged again, so it takes as long in a long chain as in a short one.
    None of the sources may be authoritative: what such a snapshot adds depends on all before it.
    """
    place = bisect_left(counted, added.timestamp_ms, key=_time)
    first, end = _around(counted, place)
    before = _counters(counted[first - 1]) if first else None
    old = _deltas(counted[first:end], rules, before=before, day=_ZERO)
    judged = [*counted[first:place], added, *counted[place:end]]
    new = _deltas(judged, rules, before=before, day=_ZERO)
    grown = _extended(_without(chain, old), judged, new, rules)
    if end == len(counted):
        return grown
    return grown._replace(
        last_ms=chain.last_ms,
        steps_total=chain.steps_total,
        calories_out_total=chain.calories_out_total,
        is_settled=chain.is_settled,
    )


def _around(counted: Sequence[Snapshot], place: int) -> tuple[int, int]:
    """From which to before which the deltas may change where one is put in at a place."""
    first = end = place
    while first > 0 and not _is_compared_with(counted, first - 1, place):
        first -= 1
    while end < len(counted) and not _is_compared_with(counted, end, len(counted)):
        end += 1
    return first, min(end + 1, len(counted))


def _is_compared_with(counted: Sequence[Snapshot], place: int, stop: int) -> bool:
    """Whether the next one is, as this is surely no glitch: no zero, or one before another."""
    if _counters(counted[place]) != _ZERO:
        return True
    return place + 1 < stop and _counters(counted[place + 1]) == _ZERO


def _without(chain: Chain, deltas: Sequence[Delta]) -> Chain:
    return chain._replace(
        steps=chain.steps - sum(delta.steps for delta in deltas),
        calories_out=chain.calories_out - sum(delta.calories_out for delta in deltas),
        snapshots=chain.snapshots - len(deltas),
        resets=chain.resets - sum(delta.kind is DeltaKind.RESET for delta in deltas),
        glitches=chain.glitches - sum(delta.kind is DeltaKind.GLITCH for delta in deltas),
    )


def _extended(
    chain: Chain, snapshots: Sequence[Snapshot], deltas: Sequence[Delta], rules: SnapshotRules
) -> Chain:
    last = snapshots[-1]
    may_be_glitch = (
        _counters(last) == _ZERO
        and deltas[-1].kind in _FALLS
        and last.source not in rules.authoritative
    )
    return Chain(
        last_ms=last.timestamp_ms,
        steps_total=last.steps_total,
        calories_out_total=last.calories_out_total,
        steps=chain.steps + sum(delta.steps for delta in deltas),
        calories_out=chain.calories_out + sum(delta.calories_out for delta in deltas),
        snapshots=chain.snapshots + len(snapshots),
        resets=chain.resets + sum(delta.kind is DeltaKind.RESET for delta in deltas),
        glitches=chain.glitches + sum(delta.kind is DeltaKind.GLITCH for delta in deltas),
        sources=tuple(sorted({*chain.sources, *(snapshot.source for snapshot in snapshots)})),
        is_settled=not may_be_glitch,
    )


def _deltas(
    snapshots: Sequence[Snapshot], rules: SnapshotRules, *, before: _Counters | None, day: _Counters
) -> list[Delta]:
    """`before` is the last counters known, `day` the sum of the deltas that led there."""
    deltas = []
    for place, snapshot in enumerate(snapshots):
        now = _counters(snapshot)
        following = snapshots[place + 1] if place + 1 < len(snapshots) else None
        if before is None:
            kind, added = DeltaKind.BOOTSTRAP, now
        elif snapshot.source in rules.authoritative:
            kind, added = _set_to(now, day)
        elif _is_glitch(before, now, following):
            deltas.append(Delta(snapshot, DeltaKind.GLITCH, 0, 0))
            continue
        else:
            kind, added = _compared(before, now, rules.reset_tolerance)
        deltas.append(Delta(snapshot, kind, added.steps, added.calories_out))
        before, day = now, _Counters(*map(add, day, added))
    return deltas


def _compared(before: _Counters, now: _Counters, tolerance: int) -> tuple[DeltaKind, _Counters]:
    """The table of DESIGN section 4, row by row."""
    difference = _Counters(*map(sub, now, before))
    if difference == _ZERO:
        return DeltaKind.DUPLICATE, _ZERO
    if min(difference) >= 0:
        return DeltaKind.INCREMENT, difference
    if any(-lower * PARTS > tolerance * was for lower, was in zip(difference, before, strict=True)):
        return DeltaKind.RESET, now
    return DeltaKind.ADJUSTMENT, difference


def _set_to(now: _Counters, day: _Counters) -> tuple[DeltaKind, _Counters]:
    """What takes the day's sum to the authoritative counters, whatever came before."""
    difference = _Counters(*map(sub, now, day))
    if difference == _ZERO:
        return DeltaKind.DUPLICATE, _ZERO
    return DeltaKind.INCREMENT if min(difference) >= 0 else DeltaKind.ADJUSTMENT, difference


def _is_glitch(before: _Counters, now: _Counters, following: Snapshot | None) -> bool:
    if now != _ZERO or before == _ZERO or following is None:
        return False
    return all(after >= was for after, was in zip(_counters(following), before, strict=True))


def _counters(snapshot: Snapshot) -> _Counters:
    return _Counters(snapshot.steps_total, snapshot.calories_out_total)
