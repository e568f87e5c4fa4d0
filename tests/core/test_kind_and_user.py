"""What the fields of a message tell of its kind and user, before anything is checked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.core.careful import kind_and_user
from ingest.core.records import Kind

ACTIVITY, HEALTH = (Kind.ACTIVITY, "u1"), (Kind.HEALTH, "u1")


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ('{"user_id":"u1","events":[]}', ACTIVITY),
        ('{"user_id":"u1","snapshots":[{}]}', HEALTH),
        ('{"user_id":"u1","ts":"x"}', ACTIVITY),
        ('{"user_id":"u1","timestamp":"x"}', HEALTH),
        ('{"user_id":"u1","events":[{"steps":NaN}]}', ACTIVITY),  # its neighbours are still good
        ('{"user_id":"u1","events":[],"timestamp":"x"}', ACTIVITY),
        ('{"user_id":"u1","events":null,"snapshots":[]}', HEALTH),
        ('{"user_id":"u1","events":[],"snapshots":[]}', None),
        ('{"user_id":"u1"}', None),
        ('{"user_id":"","events":[]}', None),
        ('{"user_id":1,"events":[]}', None),
        ('{"events":[]}', None),
        ('["u1"]', None),
        ('{"user_id":"u1","events":[', None),
        ("", None),
    ],
)
def test_a_message_tells_its_kind_and_user(message: str, told: tuple[Kind, str] | None) -> None:
    assert kind_and_user(message.encode()) == told


def test_a_user_that_is_no_id_is_still_a_key() -> None:
    message = '{"user_id":"\u00e4|b","events":[]}'.encode()
    assert kind_and_user(message) == (Kind.ACTIVITY, "\u00e4|b")


@given(st.binary())
def test_whatever_the_bytes_it_tells_or_tells_nothing(message: bytes) -> None:
    told = kind_and_user(message)
    assert told is None or told[1].encode()
