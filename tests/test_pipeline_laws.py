"""Any order, any repetition, any crash: one verdict each, and the totals of the log (P1-P3)."""

from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.core.totals import is_same
from ingest.errors import BatchRetryable
from ingest.outcome import verdicts_by_message
from ingest.stores.memory import memory_store
from tests.batch_strategies import sent_batches, sliced, thorough, values_of, written
from tests.batches import (
    TTL,
    VERDICTS,
    Model,
    Sent,
    adds_up,
    assert_right,
    batch,
    log_of,
    messages_of,
    pipeline_on,
    run_until_done,
    totals_of,
)
from tests.core.strategies import distinct_records, identity, rules
from tests.fakes import Failure, Mode, RecordingPublisher, through

modes = st.sampled_from(Mode)


@settings(thorough, max_examples=150)
@given(distinct_records, rules, st.integers(1, 5), st.data())
async def test_any_order_repetition_messages_and_batches_give_the_totals_of_the_records(
    records, by, day_cache_size, data
):
    accepted = [written(record) for record in records]
    repeated = data.draw(st.lists(st.sampled_from(accepted), max_size=10)) if accepted else []
    store, publisher = memory_store(TTL), RecordingPublisher()
    pipeline = pipeline_on(store, publisher, rules=by, day_cache_size=day_cache_size)
    values = messages_of(data.draw(st.permutations([*accepted, *repeated])))
    counts = Counter()
    for own in sliced(data, values):
        outcome = await pipeline.run(batch(*own))
        assert adds_up(outcome)
        assert len(pipeline.cache) <= day_cache_size
        counts.update({name: getattr(outcome, name) for name in VERDICTS})
        await assert_right(store, publisher, by)
    assert Counter(await log_of(store)) == Counter(accepted)
    assert +counts == +Counter(accepted=len(accepted), duplicates=len(repeated))


@settings(thorough, max_examples=100)
@given(st.lists(sent_batches(4), min_size=1, max_size=3), st.integers(1, 3))
async def test_every_record_gets_the_one_verdict_that_the_plain_model_gives_it(
    batches, day_cache_size
):
    store, publisher, model = memory_store(TTL), RecordingPublisher(), Model()
    pipeline = pipeline_on(store, publisher, day_cache_size=day_cache_size)
    for messages in batches:
        before = len(await log_of(store))
        sent = batch(*values_of(messages))
        outcome = await pipeline.run(sent)
        verdicts = model.take(messages)
        expected = Counter(verdict for own in verdicts for verdict in own)
        for told, own in zip(verdicts_by_message(sent, outcome), verdicts, strict=True):
            assert told.records == len(own)
            assert +Counter({name: getattr(told, name) for name in VERDICTS}) == Counter(own)
            assert sum(refusal.records for refusal in told.refusals) == told.rejected
        assert adds_up(outcome)
        assert +Counter({name: getattr(outcome, name) for name in VERDICTS}) == expected
        assert len(await log_of(store)) - before == outcome.accepted
        assert refused_records(messages, outcome.dead_letters) == Counter(
            (offset, place)
            for offset, own in enumerate(verdicts)
            for place, verdict in enumerate(own)
            if verdict == "rejected"
        )
        await assert_right(store, publisher)
    assert Counter(await log_of(store)) == Counter(model.known.values())


def refused_records(messages, dead_letters) -> Counter:
    """Offset and place of each record in these dead letters."""
    return Counter(
        (letter.message.offset, place)
        for letter in dead_letters
        for place in (
            range(len(messages[letter.message.offset].rows))
            if letter.refusal.place is None and letter.refusal.records > 1
            else [letter.refusal.place or 0]
        )
    )


def always_refused(messages: Sequence[Sent], before: Model) -> set[tuple[int, int]]:
    """The records that no redelivery can make anything but refused.

    A conflict with a version that is itself corrected later is stale once it is redelivered.
    """
    model = Model()
    model.known, model.keys = {**before.known}, {**before.keys}
    verdicts = model.take(messages)
    return {
        (offset, place)
        for offset, (message, own) in enumerate(zip(messages, verdicts, strict=True))
        for place, (row, verdict) in enumerate(zip(message.rows, own, strict=True))
        if verdict == "rejected"
        and (row is None or own == ["rejected"] * len(own) or is_latest(row, model))
    }


def is_latest(row, model: Model) -> bool:
    known = model.known.get(identity(row))
    return known is not None and known.version == row.version


@pytest.mark.parametrize("is_taken_over", [False, True], ids=["same worker", "another worker"])
@settings(thorough, max_examples=25)
@given(sent_batches(3), sent_batches(3), sent_batches(2), st.integers(1, 3))
async def test_a_failure_at_any_call_and_redelivery_come_to_what_no_failure_comes_to(
    is_taken_over, earlier, failing, later, day_cache_size
):
    model, right = Model(), memory_store(TTL)
    unfailing = pipeline_on(right, RecordingPublisher())
    for messages in (earlier, failing, later):
        await unfailing.run(batch(*values_of(messages)))
    model.take(earlier)
    refused = always_refused(failing, model)
    expected_log, expected = Counter(await log_of(right)), await totals_of(right)
    for at, mode in every_failure():
        store, publisher, failure = memory_store(TTL), RecordingPublisher(), Failure({})
        pipeline = pipeline_on(*through(store, publisher, failure), day_cache_size=day_cache_size)
        await pipeline.run(batch(*values_of(earlier)))
        publisher.dead_letters.clear()
        failure.calls, failure.at = 0, {at: mode}
        try:
            outcome = await pipeline.run(batch(*values_of(failing)))
        except BatchRetryable:
            outcome = None
        failure.at = {}
        if is_taken_over:
            pipeline = pipeline_on(store, publisher, day_cache_size=day_cache_size)
        final = outcome or await pipeline.run(batch(*values_of(failing)))
        assert adds_up(final)
        assert {*refused_records(failing, publisher.dead_letters)} >= refused
        await assert_right(store, publisher)
        await pipeline.run(batch(*values_of(later)))
        await assert_right(store, publisher)
        assert Counter(await log_of(store)) == expected_log
        totals = await totals_of(store)
        assert all(is_same(totals.get(day), expected.get(day)) for day in {*totals, *expected})
        if outcome is not None:
            break  # the batch makes fewer calls than that


def every_failure() -> Iterator[tuple[int, Mode]]:
    for at in range(1, 100):
        for mode in Mode:
            yield at, mode


@settings(thorough, max_examples=150)
@given(
    st.lists(sent_batches(3), min_size=1, max_size=3),
    st.dictionaries(st.integers(1, 40), modes, max_size=15),
    rules,
    st.data(),
)
async def test_many_failures_and_restarts_still_end_in_the_totals_of_the_log(
    batches, failures, by, data
):
    store, publisher, model = memory_store(TTL), RecordingPublisher(), Model()
    failing = through(store, publisher, Failure(failures))
    pipeline = pipeline_on(*failing, rules=by)
    for messages in batches:
        if data.draw(st.booleans()):
            pipeline = pipeline_on(*failing, rules=by)
        assert adds_up(await run_until_done(pipeline, values_of(messages)))
        model.take(messages)
        await assert_right(store, publisher, by)
    assert Counter(await log_of(store)) == Counter(model.known.values())
