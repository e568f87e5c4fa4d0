"""What a batch came to: the counts of its verdicts, its totals and its dead letters."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import accumulate, groupby
from typing import Final, NamedTuple

from ingest.core.dedupe import Judgement, Keyed, Verdict
from ingest.core.records import Day, Event, Kind, Snapshot
from ingest.core.refusals import Decoded, Refusal, refusals_of_rows
from ingest.core.totals import DailyTotal
from ingest.errors import Reason, WorkerStopped
from ingest.ports import DeadLetter, Message

_NONE: Final[Mapping[Verdict, int]] = {}
_CONFLICTS: Final = frozenset({Reason.CONFLICT_DIFFERENT_DATA, Reason.IDEMPOTENCY_CONFLICT})


class Outcome(NamedTuple):
    """What a batch came to; the five verdict counts add up to `records`.

    `counts` are the same but for what was rejected, by kind. `conflicts` are part of `rejected`.
    `folded` and `reread` count days by path, `races` the lost compare-and-sets. `resets` and
    `glitches` are those that its totals did not have before. `users` are those of the messages that
    could be read, `misplaced` the messages whose key is another one than their user.
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
    resets: int
    glitches: int
    users: Set[str]
    misplaced: int
    counts: Mapping[tuple[Kind, Verdict], int]
    judged: "Judged"

    @property
    def rejections(self) -> Mapping[tuple[str, Reason], int]:
        """How many records were refused, by origin and reason."""
        found: Counter[tuple[str, Reason]] = Counter()
        for refusal, message in self.dead_letters:
            found[message.origin, refusal.reason] += refusal.records
        return found


class Judged(NamedTuple):
    """What a batch's records were compared with, of those that were known: for who asks by message.

    `decoded` are the messages without what was refused; places count through the rows of a kind.
    """

    decoded: Sequence[Decoded]
    events: Sequence[Judgement[Event]]
    snapshots: Sequence[Judgement[Snapshot]]


class Verdicts(NamedTuple):
    """What became of one message; the five counts add up to `records`."""

    records: int
    accepted: int
    duplicates: int
    corrected: int
    stale: int
    rejected: int
    refusals: Sequence[Refusal]


class Settled(NamedTuple):
    """The saved totals of a batch: how many days were folded, how many read again, races lost.

    `known` are the totals before it, of the days that had one.
    """

    totals: Sequence[DailyTotal]
    folded: int
    reread: int
    races: int
    known: Mapping[Day, DailyTotal]


def outcome_of(
    messages: Sequence[Message],
    keyed: Keyed,
    verdicts: Mapping[Kind, tuple[int, Iterable[Verdict]]],
    dead_letters: Sequence[DeadLetter],
    settled: Settled,
    judged: Judged,
) -> Outcome:
    """The counts of a batch; raises `WorkerStopped` where a record has no verdict, or two.

    `verdicts` has by kind how many rows were new to the log, and the verdicts of the others.
    """
    counts = _counts(keyed, verdicts)
    accepted, duplicates, corrected, stale = (
        sum([counts[kind, verdict] for kind in Kind])
        for verdict in (Verdict.ACCEPTED, Verdict.DUPLICATE, Verdict.CORRECTED, Verdict.STALE)
    )
    records = sum([message.records for message in keyed.decoded])
    rejected = sum([letter.refusal.records for letter in dead_letters])
    counted = accepted + duplicates + corrected + stale + rejected
    if counted != records:
        raise WorkerStopped(f"{records} records were received, {counted} have a verdict")
    resets, glitches = _found_in(settled)
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
        resets=resets,
        glitches=glitches,
        users={message.user_id for message in keyed.decoded if message.user_id},
        misplaced=_misplaced(messages, keyed.decoded),
        counts=counts,
        judged=judged,
    )


def reasons_of(outcome: Outcome) -> dict[str, int]:
    """How many records were refused, by reason."""
    found: Counter[str] = Counter()
    for (_, reason), records in outcome.rejections.items():
        found[reason.value] += records
    return dict(found)


def verdicts_by_message(messages: Sequence[Message], outcome: Outcome) -> list[Verdicts]:
    """What became of each message of a batch, in order."""
    refusals: dict[int, list[Refusal]] = {}
    for refusal, message in outcome.dead_letters:
        refusals.setdefault(id(message), []).append(refusal)
    known = _known_by_message(outcome.judged)
    return [
        _verdicts(parts, known.get(place, _NONE), refusals.get(id(message), ()))
        for place, (message, parts) in enumerate(zip(messages, outcome.judged.decoded, strict=True))
    ]


def _known_by_message(judged: Judged) -> dict[int, Counter[Verdict]]:
    """The verdicts on the rows that were known, by the place of their message."""
    found: dict[int, Counter[Verdict]] = {}
    for kind, judgements in ((Kind.ACTIVITY, judged.events), (Kind.HEALTH, judged.snapshots)):
        starts = _starts(judged.decoded, kind)
        for place, _, _, verdict in judgements:
            found.setdefault(bisect_right(starts, place) - 1, Counter())[verdict] += 1
    return found


def _verdicts(
    message: Decoded, known: Mapping[Verdict, int], refusals: Sequence[Refusal]
) -> Verdicts:
    """Rows that were not known are accepted; records that are in no row repeat a known key."""
    rejected = sum([refusal.records for refusal in refusals])
    conflicts = known.get(Verdict.REJECTED, 0)
    repeated = message.records - len(message.rows) - (rejected - conflicts)
    return Verdicts(
        message.records,
        len(message.rows) - sum(known.values()),
        known.get(Verdict.DUPLICATE, 0) + repeated,
        known.get(Verdict.CORRECTED, 0),
        known.get(Verdict.STALE, 0),
        rejected,
        refusals,
    )


def _starts(decoded: Sequence[Decoded], kind: Kind) -> list[int]:
    """The place of each message's first row among the rows of a kind."""
    rows = [len(parts.rows) if parts.kind is kind else 0 for parts in decoded]
    return [*accumulate(rows, initial=0)]


def _counts(
    keyed: Keyed, verdicts: Mapping[Kind, tuple[int, Iterable[Verdict]]]
) -> Counter[tuple[Kind, Verdict]]:
    counts: Counter[tuple[Kind, Verdict]] = Counter()
    for kind, (accepted, others) in verdicts.items():
        counts[kind, Verdict.ACCEPTED] = accepted
        for verdict, count in Counter(others).items():
            if verdict is not Verdict.REJECTED:
                counts[kind, verdict] = count
    for kind, repeated in keyed.repeated.items():
        counts[kind, Verdict.DUPLICATE] += repeated
    return counts


def _found_in(settled: Settled) -> tuple[int, int]:
    """How many resets and glitches the totals have that those before them had not."""
    resets = glitches = 0
    for total in settled.totals:
        if total.snapshots_count:
            before = settled.known.get(total.day)
            resets += max(0, total.resets - (before.resets if before else 0))
            glitches += max(0, _glitches(total) - _glitches(before))
    return resets, glitches


def _glitches(total: DailyTotal | None) -> int:
    chains = [device.chain for device in total.state.values()] if total else ()
    return sum([chain.glitches for chain in chains if chain is not None])


def _misplaced(messages: Sequence[Message], decoded: Sequence[Decoded]) -> int:
    """Messages with another key than their user: a queue may have sent them to any partition."""
    return sum(
        [
            message.key is not None and message.key != parts.user_id.encode()
            for message, parts in zip(messages, decoded, strict=True)
            if parts.user_id
        ]
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
    starts = _starts(decoded, kind)
    for index, own in groupby(places, lambda place: bisect_right(starts, place) - 1):
        own_rows = [place - starts[index] for place in own]
        message = messages[index]
        for refusal in refusals_of_rows(
            message.value, decoded[index], own_rows, Reason.CONFLICT_DIFFERENT_DATA, "record"
        ):
            yield DeadLetter(refusal, message)
