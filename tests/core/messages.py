"""Messages as JSON text, so that a test decides every byte of a value."""

from collections.abc import Mapping
from datetime import UTC, datetime

from ingest.core.codec import decode
from ingest.core.records import Kind
from ingest.core.refusals import Decoded
from ingest.core.timestamps import Window

NOW = datetime(2025, 11, 13, 12, tzinfo=UTC)
LATEST_MS = int(datetime(2025, 11, 14, 12, tzinfo=UTC).timestamp() * 1000)  # now + 24 h
TS = '"2025-11-13T00:30:00Z"'
EVENT = {"ts": TS, "steps": "12"}
SNAPSHOT = {
    "date": '"2025-11-13"',
    "timestamp": '"2025-11-13T10:00:00Z"',
    "steps_total": "100",
    "calories_out_total": "10.5",
}
RECORD = {Kind.ACTIVITY: EVENT, Kind.HEALTH: SNAPSHOT}
LIST_FIELD = {Kind.ACTIVITY: "events", Kind.HEALTH: "snapshots"}
ABSENT = "absent"


def object_text(fields: Mapping[str, str]) -> str:
    """A JSON object of fields whose values are JSON text; an ABSENT one is left out."""
    present = (f'"{name}":{value}' for name, value in fields.items() if value != ABSENT)
    return "{" + ",".join(present) + "}"


def message(kind: Kind, *records: str, **envelope: str) -> bytes:
    """A message whose records, each a JSON text, stand in a list."""
    fields = {"user_id": '"u1"', **envelope, LIST_FIELD[kind]: "[" + ",".join(records) + "]"}
    return object_text(fields).encode()


def activity(*records: str, **envelope: str) -> bytes:
    return message(Kind.ACTIVITY, *records, **envelope)


def health(*records: str, **envelope: str) -> bytes:
    return message(Kind.HEALTH, *records, **envelope)


def inlined(record: Mapping[str, str], **envelope: str) -> bytes:
    """A message of one record whose fields stand beside the envelope's."""
    return object_text({"user_id": '"u1"', **envelope, **record}).encode()


def event_text(**changes: str) -> str:
    return object_text({**EVENT, **changes})


def snapshot_text(**changes: str) -> str:
    return object_text({**SNAPSHOT, **changes})


def read(text: bytes, kind: Kind | None = None) -> Decoded:
    return decode(text, kind, Window(0, LATEST_MS))


def reasons(decoded: Decoded) -> list[tuple[str, str]]:
    """The reason and the field of each refusal."""
    return [(refusal.reason.value, refusal.field) for refusal in decoded.refusals]
