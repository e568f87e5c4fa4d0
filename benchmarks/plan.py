"""How much is measured: a look, the default, or all of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes and rounds of a run."""

    name: str
    rounds: int
    records: int  # in memory
    records_mongo: int  # the test server is slow
    users_mongo: int
    stage_records: Mapping[int, int]  # of a slice, by records of a message
    stage_users: int
    query_seconds: float  # at most, for each kind of query and round


DEFAULT: Final = Plan(
    "default",
    rounds=5,
    records=1_000_000,
    records_mongo=6_000,
    users_mongo=20,
    query_seconds=0.3,
    stage_records={60: 12_000, 1: 3_000},
    stage_users=100,
)
QUICK: Final = replace(DEFAULT, name="quick", rounds=1, records=60_000, records_mongo=6_000)
FULL: Final = replace(DEFAULT, name="full", records_mongo=1_000_000)
