"""Numbers out of the rows of a result: costs by record, medians, spreads."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

Row = Mapping[str, Any]


class Figure(NamedTuple):
    """A median, and the lowest and highest of the rounds."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Figure":
        """The figure of at least one value."""
        found = sorted(values)
        return cls(median(found), found[0], found[-1])

    def text(self, digits: int = 1) -> str:
        """The median and the spread."""
        return f"{self.middle:,.{digits}f} ({self.low:,.{digits}f}-{self.high:,.{digits}f})"


def micros(rounds: Sequence[Row], name: str, records: float | str = "records") -> Figure:
    """Microseconds of a record that went into `name`; of `records`, or as many as a round says."""
    return Figure.of(
        own[name] / (own[records] if isinstance(records, str) else records) * 1e6 for own in rounds
    )


def per_second(rounds: Sequence[Row], name: str, records: float | str = "records") -> Figure:
    """Records a second."""
    return Figure.of(
        (own[records] if isinstance(records, str) else records) / own[name] for own in rounds
    )


def floor_micros(rounds: Sequence[Row]) -> Figure:
    """What the libraries alone take of a record of a backend's stream."""
    return Figure.of(
        1e6 * own["pydantic"] / own["records"]
        + 1e6 * (own.get("bson", 0.0) + own.get("driver", 0.0)) / own.get("floor_records", 1)
        for own in rounds
    )
