"""The decoder's careful way: parsed JSON, one record at a time, to rows or reasons.

For messages that the straight way in `codec.py` does not take whole. The rules are the same
(`schema.py`, `rows.py`); two kindnesses are added: `null` means absent, and 12.0 is a whole number.
"""

import json
import math
from typing import Any, Final, NamedTuple, cast

from pydantic_core import SchemaValidator, ValidationError, from_json

from ingest.core import schema
from ingest.core.records import Kind, Record
from ingest.core.refusals import BrokenRule, Decoded, Head, refusals_of, refused_whole
from ingest.core.rows import events_of, fingerprint_of, snapshots_of
from ingest.core.timestamps import Window
from ingest.errors import Reason, RecordRefused

Fields = dict[str, Any]
_COUNTS: Final = frozenset({"steps", "steps_total", "version"})
_BEYOND: Final = 10**18  # over every bound, and still a float
_MEASURES: Final = frozenset({"calories_out", "calories_out_total", "hr_avg", "hr_avg_session"})


class _Form(NamedTuple):
    """One of the four forms of a message; `list_field` is empty where the record is inlined."""

    kind: Kind
    told_by: str
    list_field: str


_LISTS: Final = (
    _Form(Kind.ACTIVITY, "events", "events"),
    _Form(Kind.HEALTH, "snapshots", "snapshots"),
)
_INLINED: Final = (_Form(Kind.ACTIVITY, "ts", ""), _Form(Kind.HEALTH, "timestamp", ""))


def kind_and_user(message: bytes) -> tuple[Kind, str] | None:
    """What a message's own fields tell, unchecked otherwise; None where they do not tell it."""
    try:
        fields = _parsed(message)
        kind = _form_told_by(fields, None).kind
    except RecordRefused:
        return None
    user_id = fields.get("user_id")
    return (kind, user_id) if user_id and isinstance(user_id, str) else None


def decode_carefully(message: bytes, kind: Kind | None, window: Window) -> Decoded:
    """The rows and refusals of one message; never raises, whatever the bytes."""
    try:
        fields = _parsed(message)
        form = _form_told_by(fields, kind)
        records = _records_of(fields, form)
    except RecordRefused as refused:
        return refused_whole(message, refused)
    if len(records) > schema.RECORDS_MAX:
        too_many = RecordRefused(Reason.TOO_MANY_RECORDS, form.list_field)
        return refused_whole(message, too_many, len(records))
    try:
        envelope = _validated(schema.ENVELOPE, fields)
    except RecordRefused as refused:
        return refused_whole(message, refused, len(records))
    return _decode_records(message, form, envelope, records, window)


def _parsed(message: bytes) -> Fields:
    try:
        fields = from_json(message)
    except ValueError:  # not UTF-8, not JSON, or nested deeper than the parser goes
        raise RecordRefused(Reason.MALFORMED_MESSAGE, "message") from None
    if not isinstance(fields, dict):
        raise RecordRefused(Reason.MALFORMED_MESSAGE, "message")
    return fields


def _form_told_by(fields: Fields, kind: Kind | None) -> _Form:
    """The one form whose telling field is there; a list goes before inlined fields."""
    for forms in (_LISTS, _INLINED):
        match [f for f in forms if fields.get(f.told_by) is not None and kind in (None, f.kind)]:
            case [form]:
                return form
            case [_, _]:
                break
    raise RecordRefused(Reason.MALFORMED_MESSAGE, "message")


def _records_of(fields: Fields, form: _Form) -> list[Any]:
    if not form.list_field:
        return [{field: value for field, value in fields.items() if field != "idempotency_key"}]
    records = fields[form.list_field]
    if not isinstance(records, list) or not records:
        raise RecordRefused(Reason.MALFORMED_MESSAGE, form.list_field)
    return records


def _decode_records(
    message: bytes, form: _Form, envelope: Fields, records: list[Any], window: Window
) -> Decoded:
    user_id, device_id, source, key = envelope.values()
    rows_of = events_of if form.kind is Kind.ACTIVITY else snapshots_of
    rows: list[Record] = []
    printed: list[Any] = []
    refused: list[BrokenRule] = []
    for index, record in enumerate(records):
        values = None
        try:
            values = _values_of(record, form.kind)
            rows += rows_of(user_id, device_id, source, (values,), window)
        except RecordRefused as error:
            refused.append(BrokenRule(index, error.reason, error.field))
        if key is not None:
            printed.append(json.dumps(record, sort_keys=True) if values is None else values)
    fingerprint = None
    if key is not None:
        fingerprint = fingerprint_of(form.kind, user_id, device_id, source, printed)
    head = Head(user_id, device_id, source, form.list_field)
    refusals = refusals_of(message, head, refused, len(records))
    return Decoded(form.kind, user_id, len(records), rows, refusals, key, fingerprint)


def _values_of(record: Any, kind: Kind) -> list[Any]:
    """The validated values of one record, in the order of its schema."""
    if not isinstance(record, dict):
        raise RecordRefused(Reason.INVALID_RECORD, "record")
    numbers = {field: _number(field, value) for field, value in record.items()}
    validator = schema.EVENT if kind is Kind.ACTIVITY else schema.SNAPSHOT
    return [*_validated(validator, numbers).values()]


def _number(field: str, value: Any) -> Any:
    """A value as the validator knows it: JSON has one kind of number, Python two."""
    if field in _COUNTS and isinstance(value, float) and value.is_integer():
        return int(value)
    if field in _MEASURES and type(value) is int:
        return float(max(-_BEYOND, min(value, _BEYOND)))
    return value


def _validated(validator: SchemaValidator, fields: Fields) -> Fields:
    """The fields as validated; raises with the reason of the first broken rule."""
    present = {field: value for field, value in fields.items() if value is not None}
    try:
        return cast("Fields", validator.validate_python(present))
    except ValidationError as error:
        broken = error.errors(include_url=False, include_context=False)[0]
        field = str(broken["loc"][0])
        raise RecordRefused(_reason_of(field, broken["type"], broken["input"]), field) from None


def _reason_of(field: str, broken_rule: str, value: Any) -> Reason:
    """The reason code of a field's broken rule, as the table in DESIGN section 2 has it."""
    if field in ("user_id", "device_id", "idempotency_key"):
        return Reason.INVALID_ID
    if field in ("ts", "timestamp"):
        return Reason.INVALID_TIMESTAMP
    is_infinite = isinstance(value, float) and not math.isfinite(value)
    is_bound = broken_rule in ("greater_than_equal", "less_than_equal")
    if not (is_bound or is_infinite) or field == "version":
        return Reason.INVALID_RECORD
    if field in ("hr_avg", "hr_avg_session"):
        return Reason.OUT_OF_RANGE_HR
    if broken_rule == "greater_than_equal":
        return Reason.NEGATIVE_VALUE
    return Reason.OUT_OF_RANGE
