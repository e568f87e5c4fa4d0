"""Which verdict a record gets when its identity, or its message's key, is known (DESIGN 3)."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final, Generic, NamedTuple, TypeVar, cast

from ingest.core.records import Event, Kind, Record, Snapshot
from ingest.core.refusals import Decoded, Refusal
from ingest.errors import Reason

Row = TypeVar("Row", Event, Snapshot)


class Verdict(StrEnum):
    """What became of a record; the counts of all five add up to the records received."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CORRECTED = "corrected"
    STALE = "stale"
    REJECTED = "rejected"


class Judgement(NamedTuple, Generic[Row]):
    """A verdict on the incoming record at `place`, and the record it was compared with."""

    place: int
    incoming: Row
    known: Row
    verdict: Verdict


class KeyRef(NamedTuple):
    """An idempotency key, in the scope of its user."""

    user_id: str
    key: str


class RememberedKey(NamedTuple):
    """A key, the fingerprint it was remembered with, and since when."""

    ref: KeyRef
    fingerprint: str
    created_at: datetime


class Keyed(NamedTuple):
    """A batch after its keys spoke: keys to remember, how many records known keys repeat.

    `refused` are the rows of messages that their keys refused.
    """

    decoded: Sequence[Decoded]
    fresh: Mapping[KeyRef, str]
    repeated: Mapping[Kind, int]
    refused: Sequence[Record] = ()


def judge(known: Iterable[tuple[int, Row, Row]]) -> list[Judgement[Row]]:
    """Verdicts on records whose identity was there before them, in the order given.

    Each is a place, the incoming record and the stored one of the same identity. A correction is
    what its successors in the same call are compared with.
    """
    judgements = []
    corrected: dict[tuple[object, ...], Row] = {}
    for place, incoming, stored in known:
        before = corrected.get(identity_of(incoming), stored) if corrected else stored
        verdict = verdict_on(incoming, before)
        if verdict is _CORRECTED:
            corrected[identity_of(incoming)] = incoming
        judgements.append(_new(Judgement, (place, incoming, before, verdict)))
    return judgements


def verdicts_of(judgements: Iterable[Judgement[Row]]) -> list[Verdict]:
    """The verdicts alone."""
    return [judgement.verdict for judgement in judgements]


def verdict_on(incoming: Record, known: Record) -> Verdict:
    """The verdict on one record against the known record of its identity."""
    if incoming == known:
        return _DUPLICATE
    if incoming.version > known.version:
        return Verdict.CORRECTED
    if incoming.version < known.version:
        return Verdict.STALE
    return _DUPLICATE if measured(incoming) == measured(known) else Verdict.REJECTED


def measured(record: Record) -> tuple[object, ...]:
    """What is compared: the measures of an event and its date, both totals of a snapshot."""
    if isinstance(record, Event):
        return record.steps, record.calories_out, record.hr_avg, record.date
    return record.steps_total, record.calories_out_total


def identity_of(record: Record) -> tuple[object, ...]:
    """What makes two records the same one; the source is no part of it."""
    if isinstance(record, Snapshot):
        return record.user_id, record.device_id, record.date, record.timestamp_ms
    return record.user_id, record.device_id, record.minute


def with_keys(
    originals: Sequence[bytes],
    decoded: Sequence[Decoded],
    keys: Mapping[int, KeyRef],
    known: Mapping[KeyRef, str],
) -> Keyed:
    """The batch without the rows of messages whose key is known.

    `keys` are those of the messages at these places, in order; `known` the fingerprints they were
    remembered with. The same message again is repeated, another is refused whole.
    """
    applied = [*decoded]
    fresh: dict[KeyRef, str] = {}
    repeated: Counter[Kind] = Counter()
    refused: list[Record] = []
    for place, key in keys.items():
        message = decoded[place]
        fingerprint = known.get(key) or fresh.get(key)
        if fingerprint is None:
            fresh[key] = cast("str", message.fingerprint)
        elif fingerprint == message.fingerprint:
            applied[place] = message._replace(rows=(), refusals=())
            repeated[cast("Kind", message.kind)] += message.records
        else:
            refusal = Refusal(
                reason=Reason.IDEMPOTENCY_CONFLICT,
                field="idempotency_key",
                place=None,
                records=message.records,
                original=originals[place],
            )
            applied[place] = message._replace(rows=(), refusals=(refusal,))
            refused += message.rows
    return Keyed(applied, fresh, repeated, refused)


# A member read from its class costs as much as comparing two records (Python 3.11).
_DUPLICATE: Final = Verdict.DUPLICATE
_CORRECTED: Final = Verdict.CORRECTED
_new: Final = tuple.__new__
