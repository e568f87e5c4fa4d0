"""What hypothesis draws for the pipeline: messages full of collisions, batches of any size."""

from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from ingest.core.records import Event, Record, Snapshot
from tests.batches import Sent
from tests.core.strategies import (
    DATES,
    MINUTE_MS,
    NOVEMBER_13,
    few_devices,
    few_sources,
    few_totals,
    few_users,
)

thorough = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
THREE_DATES = ("2025-11-12", *DATES)  # what an offset can make of a minute early on the 13th


def written(record: Record) -> Record:
    """The record, its minute one later, so that some offset gives it either date."""
    return record._replace(minute=record.minute + 1) if isinstance(record, Event) else record


@st.composite
def sent_messages(draw: st.DrawFn) -> Sent:
    """A message of few identities, so that batches are full of corrections and conflicts."""
    owner = draw(few_users), draw(few_devices), draw(few_sources)
    crowded_events = st.builds(
        Event,
        *map(st.just, owner),
        st.sampled_from([NOVEMBER_13 + minute for minute in (1, 2, 59, 60)]),
        st.sampled_from(THREE_DATES),
        st.integers(0, 2),
        st.none() | st.just(5_000),
        st.none() | st.integers(250_000, 250_001),
        st.sampled_from([0, 0, 1, 2]),
    )
    crowded_snapshots = st.builds(
        Snapshot,
        *map(st.just, owner),
        st.sampled_from(DATES),
        st.integers(1, 4).map(lambda n: (NOVEMBER_13 + n) * MINUTE_MS),
        few_totals,
        few_totals,
        st.none(),
        st.sampled_from([0, 0, 1, 2]),
    )
    one_kind = draw(st.sampled_from([crowded_events, crowded_snapshots]))
    rows = [*draw(st.lists(one_kind, min_size=1, max_size=4))]
    for place in draw(st.lists(st.integers(0, 4), max_size=1)):
        rows.insert(place, None)
    return Sent(owner, rows, draw(st.sampled_from([None, None, "k1", "k2"])))


@st.composite
def sent_batches(draw: st.DrawFn, max_size: int = 5) -> list[Sent]:
    """Some messages, some of them sent again."""
    messages = draw(st.lists(sent_messages(), min_size=1, max_size=max_size))
    return messages + draw(st.lists(st.sampled_from(messages), max_size=2))


def values_of(messages: Sequence[Sent]) -> list[bytes]:
    return [message.value for message in messages]


def sliced(data: st.DataObject, things: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """The things in order, in slices of any size."""
    left = [*things]
    while left:
        size = data.draw(st.integers(1, len(left)))
        yield left[:size]
        del left[:size]
