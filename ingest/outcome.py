"""What a batch came to: the counts of its verdicts, its totals and its dead letters."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence, Set
from itertools import accumulate, groupby
from typing import Final, NamedTuple

from ingest.core.dedupe import Judgement, Keyed, Verdict
from ingest.core.records import Event, Kind, Snapshot
from ingest.core.refusals import Decoded, conflicts_of
from ingest.core.totals import DailyTotal
from ingest.errors import Reason, WorkerStopped
from ingest.ports import DeadLetter, Message

_CONFLICTS: Final = frozenset({Reason.CONFLICT_DIFFERENT_DATA, Reason.IDEMPOTENCY_CONFLICT})


class Outcome(NamedTuple):
    """What a batch came to; the five verdict counts add up to `records`.

    `conflicts` are part of `rejected`. `folded` and `reread` count days by path, `races` the lost
    compare-and-sets, `users` are those of the messages that could be read.
    """

    messages: int
    records: int
    accepted: int
    duplicates: int
    corrected: int
    stale: int
    rejected: int
    conflicts: int
    totals: Sequence[DailyTotal]
    dead_letters: Sequence[DeadLetter]
    folded: int
    reread: int
    races: int
    users: Set[str]


class Settled(NamedTuple):
    """The saved totals of a batch: how many days were folded, how many read again, races lost."""

    totals: Sequence[DailyTotal]
    folded: int
    reread: int
    races: int


def outcome_of(
    keyed: Keyed,
    accepted: int,
    verdicts: Sequence[Verdict],
    dead_letters: Sequence[DeadLetter],
    settled: Settled,
) -> Outcome:
    """The counts of a batch; raises `WorkerStopped` where a record has no verdict, or two.

    `accepted` is the number of rows that were new to the log, `verdicts` are those of the others.
    """
    records = sum(message.records for message in keyed.decoded)
    duplicates = keyed.repeated + verdicts.count(Verdict.DUPLICATE)
    corrected, stale = verdicts.count(Verdict.CORRECTED), verdicts.count(Verdict.STALE)
    rejected = sum(letter.refusal.records for letter in dead_letters)
    counted = accepted + duplicates + corrected + stale + rejected
    if counted != records:
        raise WorkerStopped(f"{records} records were received, {counted} have a verdict")
    return Outcome(
        messages=len(keyed.decoded),
        records=records,
        accepted=accepted,
        duplicates=duplicates,
        corrected=corrected,
        stale=stale,
        rejected=rejected,
        conflicts=sum(
            letter.refusal.records for letter in dead_letters if letter.refusal.reason in _CONFLICTS
        ),
        totals=settled.totals,
        dead_letters=dead_letters,
        folded=settled.folded,
        reread=settled.reread,
        races=settled.races,
        users={message.user_id for message in keyed.decoded if message.user_id},
    )


def dead_letters_of(
    messages: Sequence[Message],
    decoded: Sequence[Decoded],
    events: Sequence[Judgement[Event]],
    snapshots: Sequence[Judgement[Snapshot]],
) -> list[DeadLetter]:
    """Every refusal of a batch: what did not decode, then what conflicts with the stored."""
    refused = [
        DeadLetter(refusal, message)
        for message, parts in zip(messages, decoded, strict=True)
        if parts.refusals
        for refusal in parts.refusals
    ]
    for kind, judged in ((Kind.ACTIVITY, events), (Kind.HEALTH, snapshots)):
        places = [j.place for j in judged if j.verdict is Verdict.REJECTED]
        if places:
            refused += _conflicts(messages, decoded, kind, places)
    return refused


def _conflicts(
    messages: Sequence[Message], decoded: Sequence[Decoded], kind: Kind, places: Sequence[int]
) -> Iterator[DeadLetter]:
    """The dead letters of rows whose places, in order, count through all messages of a kind."""
    rows = [len(parts.rows) if parts.kind is kind else 0 for parts in decoded]
    starts = [*accumulate(rows, initial=0)]
    for index, own in groupby(places, lambda place: bisect_right(starts, place) - 1):
        own_rows = [place - starts[index] for place in own]
        for refusal in conflicts_of(messages[index].value, decoded[index], own_rows):
            yield DeadLetter(refusal, messages[index])
