"""What is kept of a refused record: the reason, the field, and bytes that can be sent again."""

import json
from collections.abc import Sequence
from typing import Final, NamedTuple

import orjson

from ingest.core.records import Event, Kind, Record
from ingest.errors import Reason, RecordRefused


class Refusal(NamedTuple):
    """Records that were refused together, and the bytes to keep of them.

    `place` is the record's in its message, None where the message was refused whole.
    `original` is the message as it came; of a message with more than one record, it is the
    refused record's own bytes in a message of one.
    """

    reason: Reason
    field: str
    place: int | None
    records: int
    original: bytes


class Decoded(NamedTuple):
    """What one message holds: `records` received, its valid rows in order, and the refusals.

    `kind` is None, and `user_id` empty, where the message was refused whole.
    """

    kind: Kind | None
    user_id: str
    records: int
    rows: Sequence[Record]
    refusals: Sequence[Refusal]
    idempotency_key: str | None
    fingerprint: str | None


def refused_whole(message: bytes, refused: RecordRefused, records: int = 1) -> Decoded:
    """A message refused whole; one that cannot be read counts as one record."""
    refusal = Refusal(refused.reason, refused.field, None, records, message)
    return Decoded(None, "", records, (), (refusal,), None, None)


class BrokenRule(NamedTuple):
    """A record's place in its message and why it was refused.

    Kept in place of the error: an error kept in a list of the frame that caught it is a cycle,
    which would hold the whole message until the next collection.
    """

    place: int
    reason: Reason
    field: str


class Head(NamedTuple):
    """What a record of a message shares with its neighbours, and the list they stand in."""

    user_id: str
    device_id: str
    source: str
    list_field: str

    def message_of_one(self, record: bytes) -> bytes:
        """A message of just this record, its bytes untouched, without the idempotency key.

        A few hundred bytes longer than the record at most, so that a message of 10,000 bad
        records cannot grow to gigabytes of dead letters.
        """
        *shared, list_field = self
        opening = orjson.dumps(dict(zip(self._fields, shared, strict=False)))[:-1]
        return opening + f',"{list_field}":['.encode() + record + b"]}"


def refusals_of(
    message: bytes, head: Head, refused: Sequence[BrokenRule], records: int
) -> list[Refusal]:
    """The refusals of single records of a message of `records`."""
    if records == 1 or not refused:
        return [Refusal(reason, field, place, 1, message) for place, reason, field in refused]
    texts = record_texts(message, head.list_field)
    return [
        Refusal(reason, field, place, 1, head.message_of_one(texts[place]))
        for place, reason, field in refused
    ]


def refusals_of_rows(
    message: bytes, decoded: Decoded, rows: Sequence[int], reason: Reason, field: str
) -> list[Refusal]:
    """The refusals of rows of a message that decoded well, for what else is known.

    `rows` are places in `decoded.rows`, which skips the records that were refused before.
    """
    skipped = {refusal.place for refusal in decoded.refusals}
    places = [index for index in range(decoded.records) if index not in skipped]
    broken = [BrokenRule(places[row], reason, field) for row in rows]
    first = decoded.rows[0]
    list_field = "events" if isinstance(first, Event) else "snapshots"
    head = Head(first.user_id, first.device_id, first.source, list_field)
    return refusals_of(message, head, broken, decoded.records)


def record_texts(message: bytes, list_field: str) -> list[bytes]:
    """The bytes of each record in a message's list, as they stand in the message."""
    text = message.decode()
    texts: list[bytes] = []
    position = _after_space(text, 0) + 1
    while text[position - 1] != "}":
        name, position = _SCAN.raw_decode(text, _after_space(text, position))
        position = _after_space(text, _after_space(text, position) + 1)
        if name == list_field and text[position] == "[":
            texts, position = _element_texts(text, position)
        else:
            _, position = _SCAN.raw_decode(text, position)
        position = _after_space(text, position) + 1
    return texts


def _element_texts(text: str, position: int) -> tuple[list[bytes], int]:
    """The texts of a list's elements, and the position behind the list."""
    texts: list[bytes] = []
    position = _after_space(text, position + 1)
    if text[position] == "]":
        return texts, position + 1
    while text[position - 1] != "]":
        start = _after_space(text, position)
        _, position = _SCAN.raw_decode(text, start)
        texts.append(text[start:position].encode())
        position = _after_space(text, position) + 1
    return texts, position


def _after_space(text: str, position: int) -> int:
    while text[position] in " \t\n\r":
        position += 1
    return position


# Numbers stay text: how long they are is no concern of a scan for where they end.
_SCAN: Final = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str, strict=False)
