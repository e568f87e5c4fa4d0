"""The table of DESIGN section 3: identity, verdicts, and idempotency keys."""

import pytest

from ingest.core.dedupe import KeyRef, Verdict, identity_of, judge, measured, with_keys
from ingest.core.records import Event, Kind, Snapshot
from ingest.core.refusals import Decoded, Refusal
from ingest.errors import Reason
from tests.core.messages import activity, event_text, health, read, snapshot_text

EVENT = Event("u1", "phone", "FITBIT", 29_383_230, "2025-11-13", 12, 35_000, 610_000, 3)
SNAPSHOT = Snapshot(
    "u1", "phone", "FITBIT", "2025-11-13", 1_763_028_000_000, 100, 35_000, 610_000, 3
)
LOWER, EQUAL, HIGHER = {"version": 2}, {}, {"version": 4}
SAME_EVENT = [EQUAL, {"source": "GARMIN"}]
OTHER_EVENT = [
    {"steps": 13},
    {"steps": None},
    {"calories_out": 35_001},
    {"calories_out": None},
    {"hr_avg": 610_001},
    {"hr_avg": None},
    {"date": "2025-11-12"},
]
SAME_SNAPSHOT = [EQUAL, {"source": "GARMIN"}, {"hr_avg_session": 1}, {"hr_avg_session": None}]
OTHER_SNAPSHOT = [{"steps_total": 101}, {"calories_out_total": 35_001}]
VERDICTS = [
    *((EVENT, change, Verdict.DUPLICATE) for change in SAME_EVENT),
    *((EVENT, change, Verdict.REJECTED) for change in OTHER_EVENT),
    *((EVENT, {**change, **HIGHER}, Verdict.CORRECTED) for change in SAME_EVENT + OTHER_EVENT),
    *((EVENT, {**change, **LOWER}, Verdict.STALE) for change in SAME_EVENT + OTHER_EVENT),
    *((SNAPSHOT, change, Verdict.DUPLICATE) for change in SAME_SNAPSHOT),
    *((SNAPSHOT, change, Verdict.REJECTED) for change in OTHER_SNAPSHOT),
    *((SNAPSHOT, {**c, **HIGHER}, Verdict.CORRECTED) for c in SAME_SNAPSHOT + OTHER_SNAPSHOT),
    *((SNAPSHOT, {**c, **LOWER}, Verdict.STALE) for c in SAME_SNAPSHOT + OTHER_SNAPSHOT),
]


@pytest.mark.parametrize(("known", "changes", "expected"), VERDICTS)
def test_a_record_whose_identity_is_known_gets_the_verdict_of_the_table(known, changes, expected):
    incoming = known._replace(**changes)
    (judgement,) = judge([(7, incoming, known)])
    assert judgement == (7, incoming, known, expected)


def test_nothing_measured_is_not_the_same_as_zero():
    assert measured(EVENT._replace(steps=None)) != measured(EVENT._replace(steps=0))


IDENTITIES = [
    (EVENT, "user_id", "u2", True),
    (EVENT, "device_id", "watch", True),
    (EVENT, "minute", 1, True),
    (EVENT, "source", "GARMIN", False),
    (EVENT, "date", "2025-11-12", False),
    (EVENT, "steps", 1, False),
    (EVENT, "version", 9, False),
    (SNAPSHOT, "user_id", "u2", True),
    (SNAPSHOT, "device_id", "watch", True),
    (SNAPSHOT, "date", "2025-11-12", True),
    (SNAPSHOT, "timestamp_ms", 1, True),
    (SNAPSHOT, "source", "GARMIN", False),
    (SNAPSHOT, "steps_total", 1, False),
    (SNAPSHOT, "version", 9, False),
]


@pytest.mark.parametrize(("record", "field", "value", "is_other"), IDENTITIES)
def test_identity_is_owner_and_time_and_not_the_source_nor_the_values(
    record, field, value, is_other
):
    changed = record._replace(**{field: value})
    assert (identity_of(changed) != identity_of(record)) is is_other


def test_a_correction_is_what_its_successors_in_one_call_are_compared_with():
    corrected = EVENT._replace(version=5, steps=50)
    incoming = [
        EVENT,  # before the correction
        corrected,
        corrected,
        corrected._replace(steps=51),
        EVENT,
        corrected._replace(version=6, steps=60),
        corrected,
    ]
    judgements = judge([(place, row, EVENT) for place, row in enumerate(incoming)])
    assert [j.verdict for j in judgements] == [
        Verdict.DUPLICATE,
        Verdict.CORRECTED,
        Verdict.DUPLICATE,
        Verdict.REJECTED,
        Verdict.STALE,
        Verdict.CORRECTED,
        Verdict.STALE,
    ]
    assert [j.known for j in judgements[:3]] == [EVENT, EVENT, corrected]


def test_a_correction_says_nothing_of_another_identity():
    other = EVENT._replace(minute=EVENT.minute + 1)
    known = [(0, EVENT._replace(version=9), EVENT), (1, other, other)]
    assert [j.verdict for j in judge(known)] == [Verdict.CORRECTED, Verdict.DUPLICATE]


def test_nothing_known_gets_no_judgement():
    assert judge([]) == []


KEY = KeyRef("u1", "k")
MESSAGE = activity(event_text(), event_text(steps="-1"), event_text(), idempotency_key='"k"')
OTHER = activity(event_text(steps="77"), "{}", idempotency_key='"k"')
PRINT, OTHER_PRINT = str(read(MESSAGE).fingerprint), str(read(OTHER).fingerprint)


def keyed(*texts: bytes, known: dict[KeyRef, str]):
    decoded = [read(text) for text in texts]
    keys = {
        place: KeyRef(d.user_id, d.idempotency_key)
        for place, d in enumerate(decoded)
        if d.idempotency_key is not None
    }
    return with_keys(texts, decoded, keys, known), decoded


def test_a_key_never_seen_is_fresh_and_its_message_stays_as_it_is():
    result, decoded = keyed(MESSAGE, known={})
    assert [*result.decoded] == decoded
    assert result.fresh == {KEY: PRINT}
    assert result.repeated == {}


def test_the_same_key_with_the_same_message_repeats_every_record():
    result, (decoded,) = keyed(MESSAGE, known={KEY: PRINT})
    assert result.repeated == {Kind.ACTIVITY: 3}
    assert result.fresh == {}
    assert [*result.decoded] == [decoded._replace(rows=(), refusals=())]


def test_the_same_key_with_another_message_refuses_the_whole_message():
    result, (decoded,) = keyed(OTHER, known={KEY: PRINT})
    refusal = Refusal(Reason.IDEMPOTENCY_CONFLICT, "idempotency_key", None, 2, OTHER)
    assert [*result.decoded] == [decoded._replace(rows=(), refusals=(refusal,))]
    assert (result.repeated, result.fresh) == ({}, {})


def test_a_key_twice_in_a_batch_is_fresh_once():
    result, (first, _, _) = keyed(MESSAGE, MESSAGE, OTHER, known={})
    assert result.fresh == {KEY: PRINT}
    assert result.repeated == {Kind.ACTIVITY: 3}
    assert result.decoded[0] == first
    assert [len(d.rows) for d in result.decoded] == [2, 0, 0]
    assert [r.reason for r in result.decoded[2].refusals] == ["IDEMPOTENCY_CONFLICT"]
    assert result.decoded[2].refusals[0].original == OTHER


def test_a_known_key_goes_before_one_in_the_batch():
    result, _ = keyed(MESSAGE, OTHER, known={KEY: OTHER_PRINT})
    assert [len(d.refusals) for d in result.decoded] == [1, 0]
    assert (result.repeated, result.fresh) == ({Kind.ACTIVITY: 2}, {})


def test_keys_of_different_users_do_not_meet():
    other_user = OTHER.replace(b'"u1"', b'"u2"')
    result, decoded = keyed(MESSAGE, other_user, known={KeyRef("u3", "k"): "another"})
    assert [*result.decoded] == decoded
    assert {*result.fresh} == {KEY, KeyRef("u2", "k")}


def test_one_key_on_both_topics_is_a_conflict():
    snapshots = health(snapshot_text(), idempotency_key='"k"')
    result, _ = keyed(MESSAGE, snapshots, known={})
    assert [r.reason for r in result.decoded[1].refusals] == ["IDEMPOTENCY_CONFLICT"]


def test_messages_without_a_key_are_left_alone():
    plain = activity(event_text())
    result, decoded = keyed(plain, MESSAGE, plain, known={KEY: PRINT})
    assert (result.decoded[0], result.decoded[2]) == (decoded[0], decoded[2])
    assert isinstance(result.decoded[1], Decoded)
    assert [d.kind for d in result.decoded] == [Kind.ACTIVITY] * 3
