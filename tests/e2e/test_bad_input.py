"""What a user can mend is exit status 2 and one clear line, never a traceback."""

import gzip

import pytest

from ingest.settings import Settings
from tests.e2e.conftest import Finished, Ingest
from tests.lines import event, events

pytestmark = pytest.mark.e2e

GOOD = events(event(0))
ZIPPED = gzip.compress(GOOD * 100)
BROKEN_CHECKSUM = ZIPPED[:-8] + b"\0" * 8
BAD_SETTINGS = [
    ("REPOSITORY_BACKEND", "mongo"),
    ("MONGODB_URI", "mongodb://${NOT_SET}"),
    ("MONGODB_DATABASE", "a b"),
    ("MONGODB_DRIVER", "mongoengine"),
    ("MONGODB_MAX_POOL_SIZE", "0"),
    ("MONGODB_MIN_POOL_SIZE", "51"),
    ("MONGODB_TIMEOUT_SECONDS", "0"),
    ("RETENTION", "13d"),
    ("KAFKA_BROKERS", "kafka"),
    ("KAFKA_SECURITY_PROTOCOL", "TLS"),
    ("KAFKA_SASL_MECHANISM", "GSSAPI"),
    ("KAFKA_SASL_USERNAME", "a\tb"),
    ("KAFKA_TLS_CA", "/nowhere/ca.pem"),
    ("KAFKA_GROUP", "a b"),
    ("KAFKA_PARTITIONS", "0"),
    ("KAFKA_REPLICATION", "0"),
    ("KAFKA_SESSION_TIMEOUT", "5s"),
    ("TOPIC_ACTIVITY_EVENTS", "a b"),
    ("TOPIC_HEALTH_SNAPSHOTS", "a b"),
    ("TOPIC_DAILY_TOTALS", "a b"),
    ("TOPIC_DEAD_LETTERS", "a b"),
    ("RETRY_DELAY_MAX", "0"),
    ("RETRY_TIMEOUT", "-1"),
    ("BATCH_SIZE_MAX", "0"),
    ("BATCH_WAIT_SECONDS", "0"),
    ("STALL_TIMEOUT", "1s"),
    ("SHUTDOWN_SECONDS", "0"),
    ("DEAD_LETTER_SHARE_MAX", "2"),
    ("DEAD_LETTER_CONSECUTIVE_MAX", "0"),
    ("WEB_HOST", "a b"),
    ("WEB_PORT", "65536"),
    ("API_KEYS_FILE", "/"),
    ("GATEWAY_MODE", "memory"),
    ("API_RATE_MAX", "0"),
    ("REQUEST_IDLE_SECONDS", "0"),
    ("TLS_CERT_FILE", "/nowhere/cert.pem"),
    ("TLS_KEY_FILE", "/nowhere/key.pem"),
    ("CORS_ORIGINS", "*"),
    ("LOG_LEVEL", "loud"),
    ("DAY_CACHE_SIZE", "0"),
    ("FUTURE_SKEW_MAX", "-1h"),
    ("FUTURE_SKEW_MAX", "999999999d"),  # a time that far ahead has no date
    ("IDEMPOTENCY_TTL", "1w"),
    ("RESET_TOLERANCE", "nan"),
    ("AUTHORITATIVE_SOURCES", "FITBIT\nGARMIN"),
    ("DEVICE_MERGE", "min"),
]


def is_one_clear_line(done: Finished) -> bool:
    return (
        done.status == 2
        and done.out == ""
        and done.err.startswith("ingest: ")
        and done.err.endswith("\n")
        and done.err.count("\n") == 1
    )


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["replay", "missing"], "missing"),
        (["replay", "good", "folder"], "folder"),
        (["replay", "cut.gz"], "cut.gz"),
        (["replay", "plain.gz"], "plain.gz"),
        (["replay", "checksum.gz"], "checksum.gz"),
        (["replay", "good", "--totals", "nowhere/out"], "nowhere/out"),
        (["replay", "good", "--totals", "/proc/out"], "/proc/out"),
        (["replay", "good", "--deltas", "folder"], "folder"),
        (["replay", "bad", "--dead-letters", "/dev/full"], "/dev/full"),
        (["simulate", "--truth", "good/inside"], "good/inside"),
        (["replay"], "FILE"),
        (["replay", "good", "--unknown"], "--unknown"),
        (["replay", "good", "--store", "paper"], "--store"),
        (["nothing-like-it"], "nothing-like-it"),
        (["simulate", "--users", "0"], "--users"),
        (["simulate", "--users", "many"], "--users"),
        (["simulate", "--days", "1000000"], "days"),
        (["simulate", "--duplicates", "1.1"], "--duplicates"),
        (["simulate", "--late", "-0.1"], "--late"),
        (["simulate", "--resets", "nan"], "--resets"),
        (["simulate", "--corrections", "half"], "--corrections"),
        (["simulate", "--malformed", "2"], "--malformed"),
        (["totals", "u|1"], "u|1"),
        (["totals", "u1", "--from", "2025-13-01"], "2025-13-01"),
        (["events", "u1", "--to", "20250101"], "20250101"),
        (["deltas", "u1", "2025-02-29"], "2025-02-29"),
    ],
    ids=str,
)
def test_a_mistake_is_one_clear_line_that_names_it(
    ingest: Ingest, arguments: list[str], word: str
) -> None:
    (ingest.folder / "folder").mkdir()
    ingest.write("good", GOOD)
    ingest.write("bad", events(event(0, -1)))
    ingest.write("cut.gz", ZIPPED[:-20])
    ingest.write("plain.gz", GOOD)
    ingest.write("checksum.gz", BROKEN_CHECKSUM)
    before = ingest.files()
    done = ingest(*arguments)
    assert is_one_clear_line(done), done
    assert word in done.err
    assert ingest.files() == before


def test_a_file_whose_name_has_two_lines_is_named_in_one(ingest: Ingest) -> None:
    assert is_one_clear_line(ingest("replay", "two\nlines"))


def test_a_command_line_of_nothing_says_how_it_is_used(ingest: Ingest) -> None:
    done = ingest()
    assert (done.status, done.out) == (2, "")
    assert is_one_clear_line(done) or done.err.startswith("Usage: ")


def test_help_is_no_error(ingest: Ingest) -> None:
    done = ingest("replay", "--help")
    assert (done.status, done.err) == (0, "")
    assert "Usage: " in done.out


@pytest.mark.parametrize(
    "script",
    [
        "ingest replay - <&-",
        "ingest replay good --json > /dev/full",
        "ingest simulate > /dev/full",
    ],
)
def test_a_standard_stream_that_is_no_use_is_one_clear_line(ingest: Ingest, script: str) -> None:
    ingest.write("good", GOOD)
    done = ingest.shell(script)
    assert is_one_clear_line(done), done


@pytest.mark.parametrize(("variable", "value"), BAD_SETTINGS)
def test_a_bad_setting_is_one_clear_line_that_names_it(
    ingest: Ingest, variable: str, value: str
) -> None:
    ingest.write("good", GOOD)
    done = ingest("replay", "good", "--totals", "out", **{variable: value})
    assert is_one_clear_line(done), done
    assert done.err.startswith(f"ingest: {variable}")
    assert ingest.files() == {"good"}


def test_every_setting_has_a_bad_value_here() -> None:
    all_settings = {field.upper() for field in Settings.model_fields}
    assert {variable for variable, _ in BAD_SETTINGS} == all_settings - {"KAFKA_SASL_PASSWORD"}


@pytest.mark.parametrize("command", [["simulate"], ["totals", "u1"]], ids=str)
def test_other_commands_refuse_a_bad_setting_too(ingest: Ingest, command: list[str]) -> None:
    assert is_one_clear_line(ingest(*command, DEVICE_MERGE="min"))
