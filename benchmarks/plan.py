"""How much is measured: a look, the default, or all of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from benchmarks.streams import USERS


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes and rounds of a run."""

    name: str
    rounds: int
    sizes: Sequence[int]  # records of a message, where stores are compared
    records: int  # in memory
    records_repeated: int  # likewise, where some of them come twice
    records_mongo: int  # the test server is slow
    users_mongo: int
    stage_records: Mapping[int, int]  # of a slice, by records of a message
    stage_users: int
    worker_records: Mapping[int, int]  # of a slice, by records of a message
    contestants: Sequence[str] | None  # the names of some, or all
    contest_records: Mapping[int, int]  # of a slice, likewise
    crash_contestants: Sequence[str] | None
    crash_records: Mapping[int, int]  # in all, by records of a message
    kills: int
    http_records: Mapping[int, int]  # of a slice at most, by records of a message
    http_seconds: float  # at most, of requests at a fixed rate
    stored: Sequence[int]
    stored_mongo: Sequence[int]
    users: Sequence[int]
    snapshots: Sequence[int]  # of a user and day
    duplicates: Sequence[int]  # percent of the messages
    inserted: int  # documents of a bulk, where the ways to insert are compared
    query_seconds: float  # at most, for each kind of query
    mongod_records: int  # where the server is a mongod, with as many users as in memory

    def on_mongod(self) -> "Plan":
        """The same where there is no need to spare the server."""
        return replace(self, records_mongo=self.mongod_records, users_mongo=USERS)


DEFAULT: Final = Plan(
    "default",
    rounds=5,
    sizes=(60, 10, 1),
    records=1_000_000,
    records_repeated=300_000,
    records_mongo=6_000,
    users_mongo=5,
    stage_records={60: 12_000, 1: 3_000},
    stage_users=100,
    worker_records={60: 120_000, 1: 12_000},
    contestants=None,
    contest_records={60: 12_000, 1: 3_000},
    crash_contestants=None,
    crash_records={1: 3_000},
    kills=1,
    http_records={60: 120_000, 1: 20_000},
    http_seconds=3.0,
    stored=(10_000, 100_000, 1_000_000),
    stored_mongo=(10_000, 100_000),
    users=(10, 100, 1_000, 10_000, 100_000),
    snapshots=(10, 100, 1_440),
    duplicates=(0, 20, 50, 90),
    inserted=3_000,
    query_seconds=0.3,
    mongod_records=100_000,
)
QUICK: Final = replace(
    DEFAULT,
    name="quick",
    rounds=1,
    sizes=(60,),
    records=60_000,
    records_repeated=60_000,
    records_mongo=1_200,
    mongod_records=6_000,
    stage_records={60: 6_000, 1: 1_000},
    worker_records={60: 60_000, 1: 6_000},
    contestants=("worker", "faust_batched", "lean_floor"),
    contest_records={60: 6_000},
    crash_contestants=("worker",),
    crash_records={1: 600},
    http_records={60: 30_000, 1: 1_500},
    http_seconds=0.5,
    stored=(10_000, 100_000),
    stored_mongo=(1_000,),
    users=(10, 1_000),
    snapshots=(10, 100),
    duplicates=(0, 50),
    inserted=600,
)
FULL: Final = replace(
    DEFAULT,
    name="full",
    records_repeated=1_000_000,
    records_mongo=30_000,
    users_mongo=20,
    mongod_records=1_000_000,
    crash_records={60: 24_000, 1: 6_000},
    kills=3,
    stored=(*DEFAULT.stored, 10_000_000),
    stored_mongo=(*DEFAULT.stored_mongo, 1_000_000),
    users=(*DEFAULT.users, 1_000_000),
)
