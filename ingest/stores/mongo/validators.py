"""DESIGN section 6 as `$jsonSchema`, for servers that are to check it too (`db init --validate`).

The server then refuses a document that another program wrote in another shape. More fields are
allowed: a newer ingest may write them.
"""

from typing import Any, Final

from ingest.core import schema
from ingest.stores.documents import EVENTS, KEYS, SNAPSHOTS, TOTALS

Rule = dict[str, Any]


def _text(pattern: str = "") -> Rule:
    return {"bsonType": "string", **({"pattern": pattern} if pattern else {})}


def _whole(most: int | None = None) -> Rule:
    return {"bsonType": ["int", "long"], "minimum": 0, **({"maximum": most} if most else {})}


def _number(least: float, most: float) -> Rule:
    return {"bsonType": ["double", "int", "long"], "minimum": least, "maximum": most}


def _or_null(rule: Rule) -> Rule:
    types = rule["bsonType"]
    return {**rule, "bsonType": [*(types if isinstance(types, list) else [types]), "null"]}


def _object(**fields: Rule) -> Rule:
    return {"bsonType": "object", "required": [*fields], "properties": fields}


_INSTANT: Final[Rule] = {"bsonType": "date"}
_DATE: Final = _text(r"^\d{4}-\d{2}-\d{2}$")
_ID: Final = _text(schema.ID_PATTERN)
_SOURCE: Final = _text(schema.SOURCE_PATTERN)
_HEART_RATE: Final = _or_null(_number(schema.HEART_RATE_MIN, schema.HEART_RATE_MAX))

VALIDATORS: Final[dict[str, Rule]] = {
    EVENTS: _object(
        _id=_text(),
        user_id=_ID,
        device_id=_ID,
        source=_SOURCE,
        ts=_INSTANT,
        date=_DATE,
        steps=_or_null(_whole(schema.STEPS_PER_MINUTE_MAX)),
        calories_out=_or_null(_number(0, schema.CALORIES_MAX)),
        hr_avg=_HEART_RATE,
        version=_whole(),
    ),
    SNAPSHOTS: _object(
        _id=_text(),
        user_id=_ID,
        device_id=_ID,
        source=_SOURCE,
        date=_DATE,
        timestamp=_INSTANT,
        steps_total=_whole(schema.STEPS_TOTAL_MAX),
        calories_out_total=_number(0, schema.CALORIES_MAX),
        hr_avg_session=_HEART_RATE,
        version=_whole(),
    ),
    TOTALS: _object(
        _id=_text(),
        user_id=_ID,
        date=_DATE,
        steps={"bsonType": ["int", "long"]},
        calories_out={"bsonType": ["double", "int", "long"]},
        hr_avg=_HEART_RATE,
        basis={"enum": ["snapshots", "events", "mixed"]},
        devices={"bsonType": "object"},
        events_count=_whole(),
        snapshots_count=_whole(),
        resets=_whole(),
        revision=_whole(),
        updated_at=_INSTANT,
        state={"bsonType": "object"},
    ),
    KEYS: _object(_id=_text(), user_id=_ID, fingerprint=_text(), created_at=_INSTANT),
}
