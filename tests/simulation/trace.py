"""What happened in a run, in order; lines become text only when they are wanted."""

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any


class Trace:
    """Times, who, what, and the values that fill it in."""

    def __init__(self) -> None:
        self._lines: list[tuple[float, str, str, tuple[Any, ...]]] = []

    def add(self, at: float, who: str, what: str, *values: Any) -> None:
        self._lines.append((at, who, what, values))

    def __len__(self) -> int:
        return len(self._lines)

    def lines(self) -> Iterator[str]:
        for at, who, what, values in self._lines:
            yield f"{at:9.3f} {who:<7} {what} {' '.join(map(_shown, values))}".rstrip()

    @property
    def digest(self) -> str:
        text = "\n".join(self.lines())
        return blake2b(text.encode(), digest_size=16).hexdigest()


def _shown(value: Any) -> str:
    """A value in an order of its own: the rows of a call may come from a set."""
    if isinstance(value, dict):
        named = [f"{_row(k)}:{value[k]}" if _is_plain(value[k]) else _row(k) for k in value]
        return "{" + " ".join(sorted(named)) + "}"
    if isinstance(value, list | set | frozenset):
        return "[" + " ".join(sorted(map(_row, value))) + "]"
    return _row(value)


def _is_plain(value: Any) -> bool:
    return isinstance(value, int | str | list)


def _row(value: Any) -> str:
    if hasattr(value, "revision"):
        return f"{value.day.user_id}|{value.day.date}r{value.revision}={value.steps}"
    if hasattr(value, "refusal"):
        letter = value.refusal
        return f"{letter.reason}@{value.message.partition}/{value.message.offset}.{letter.place}"
    if hasattr(value, "minute"):
        return f"{value.user_id}|{value.device_id}|e{value.minute % 1440}v{value.version}"
    if hasattr(value, "timestamp_ms"):
        time = value.timestamp_ms // 60_000 % 1440
        return f"{value.user_id}|{value.device_id}|s{time}v{value.version}={value.steps_total}"
    if isinstance(value, tuple):
        return "|".join(map(str, value))
    return str(value)
