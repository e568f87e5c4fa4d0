"""Numbers out of the rows of a result: costs by record, medians, spreads."""

from collections.abc import Iterable, Mapping, Sequence
from math import log
from statistics import median
from typing import Any, Final, NamedTuple

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


class Part(NamedTuple):
    """A stage of the worker: microseconds of a record, and those of the library alone."""

    name: str
    micros: float
    floor_name: str | None = None
    floor: float | None = None


def parts_of(rows: Sequence[Row]) -> tuple[Figure, list[Part]]:
    """What a record costs in all, and by stage, out of the readers' rows of one size."""
    by_reader = {row["reader"]: row for row in rows}
    worker = by_reader["worker on MongoDB"]
    records = worker["records"]

    def spent(name: str) -> float:
        return micros(worker["rounds"], name, records).middle

    def floor(name: str) -> float:
        return micros(worker["floors"], name, records).middle

    def read(reader: str) -> float:
        return micros(by_reader[reader]["rounds"], "cpu", records).middle

    total = micros(worker["rounds"], "cpu", records)
    stages = ("decode", "judge", "append", "read again", "fold", "save", "publish", "outcome")
    driver = spent("append") - spent("documents")
    parts = [
        Part("transport: Faust", read("transport"), "aiokafka alone", read("getmany")),
        Part("decode", spent("decode"), "pydantic alone", floor("pydantic")),
        Part("judge", spent("judge")),
        Part("append: documents", spent("documents")),
        Part("append: driver", driver, "bson + driver alone", floor("bson") + floor("driver")),
        Part("read again", spent("read again")),
        Part("fold", spent("fold")),
        Part("save", spent("save"), "driver alone", floor("driver_save")),
        Part("publish", spent("publish"), "aiokafka alone", floor("kafka_client_publish")),
        Part("outcome, dead letters", spent("outcome")),
        Part("between the steps", spent("pipeline") - sum(map(spent, stages))),
        Part("acknowledge", spent("acknowledge")),
    ]
    rest = total.middle - sum(part.micros for part in parts)
    parts.append(Part("sockets, loop, metrics, waiting", rest))
    return total, parts


NOISE: Final = 1.3


def growth_of(rows: Sequence[Row]) -> str:
    """How much more a record costs at the largest size than at the one before it."""
    if len(rows) < 2:
        return ""
    before, last = (micros(row["rounds"], "pipeline").middle for row in rows[-2:])
    smaller, larger = (max(2, row["size"]) for row in rows[-2:])
    allowed = NOISE * log(larger) / log(smaller)
    verdict = "no faster than the logarithm" if last / before <= allowed else "FASTER than that"
    return f"{last / before:.2f} times, {verdict}"
