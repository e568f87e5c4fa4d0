"""`ingest replay`: what it reads, what it writes, and what it says (DESIGN section 9)."""

import base64
import gzip
from datetime import datetime
from itertools import product

import orjson
import pytest

from tests.e2e.conftest import Ingest
from tests.lines import event, events, snapshot, snapshots

pytestmark = pytest.mark.e2e

VERDICTS = ("accepted", "duplicates", "corrected", "stale", "rejected")
SUMMARY = ["messages", "records", *VERDICTS, "conflicts", "seconds", "records_per_second"]
TOTAL = [
    "user_id",
    "date",
    "steps",
    "calories_out",
    "hr_avg",
    "basis",
    "devices",
    "events_count",
    "snapshots_count",
    "resets",
    "revision",
    "updated_at",
]
DELTA = [
    "user_id",
    "device_id",
    "date",
    "timestamp",
    "kind",
    "steps_delta",
    "calories_out_delta",
    "steps_total",
    "calories_out_total",
]
NEGATIVE = events(event(0, -5))
ONE_OF_EACH = b"".join(
    [
        events(event(0), event(1), event(2, -1)),  # 2 accepted, 1 rejected
        events(event(0)),  # duplicate
        events(event(0, 20, version=2)),  # corrected
        events(event(0, 30, version=1)),  # stale
        events(event(1, 99)),  # a conflict
        b"not a message\n",
    ]
)


def steps_of(ingest: Ingest, *files: str, stdin: bytes = b"") -> list[tuple[str, int]]:
    """The users and steps of the totals that a replay of these files writes."""
    done = ingest("replay", *files, "--totals", "totals.ndjson", "--json", stdin=stdin)
    assert (done.status, done.err) == (0, "")
    return [(total["user_id"], total["steps"]) for total in ingest.read("totals.ndjson")]


def test_it_reads_a_file(ingest: Ingest) -> None:
    ingest.write("a.ndjson", events(event(0), event(1)) + events(event(2), user="u2"))
    assert steps_of(ingest, "a.ndjson") == [("u1", 20), ("u2", 10)]


def test_it_reads_a_gzipped_file(ingest: Ingest) -> None:
    ingest.write("a.ndjson.gz", gzip.compress(events(event(0)) + events(event(1))))
    assert steps_of(ingest, "a.ndjson.gz") == [("u1", 20)]


def test_it_reads_a_gzipped_file_of_several_parts(ingest: Ingest) -> None:
    ingest.write("a.gz", gzip.compress(events(event(0))) + gzip.compress(events(event(1))))
    assert steps_of(ingest, "a.gz") == [("u1", 20)]


def test_it_reads_standard_input(ingest: Ingest) -> None:
    assert steps_of(ingest, "-", stdin=events(event(0), event(1))) == [("u1", 20)]


def test_it_reads_several_files_as_one_stream(ingest: Ingest) -> None:
    ingest.write("a", events(event(0)))
    ingest.write("b.gz", gzip.compress(events(event(1)) + events(event(0))))
    done = ingest("replay", "a", "-", "b.gz", "--json", stdin=events(event(1)))
    assert [done.summary()[name] for name in VERDICTS] == [2, 2, 0, 0, 0]


def test_an_empty_file_is_no_messages(ingest: Ingest) -> None:
    done = ingest("replay", ingest.write("empty", b""), "--totals", "totals", "--json")
    assert (done.status, done.err) == (0, "")
    assert {*done.summary().values()} - {done.summary()["seconds"]} <= {0}
    assert ingest.read("totals") == []


def test_blank_lines_crlf_and_a_last_line_without_an_end_are_read(ingest: Ingest) -> None:
    lines = events(event(0)).replace(b"\n", b"\r\n") + b"\r\n\n  \n" + events(event(1)).rstrip()
    done = ingest("replay", "-", "--json", stdin=lines)
    assert (done.summary()["messages"], done.summary()["accepted"]) == (2, 2)


def test_a_line_of_20_mib_without_an_end_is_one_refused_record(ingest: Ingest) -> None:
    lines = events(event(0)) + b"x" * (20 * 1024 * 1024)
    done = ingest("replay", "-", "--json", "--dead-letters", "dead", stdin=lines)
    assert (done.summary()["accepted"], done.summary()["rejected"]) == (1, 1)
    (letter,) = ingest.read("dead")
    assert (letter["reason"], letter["line"]) == ("MESSAGE_TOO_LARGE", 2)


def test_the_summary_is_one_json_object_with_these_keys(ingest: Ingest) -> None:
    done = ingest("replay", "-", "--json", stdin=ONE_OF_EACH)
    assert (done.status, done.err) == (0, "")
    assert [*done.summary()] == SUMMARY


def test_every_record_gets_one_verdict(ingest: Ingest) -> None:
    summary = ingest("replay", "-", "--json", stdin=ONE_OF_EACH).summary()
    assert [summary[name] for name in VERDICTS] == [2, 1, 1, 1, 3]
    assert (summary["messages"], summary["records"], summary["conflicts"]) == (6, 8, 1)


def test_without_json_the_same_numbers_are_text(ingest: Ingest) -> None:
    done = ingest("replay", "-", stdin=ONE_OF_EACH)
    *_, counts, conflict, malformed, negative = done.out.splitlines()
    assert counts.startswith("6 messages, 8 records in ")
    assert counts.endswith(
        "2 accepted, 1 duplicates, 1 corrected, 1 stale, 3 rejected (1 conflicts)"
    )
    assert conflict == "  rejected CONFLICT_DIFFERENT_DATA: 1"
    assert malformed == "  rejected MALFORMED_MESSAGE: 1"
    assert negative == "  rejected NEGATIVE_VALUE: 1"


@pytest.mark.parametrize(
    ("lines", "status"), [(events(event(0)), 0), (events(event(0)) * 2, 0), (NEGATIVE, 1)]
)
def test_strict_fails_only_where_something_was_refused(
    ingest: Ingest, lines: bytes, status: int
) -> None:
    assert ingest("replay", "-", "--strict", "--totals", "t", stdin=lines).status == status
    assert ingest.files() == {"t"}


def test_refused_records_fail_nothing_without_strict(ingest: Ingest) -> None:
    assert ingest("replay", "-", stdin=NEGATIVE).status == 0


def test_the_store_can_be_named(ingest: Ingest) -> None:
    done = ingest("replay", "-", "--store", "memory", "--json", stdin=events(event(0)))
    assert (done.status, done.summary()["accepted"]) == (0, 1)


def test_totals_are_sorted_by_user_then_date(ingest: Ingest) -> None:
    days = [*product(("u10", "u2", "U2", "u1"), ("2025-11-13", "2025-01-02", "2025-02-01"))]
    lines = b"".join(
        events({"ts": f"{date}T10:00:00Z", "steps": 1}, user=user) for user, date in days
    )
    ingest("replay", "-", "--totals", "totals", stdin=lines)
    written = [(total["user_id"], total["date"]) for total in ingest.read("totals")]
    assert written == sorted(days)


def test_a_total_has_these_fields_in_this_order(ingest: Ingest) -> None:
    lines = events(
        event(0, 7, calories_out=1.25, hr_avg=60), event(1, 8, hr_avg=61), device_id="phone"
    ) + snapshots(snapshot(1, 100), snapshot(2, 40, 3), device_id="watch")
    ingest("replay", "-", "--totals", "totals", stdin=lines)
    (total,) = ingest.read("totals")
    assert [*total] == TOTAL
    updated_at = datetime.fromisoformat(total.pop("updated_at"))
    assert updated_at.utcoffset() is not None
    assert total.pop("revision") >= 1
    assert total == {
        "user_id": "u1",
        "date": "2025-11-13",
        "steps": 140,
        "calories_out": 13.5,
        "hr_avg": 60.5,
        "basis": "mixed",
        "devices": {
            "phone": {"steps": 15, "calories_out": 1.25, "basis": "events"},
            "watch": {"steps": 140, "calories_out": 13.5, "basis": "snapshots"},
        },
        "events_count": 2,
        "snapshots_count": 2,
        "resets": 1,
    }


def test_a_delta_has_these_fields_in_this_order(ingest: Ingest) -> None:
    lines = snapshots(snapshot(1, 100), snapshot(2, 130, 12.75), snapshot(3, 20, 1))
    ingest("replay", "-", "--deltas", "deltas", stdin=lines)
    deltas = ingest.read("deltas")
    assert [[*delta] for delta in deltas] == [DELTA] * 3
    assert deltas[1] == {
        "user_id": "u1",
        "device_id": "default",
        "date": "2025-11-13",
        "timestamp": deltas[1]["timestamp"],
        "kind": "increment",
        "steps_delta": 30,
        "calories_out_delta": 2.25,
        "steps_total": 130,
        "calories_out_total": 12.75,
    }
    told_at = datetime.fromisoformat(deltas[1]["timestamp"])
    assert told_at == datetime.fromisoformat("2025-11-13T02:30:00Z")
    assert [delta["kind"] for delta in deltas] == ["bootstrap", "increment", "reset"]


def test_deltas_are_sorted_by_user_device_date_then_time(ingest: Ingest) -> None:
    wanted = [*product(("u1", "u2"), ("a", "b"), (3, 1, 2))]
    late_first = b"".join(
        snapshots(snapshot(hour, 10 * hour), user=user, device_id=device)
        for user, device, hour in reversed(wanted)
    )
    early = {**snapshot(5), "date": "2025-11-12", "timestamp": "2025-11-12T23:00:00Z"}
    lines = late_first + snapshots(early, user="u1", device_id="b")
    ingest("replay", "-", "--deltas", "deltas", stdin=lines)
    order = ("user_id", "device_id", "date", "timestamp")
    written = [tuple(delta[field] for field in order) for delta in ingest.read("deltas")]
    assert written == sorted(written)
    assert len(written) == len(wanted) + 1


def test_a_dead_letter_tells_why_where_and_what(ingest: Ingest) -> None:
    ingest.write("a.ndjson", b"\n" + events(event(0)) + NEGATIVE)
    ingest("replay", "a.ndjson", "--dead-letters", "dead")
    (letter,) = ingest.read("dead")
    wanted = {"reason": "NEGATIVE_VALUE", "field": "steps", "origin": "a.ndjson", "line": 3}
    assert letter.items() >= wanted.items()
    assert letter["original"].encode() == NEGATIVE.rstrip()


def test_what_is_not_utf8_is_kept_in_base64(ingest: Ingest) -> None:
    line = b'{"user_id":"u\xff"}'
    ingest("replay", "-", "--dead-letters", "dead", stdin=line)
    (letter,) = ingest.read("dead")
    assert base64.b64decode(letter["original_base64"]) == line
    assert "original" not in letter
    assert (letter["origin"], letter["line"]) == ("-", 1)


def test_a_refused_record_alone_is_kept_and_its_neighbours_count(ingest: Ingest) -> None:
    lines = events(event(0), event(1, -1), event(2), user="u7", device_id="watch")
    done = ingest("replay", "-", "--dead-letters", "dead", "--json", stdin=lines)
    assert (done.summary()["accepted"], done.summary()["rejected"]) == (2, 1)
    (letter,) = ingest.read("dead")
    kept = orjson.loads(letter["original"])
    assert kept["events"] == [event(1, -1)]
    assert (kept["user_id"], kept["device_id"]) == ("u7", "watch")


def test_dead_letters_replayed_are_refused_for_the_same_reasons(ingest: Ingest) -> None:
    lines = events(event(0), event(1, -1), event(2, 20_000)) + b"{}\n"
    ingest("replay", "-", "--dead-letters", "dead", stdin=lines)
    first = ingest.read("dead")
    again = "\n".join(letter["original"] for letter in first).encode()
    ingest("replay", "-", "--dead-letters", "dead", stdin=again)
    assert [letter["reason"] for letter in ingest.read("dead")] == [
        letter["reason"] for letter in first
    ]
    assert len(first) == 3


def test_a_file_whose_name_is_not_utf8_can_have_dead_letters(ingest: Ingest) -> None:
    name = b"caf\xe9.ndjson"
    (ingest.folder / name.decode(errors="surrogateescape")).write_bytes(NEGATIVE)
    done = ingest("replay", name, "--dead-letters", "dead", "--json")
    assert (done.status, done.err) == (0, "")
    assert [letter["reason"] for letter in ingest.read("dead")] == ["NEGATIVE_VALUE"]
