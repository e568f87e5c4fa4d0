"""What broken phones send: lines that are no message, and records that no rule lets through."""

from collections.abc import Callable
from typing import Any, Final

import orjson

from ingest.simulation.draws import Draw, below, one_of
from ingest.simulation.fields import Fields, ListField

_BAD_TIMES: Final[tuple[object, ...]] = (
    "2025-01-01T08:00:00",
    "yesterday",
    "1999-12-31T23:59:00Z",
    1735718400,
    None,
)
_BAD_EVENTS: Final[tuple[Fields, ...]] = (
    *({"ts": time} for time in _BAD_TIMES),
    {"steps": -1},
    {"steps": 10_001},
    {"steps": "many"},
    {"steps": 0.5},
    {"calories_out": -0.0001},
    {"calories_out": 100_000.5},
    {"hr_avg": 24.9},
    {"hr_avg": 300},
    {"steps": None, "calories_out": None, "hr_avg": None},
    {"version": -1},
)
_BAD_SNAPSHOTS: Final[tuple[Fields, ...]] = (
    *({"timestamp": time} for time in _BAD_TIMES),
    {"date": "2025-02-30"},
    {"date": "2001-01-01"},
    {"steps_total": -1},
    {"steps_total": 1_000_001},
    {"steps_total": True},
    {"calories_out_total": "1200"},
    {"calories_out_total": None},
    {"hr_avg_session": 10},
)
_NO_RECORDS: Final[tuple[object, ...]] = (None, 7, "steps", [], {})
_BAD_HEADS: Final[tuple[Fields, ...]] = (
    {"user_id": 7},
    {"user_id": ""},
    {"user_id": "user|1"},
    {"device_id": "my watch"},
    {"source": "fitbit"},
    {"events": [], "snapshots": []},
)
_NO_MESSAGES: Final = (
    b"null",
    b"[]",
    b'"hello"',
    b"{}",
    b'{"user_id":"user-0001"}',
    b'{"user_id":"user-0001","events":[]}',
    b'{"user_id":"user-0001","ts":"2025-01-01T08:00:00Z","steps":NaN}',
)


def with_bad_record(draw: Draw, list_field: ListField, records: list[Fields]) -> list[Any]:
    """The records, with one among them that must be refused."""
    place = below(draw, len(records) + 1)
    bad: object = one_of(draw, _NO_RECORDS)
    if draw() < 0.9:  # noqa: PLR2004 - the share that is a record at least
        breaks = _BAD_EVENTS if list_field == "events" else _BAD_SNAPSHOTS
        bad = {**one_of(draw, records), **one_of(draw, breaks)}
    return [*records[:place], bad, *records[place:]]


def bad_line(draw: Draw, message: Fields) -> bytes:
    """One line, made from a good message, that must be refused whole."""
    return one_of(draw, _BAD_LINES)(draw, message)


def _cut_off(draw: Draw, message: Fields) -> bytes:
    line = orjson.dumps(message)
    return line[: 1 + below(draw, len(line) - 1)]


def _noise(draw: Draw, _message: Fields) -> bytes:
    """Bytes that cannot be UTF-8, without a line end."""
    noise = bytes(below(draw, 256) for _ in range(below(draw, 80)))
    return b"\xff" + noise.replace(b"\n", b"\xfe").replace(b"\r", b"\xfe")


def _bad_head(draw: Draw, message: Fields) -> bytes:
    return orjson.dumps({**message, **one_of(draw, _BAD_HEADS)})


def _no_message(draw: Draw, _message: Fields) -> bytes:
    return one_of(draw, _NO_MESSAGES)


_BAD_LINES: Final[tuple[Callable[[Draw, Fields], bytes], ...]] = (
    _cut_off,
    _noise,
    _bad_head,
    _no_message,
)
