"""`ingest simulate`: the same seed gives the same bytes, and `--truth` is what replay finds."""

import orjson
import pytest

from tests.e2e.conftest import Ingest

pytestmark = pytest.mark.e2e

FAULTS = "--duplicates 0.2 --late 0.2 --resets 0.3 --corrections 0.2 --malformed 0.2"
SMALL = ("simulate", "--users", "3", "--days", "2", "--devices", "3")
REVISED = {"revision", "updated_at"}


def test_the_same_seed_gives_the_same_bytes(ingest: Ingest) -> None:
    """In another process too, where sets and dicts of text may have another order."""
    arguments = (*SMALL, *FAULTS.split(), "--seed", "7", "--truth")
    one, same = (ingest(*arguments, hashed, PYTHONHASHSEED=hashed).out for hashed in ("1", "2"))
    assert one == same
    assert len(one.splitlines()) > 100
    assert ingest.read("1") == ingest.read("2")


def test_another_seed_gives_other_bytes_and_another_truth(ingest: Ingest) -> None:
    one, other = (ingest(*SMALL, "--seed", seed, "--truth", seed).out for seed in ("1", "2"))
    assert {*one.splitlines()}.isdisjoint(other.splitlines())
    assert ingest.read("1") != ingest.read("2")


def test_every_line_is_a_message_where_nothing_is_malformed(ingest: Ingest) -> None:
    lines = ingest(*SMALL).out.splitlines()
    users = {orjson.loads(line)["user_id"] for line in lines}
    assert users == {"user-0001", "user-0002", "user-0003"}


def test_the_truth_has_a_line_for_every_user_and_day(ingest: Ingest) -> None:
    ingest(*SMALL, "--truth", "truth")
    days = [(total["user_id"], total["date"]) for total in ingest.read("truth")]
    assert len(days) == 3 * 2
    assert days == sorted({*days})


def test_the_truth_goes_by_the_device_merge_setting(ingest: Ingest) -> None:
    for merge in ("max", "sum"):
        ingest(*SMALL, "--truth", merge, DEVICE_MERGE=merge)
    greatest, added = ([total["steps"] for total in ingest.read(merge)] for merge in ("max", "sum"))
    assert all(a > g for a, g in zip(added, greatest, strict=True))


@pytest.mark.parametrize("merge", ["max", "prefer:GARMIN,APPLE_HEALTH"])
def test_a_replay_of_what_is_simulated_finds_the_truth(ingest: Ingest, merge: str) -> None:
    done = ingest.shell(
        f"set -o pipefail; ingest {' '.join(SMALL)} {FAULTS} --seed 3 --truth truth"
        " | ingest replay - --totals totals --json",
        DEVICE_MERGE=merge,
    )
    assert (done.status, done.err) == (0, "")
    summary = done.summary()
    for verdict in ("accepted", "duplicates", "corrected", "stale", "rejected"):
        assert summary[verdict] > 0
    found = [
        {field: value for field, value in total.items() if field not in REVISED}
        for total in ingest.read("totals")
    ]
    assert found == ingest.read("truth")
