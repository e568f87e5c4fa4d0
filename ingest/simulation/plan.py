"""How much is simulated, and how much of it goes wrong."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

FIRST_DATE: Final = date(2025, 1, 1)
DAYS_MAX: Final = 27_000  # every timestamp stays before 2100


@dataclass(frozen=True, slots=True)
class Plan:
    """What to simulate; the same plan gives the same bytes.

    The rates go from 0 to 1: `duplicates`, `late`, `corrections` and `malformed` are shares of the
    messages sent, `resets` is the share of a counter's days on which it restarts. They change what
    arrives; of them only `resets` changes the right totals. Raises ValueError, one line that names
    the field.
    """

    users: int = 10
    days: int = 7
    devices: int = 2
    seed: int = 0
    duplicates: float = 0
    late: float = 0
    resets: float = 0
    corrections: float = 0
    malformed: float = 0

    def __post_init__(self) -> None:
        for field in ("users", "days", "devices"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field} must be at least 1")
        if self.days > DAYS_MAX:
            raise ValueError(f"days must be at most {DAYS_MAX}")
        for field in ("duplicates", "late", "resets", "corrections", "malformed"):
            if not 0 <= getattr(self, field) <= 1:
                raise ValueError(f"{field} must be between 0 and 1")


def dates_of(plan: Plan) -> Iterator[date]:
    """The civil dates of every user, in order."""
    return (FIRST_DATE + timedelta(days=number) for number in range(plan.days))
