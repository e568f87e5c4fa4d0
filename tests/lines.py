"""Messages for the commands: one line each, of a user's minutes and snapshots on 2025-11-13."""

from typing import Any

import orjson

DATE = "2025-11-13"


def event(minute: int = 0, steps: Any = 10, **fields: Any) -> dict[str, Any]:
    """An event in a minute of the day."""
    return {"ts": f"{DATE}T{minute // 60:02d}:{minute % 60:02d}:00Z", "steps": steps, **fields}


def snapshot(hour: int = 0, steps: Any = 100, calories_out: Any = 10.5) -> dict[str, Any]:
    """A snapshot in an hour of the day."""
    return {
        "date": DATE,
        "timestamp": f"{DATE}T{hour:02d}:30:00Z",
        "steps_total": steps,
        "calories_out_total": calories_out,
    }


def events(*records: Any, user: str = "u1", **fields: Any) -> bytes:
    """A line with these events."""
    return _line({"user_id": user, **fields, "events": records})


def snapshots(*records: Any, user: str = "u1", **fields: Any) -> bytes:
    """A line with these snapshots."""
    return _line({"user_id": user, **fields, "snapshots": records})


def _line(message: dict[str, Any]) -> bytes:
    return orjson.dumps(message) + b"\n"
