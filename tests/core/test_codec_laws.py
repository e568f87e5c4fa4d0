"""Laws of the decoder: it reads back what was written, and reads anything without raising."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.core.careful import decode_carefully
from ingest.core.codec import decode, encode
from ingest.core.records import Kind, Record
from ingest.core.refusals import Decoded, record_texts, refusals_of_rows
from ingest.core.timestamps import Window
from ingest.errors import Reason
from tests.core.messages import LATEST_MS, activity, event_text, read, reasons
from tests.core.strategies import FAR_MS, mutated, one_message, spaces, texts

kinds = st.sampled_from([None, *Kind])


@given(one_message(), st.none() | st.text('aZ0 |~"', min_size=1, max_size=255))
def test_what_is_encoded_decodes_to_the_same_rows(rows_and_offset: tuple[list[Record], int], key):
    rows, offset = rows_and_offset
    text = encode(rows, offset_minutes=offset, idempotency_key=key)
    decoded = decode(text, None, Window(0, FAR_MS))
    assert reasons(decoded) == []
    assert [*decoded.rows] == rows
    assert (decoded.idempotency_key, decoded.user_id) == (key, rows[0].user_id)
    assert (decoded.fingerprint is None) == (key is None)


def adds_up(decoded: Decoded) -> bool:
    refused = sum(refusal.records for refusal in decoded.refusals)
    return decoded.records >= 1 and len(decoded.rows) + refused == decoded.records


@given(st.binary(max_size=200), kinds)
def test_any_bytes_decode_to_verdicts_that_add_up(text, kind):
    assert adds_up(decode(text, kind, Window(0, FAR_MS)))


@settings(max_examples=300)
@given(mutated(), kinds)
def test_any_mutation_of_a_message_decodes_to_verdicts_that_add_up(text, kind):
    assert adds_up(decode(text, kind, Window(0, FAR_MS)))


@settings(max_examples=300)
@given(texts, kinds)
def test_any_message_of_odd_values_decodes_to_verdicts_that_add_up(text, kind):
    decoded = decode(text, kind, Window(0, LATEST_MS))
    assert adds_up(decoded)
    places = [refusal.place for refusal in decoded.refusals]
    assert len({*places}) == len(places)


@settings(max_examples=300)
@given(texts | mutated(), kinds)
def test_the_straight_way_says_what_the_careful_way_says(text, kind):
    straight = decode(text, kind, Window(0, LATEST_MS))
    careful = decode_carefully(text, kind, Window(0, LATEST_MS))
    assert [*straight.rows] == [*careful.rows]
    assert [*straight.refusals] == [*careful.refusals]
    assert straight._replace(rows=(), refusals=()) == careful._replace(rows=(), refusals=())


@settings(max_examples=300)
@given(texts, kinds)
def test_a_refused_record_sent_again_is_refused_again_for_the_same_reason(text, kind):
    for refusal in read(text, kind).refusals:
        (again,) = read(refusal.original, kind).refusals
        assert (again.reason, again.field) == (refusal.reason, refusal.field)
        assert again.original == refusal.original


letters = st.text('ab"\\/[]{},: \n\x00é\u2028😀', max_size=5)  # what a scanner may trip on
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | letters,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(letters, inner, max_size=2),
    max_leaves=4,
)


@given(
    records=st.lists(json_values, max_size=4),
    extras=st.lists(st.tuples(letters, json_values), max_size=3),
    style=st.fixed_dictionaries(
        {"indent": st.sampled_from([None, 0, 1, "\t"]), "ensure_ascii": st.booleans()}
    ),
    around=spaces,
)
def test_the_texts_of_records_are_the_slices_they_stand_in(records, extras, style, around):
    half = len(extras) // 2
    fields = {**dict(extras[:half]), "events": records}
    fields |= {name: extra for name, extra in extras[half:] if name != "events"}
    body = json.dumps(fields, **style)
    text = (around + body + around).encode()
    slices = record_texts(text, "events")
    assert [json.loads(part) for part in slices] == records
    assert all(part in text and part == part.strip() for part in slices)


@given(st.lists(st.booleans(), min_size=1, max_size=8).filter(any), st.data())
def test_a_row_that_conflicts_keeps_the_bytes_of_its_record(is_good, data):
    records = [
        event_text(steps=str(n) if good else "-1", note=f'"{n}"') for n, good in enumerate(is_good)
    ]
    text = activity(*records)
    decoded = read(text)
    conflicting = data.draw(st.sets(st.integers(0, sum(is_good) - 1), min_size=1).map(sorted))
    refusals = refusals_of_rows(
        text, decoded, conflicting, Reason.CONFLICT_DIFFERENT_DATA, "record"
    )
    places = [[n for n, good in enumerate(is_good) if good][row] for row in conflicting]
    assert [refusal.place for refusal in refusals] == places
    assert {(r.reason.value, r.field, r.records) for r in refusals} == {
        ("CONFLICT_DIFFERENT_DATA", "record", 1)
    }
    for refusal, row in zip(refusals, conflicting, strict=True):
        assert [*read(refusal.original).rows] == [decoded.rows[row]]
    if len(is_good) == 1:
        assert refusals[0].original == text
