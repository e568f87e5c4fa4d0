"""A month of real Fitbit data: every day must be the sum that was worked out beside the data.

What the columns mean, and what was changed for the message format: `examples/fitbit/README.md`.
"""

import csv
import gzip
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from ingest.core.records import Day
from ingest.core.totals import DailyTotal
from ingest.embedded import pipeline_of, rules_of
from ingest.ports import Message
from ingest.queues.memory import MemoryTopics
from ingest.replay import Summary, all_deltas, replay, totals_of
from ingest.settings import Settings
from ingest.stores.memory import memory_store

DEFAULTS = Settings.model_construct()  # whatever the environment says
FOLDER = Path(__file__).parent.parent / "examples" / "fitbit"
MINUTES, SNAPSHOTS, LATE = (
    str(FOLDER / f"{name}.ndjson.gz") for name in ("minutes", "snapshots", "late-minutes")
)


class Sum(NamedTuple):
    """What a day comes to."""

    steps: int
    calories_out: Decimal


class Replayed(NamedTuple):
    """The totals of a replay, its deltas summed by day, and its summary."""

    totals: Mapping[Day, Sum]
    deltas: Mapping[Day, Sum]
    summary: Summary


def rows_of(name: str) -> dict[Day, dict[str, str]]:
    with (FOLDER / name).open(newline="") as file:
        return {Day(row["user_id"], row["date"]): row for row in csv.DictReader(file)}


@cache
def expected() -> Mapping[Day, Sum]:
    """The days with minutes in the first export."""
    return {
        day: Sum(int(row["minute_steps_sum"]), Decimal(row["minute_calories_sum"]))
        for day, row in rows_of("expected_daily.csv").items()
        if row["class"] != "no_minutes"
    }


@cache
def expected_with_late_minutes() -> Mapping[Day, Sum]:
    """All days, those with late minutes as they are in the end; late minutes have no calories."""
    nothing = Sum(0, Decimal())
    revised = {
        day: Sum(int(row["final_minute_steps"]), expected().get(day, nothing).calories_out)
        for day, row in rows_of("revisions.csv").items()
    }
    return {**expected(), **revised}


@cache
def lines_of(name: str) -> Sequence[bytes]:
    return gzip.decompress(Path(name).read_bytes()).splitlines()


async def replayed(*files: str) -> Replayed:
    store = memory_store(DEFAULTS.idempotency_ttl)
    summary = await replay(
        files,
        store,
        DEFAULTS,
        write_dead_letter=lambda letter: pytest.fail(f"refused: {letter['reason']}"),
        on_read=lambda _: None,
    )
    totals = {total.day: sum_of(total) async for total in totals_of(summary.users, store)}
    deltas = dict[Day, Sum]()
    async for delta in all_deltas(summary.users, store, rules_of(DEFAULTS).snapshots):
        day = Day(delta.snapshot.user_id, delta.snapshot.date)
        steps, calories_out = deltas.get(day, (0, Decimal()))
        added = Decimal(delta.calories_out).scaleb(-4)
        deltas[day] = Sum(steps + delta.steps, calories_out + added)
    return Replayed(totals, deltas, summary)


def sum_of(total: DailyTotal) -> Sum:
    return Sum(total.steps, Decimal(total.calories_out).scaleb(-4))


def shuffled_into(path: Path, seed: int, *files: str, times: int = 1) -> str:
    """A file of all the messages of these files, each so many times, in any order."""
    lines = [line for name in files for line in lines_of(name)] * times
    Random(seed).shuffle(lines)  # noqa: S311 - a test's order, no secret
    path.write_bytes(b"\n".join(lines))
    return str(path)


def test_the_day_without_minutes_is_the_only_one_that_is_not_expected() -> None:
    days = rows_of("expected_daily.csv")
    assert len(days) == 155
    (day,) = days.keys() - expected().keys()
    assert days[day]["minutes"] == "0"


@pytest.mark.parametrize("files", [[MINUTES], [SNAPSHOTS], [MINUTES, SNAPSHOTS]], ids=len)
async def test_every_day_is_the_sum_of_its_minutes(files: list[str]) -> None:
    found = await replayed(*files)
    assert found.totals == expected()
    assert found.summary.accepted == found.summary.records > 0


async def test_the_deltas_of_every_day_add_up_to_the_sum_of_its_minutes() -> None:
    found = await replayed(SNAPSHOTS)
    assert found.deltas == expected()
    assert found.summary.records == 3654


async def test_three_times_in_any_order_is_the_same_and_two_thirds_are_duplicates(
    tmp_path: Path,
) -> None:
    name = shuffled_into(tmp_path / "shuffled", 1, MINUTES, SNAPSHOTS, times=3)
    found = await replayed(name)
    assert found.totals == found.deltas == expected()
    summary = found.summary
    assert summary.records == 3 * (219_240 + 3_654)
    assert (summary.accepted, summary.duplicates) == (219_240 + 3_654, 2 * (219_240 + 3_654))


async def test_late_minutes_make_the_days_what_the_later_export_says() -> None:
    found = await replayed(MINUTES, SNAPSHOTS, LATE)
    assert found.totals == expected_with_late_minutes()
    others = expected().keys() - rows_of("revisions.csv").keys()
    assert len(others) > 100
    assert {day: found.totals[day] for day in others} == {day: expected()[day] for day in others}
    assert found.summary.accepted == found.summary.records


async def test_late_minutes_alone_with_the_minutes_give_the_same_days() -> None:
    """Without the snapshots there is one device, and nothing to merge."""
    found = await replayed(LATE, MINUTES)
    assert found.totals == expected_with_late_minutes()


@pytest.mark.parametrize("seed", [1, 2])
async def test_late_minutes_in_between_in_any_order_change_the_same_days(
    tmp_path: Path, seed: int
) -> None:
    name = shuffled_into(tmp_path / "shuffled", seed, MINUTES, SNAPSHOTS, LATE)
    found = await replayed(name)
    assert found.totals == expected_with_late_minutes()


async def test_one_message_at_a_time_and_backwards_gives_the_same_days() -> None:
    """Batches of one, the late minutes first: nothing is in order, and hardly anything cached."""
    settings = DEFAULTS.model_copy(update={"day_cache_size": 1})
    store = memory_store(settings.idempotency_ttl)
    pipeline = pipeline_of(store, MemoryTopics(lambda _: pytest.fail("refused")), settings)
    lines = [*lines_of(LATE), *reversed(lines_of(SNAPSHOTS)), *reversed(lines_of(MINUTES))]
    for number, line in enumerate(lines, 1):
        await pipeline.run([Message(line, None, "f", 0, number)])
    users = {day.user_id for day in expected_with_late_minutes()}
    found = {total.day: sum_of(total) async for total in totals_of(users, store)}
    assert found == expected_with_late_minutes()
