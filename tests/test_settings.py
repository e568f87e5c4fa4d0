"""The settings: what they are read from, and that a bad one stops the program with one line."""

import os
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from ingest.core.merge import DeviceMerge
from ingest.embedded import rules_of
from ingest.errors import SettingsInvalid
from ingest.settings import Settings, load_settings

DAY = timedelta(days=1)
DEFAULTS = {
    "REPOSITORY_BACKEND": "inmemory",
    "MONGODB_URI": SecretStr("mongodb://127.0.0.1:27017"),
    "MONGODB_DATABASE": "ingest",
    "MONGODB_DRIVER": "pymongo",
    "MONGODB_MAX_POOL_SIZE": 50,
    "MONGODB_MIN_POOL_SIZE": 10,
    "MONGODB_TIMEOUT_SECONDS": 10,
    "RETENTION": None,
    "KAFKA_BROKERS": ("127.0.0.1:9092",),
    "KAFKA_SECURITY_PROTOCOL": "PLAINTEXT",
    "KAFKA_SASL_MECHANISM": "PLAIN",
    "KAFKA_SASL_USERNAME": "",
    "KAFKA_SASL_PASSWORD": SecretStr(""),
    "KAFKA_TLS_CA": None,
    "KAFKA_GROUP": "ingest",
    "KAFKA_PARTITIONS": 12,
    "KAFKA_REPLICATION": 1,
    "KAFKA_SESSION_TIMEOUT": timedelta(seconds=30),
    "TOPIC_ACTIVITY_EVENTS": "activity-events",
    "TOPIC_HEALTH_SNAPSHOTS": "health-snapshots",
    "TOPIC_DAILY_TOTALS": "daily-totals",
    "TOPIC_DEAD_LETTERS": "ingest-dead-letters",
    "RETRY_DELAY_MAX": timedelta(seconds=10),
    "RETRY_TIMEOUT": timedelta(minutes=2),
    "BATCH_SIZE_MAX": 1000,
    "BATCH_WAIT_SECONDS": 0.2,
    "STALL_TIMEOUT": timedelta(minutes=5),
    "SHUTDOWN_SECONDS": 25,
    "DEAD_LETTER_SHARE_MAX": 0.5,
    "DEAD_LETTER_CONSECUTIVE_MAX": 1000,
    "GATEWAY_MODE": "embedded",
    "API_RATE_MAX": 1000,
    "REQUEST_IDLE_SECONDS": 20,
    "TLS_CERT_FILE": None,
    "TLS_KEY_FILE": None,
    "CORS_ORIGINS": (),
    "WEB_HOST": "127.0.0.1",
    "WEB_PORT": 8000,
    "API_KEYS_FILE": None,
    "LOG_LEVEL": "info",
    "DAY_CACHE_SIZE": 50_000,
    "FUTURE_SKEW_MAX": DAY,
    "IDEMPOTENCY_TTL": 7 * DAY,
    "RESET_TOLERANCE": Decimal(0),
    "AUTHORITATIVE_SOURCES": (),
    "DEVICE_MERGE": "max",
}
DURATIONS = [
    ("90", timedelta(seconds=90)),
    ("90s", timedelta(seconds=90)),
    ("15m", timedelta(minutes=15)),
    ("24h", DAY),
    ("7d", 7 * DAY),
    ("0", timedelta()),
    (" 1h ", timedelta(hours=1)),
]
BAD = {
    "REPOSITORY_BACKEND": ["mongo", "INMEMORY", "inmemory,mongodb"],
    "MONGODB_URI": ["mongodb://${NOT_SET}@host", "${NOT_SET_EITHER}"],
    "MONGODB_DATABASE": ["a.b", "a b", "a/b", "$a", "a" * 64],
    "MONGODB_DRIVER": ["Motor", "mongoengine"],
    "MONGODB_MAX_POOL_SIZE": ["0", "-1", "many", "10001"],
    "MONGODB_MIN_POOL_SIZE": ["-1", "1.5", "10001"],
    "MONGODB_TIMEOUT_SECONDS": ["0", "-1", "soon", "nan", "inf", "3601"],
    "RETENTION": ["0", "13d", "-1", "for ever"],
    "KAFKA_BROKERS": ["kafka", "kafka:", "kafka:0", "kafka:65536", "kafka://a:1", "a:1;b:2", ","],
    "KAFKA_SECURITY_PROTOCOL": ["plaintext", "TLS", "SASL"],
    "KAFKA_SASL_MECHANISM": ["SCRAM", "GSSAPI", "plain"],
    "KAFKA_SASL_USERNAME": ["a\nb", "a\tb"],
    "KAFKA_SASL_PASSWORD": [],  # any text may be one
    "KAFKA_TLS_CA": ["/nowhere/ca.pem", "/"],
    "KAFKA_GROUP": ["a b", "a/b", "a" * 250],
    "KAFKA_PARTITIONS": ["0", "-1", "10001", "many"],
    "KAFKA_REPLICATION": ["0", "33", "1.5"],
    "KAFKA_SESSION_TIMEOUT": ["5s", "0", "31m", "soon"],
    "TOPIC_ACTIVITY_EVENTS": ["a b", ".", "..", "a/b", "a" * 250],
    "TOPIC_HEALTH_SNAPSHOTS": ["a b", "é"],
    "TOPIC_DAILY_TOTALS": ["a,b"],
    "TOPIC_DEAD_LETTERS": ["a:b"],
    "RETRY_DELAY_MAX": ["0", "-1s", "soon"],
    "RETRY_TIMEOUT": ["-1", "never"],
    "BATCH_SIZE_MAX": ["0", "-1", "100001", "1.5", "many", "1e3", "0x10"],
    "BATCH_WAIT_SECONDS": ["0", "61", "soon", "nan"],
    "STALL_TIMEOUT": ["9s", "-1", "never"],
    "SHUTDOWN_SECONDS": ["0", "3601", "inf"],
    "DEAD_LETTER_SHARE_MAX": ["0", "1.1", "half", "50%"],
    "DEAD_LETTER_CONSECUTIVE_MAX": ["0", "-1", "1.5"],
    "GATEWAY_MODE": ["Kafka", "memory"],
    "API_RATE_MAX": ["0", "-1", "fast", "1000001"],
    "REQUEST_IDLE_SECONDS": ["0", "601", "soon"],
    "TLS_CERT_FILE": ["/nowhere/cert.pem", "/"],
    "TLS_KEY_FILE": ["/nowhere/key.pem", "/"],
    "CORS_ORIGINS": ["*", "app.example.org", "https://a/b", "https://a b"],
    "WEB_HOST": ["a b", "http://a", "a/b"],
    "WEB_PORT": ["-1", "65536", "http"],
    "API_KEYS_FILE": ["/", "."],
    "LOG_LEVEL": ["loud", "INFO"],
    "DAY_CACHE_SIZE": ["0", "-1", "1.5", "many", "none"],
    "FUTURE_SKEW_MAX": ["-1h", "1w", "1.5h", "h", "24 hours", "1h30m", "P1D", "inf", "999999999d"],
    "IDEMPOTENCY_TTL": ["-1", "soon", "7 d", "1e3", "7D", "nan"],
    "RESET_TOLERANCE": ["1", "-0.1", "nan", "inf", "5%", "0.0000001", "half"],
    "AUTHORITATIVE_SOURCES": ["fitbit", "FITBIT GARMIN", "FITBIT;GARMIN", "A" * 65, "[]", "A\nB"],
    "DEVICE_MERGE": ["min", "MAX", "max,sum", "prefer", "prefer:", "prefer:,", "prefer:fitbit"],
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without any of the settings."""
    for variable in {name for name in os.environ if name.upper() in DEFAULTS}:
        monkeypatch.delenv(variable)
    return monkeypatch


def setting(environment: pytest.MonkeyPatch, variable: str, value: str) -> object:
    """What a variable is read as."""
    environment.setenv(variable, value)
    return getattr(load_settings(), variable.lower())


def test_the_defaults_are_these() -> None:
    assert {field.upper(): value for field, value in load_settings()} == DEFAULTS


@pytest.mark.parametrize("variable", DEFAULTS)
def test_an_empty_variable_is_the_default(environment: pytest.MonkeyPatch, variable: str) -> None:
    assert setting(environment, variable, "") == DEFAULTS[variable]


@pytest.mark.parametrize("variable", ["FUTURE_SKEW_MAX", "IDEMPOTENCY_TTL"])
@pytest.mark.parametrize(("text", "wanted"), DURATIONS)
def test_a_duration_is_a_number_and_a_unit(
    environment: pytest.MonkeyPatch, variable: str, text: str, wanted: timedelta
) -> None:
    assert setting(environment, variable, text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("FITBIT", ("FITBIT",)),
        ("FITBIT,GARMIN", ("FITBIT", "GARMIN")),
        (" FITBIT , GARMIN,", ("FITBIT", "GARMIN")),
        ("A_1", ("A_1",)),
        (",", ()),
    ],
)
def test_a_list_is_names_between_commas(
    environment: pytest.MonkeyPatch, text: str, wanted: tuple[str, ...]
) -> None:
    assert setting(environment, "AUTHORITATIVE_SOURCES", text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("max", DeviceMerge("max")),
        ("sum", DeviceMerge("sum")),
        ("prefer:FITBIT", DeviceMerge("prefer", ("FITBIT",))),
        ("prefer:FITBIT,APPLE_HEALTH", DeviceMerge("prefer", ("FITBIT", "APPLE_HEALTH"))),
        ("prefer: FITBIT , GARMIN,", DeviceMerge("prefer", ("FITBIT", "GARMIN"))),
    ],
)
def test_a_device_merge_is_a_policy_with_its_sources(
    environment: pytest.MonkeyPatch, text: str, wanted: DeviceMerge
) -> None:
    environment.setenv("DEVICE_MERGE", text)
    assert rules_of(load_settings()).merge == wanted


@pytest.mark.parametrize("text", ["0", "0.05", "0.000001", "0.999999", "1e-3"])
def test_a_tolerance_is_held_exactly(environment: pytest.MonkeyPatch, text: str) -> None:
    environment.setenv("RESET_TOLERANCE", text)
    assert rules_of(load_settings()).snapshots.reset_tolerance == Decimal(text) * 1_000_000


@pytest.mark.parametrize(
    ("variable", "value"), [(variable, value) for variable in BAD for value in BAD[variable]]
)
def test_a_bad_value_is_one_line_that_names_the_variable(
    environment: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    environment.setenv(variable, value)
    with pytest.raises(SettingsInvalid, match=rf"^{variable}[^\n]*: [^\n]+\Z"):
        load_settings()


def test_every_setting_has_a_default_and_bad_values_here() -> None:
    assert {field.upper() for field in Settings.model_fields} == DEFAULTS.keys() == BAD.keys()


@pytest.mark.parametrize("value", ["1", "100000"])
def test_the_bounds_of_a_batch_are_part_of_it(environment: pytest.MonkeyPatch, value: str) -> None:
    assert setting(environment, "BATCH_SIZE_MAX", value) == int(value)


def test_settings_cannot_be_changed() -> None:
    settings = load_settings()
    with pytest.raises(ValidationError):
        settings.batch_size_max = 5  # type: ignore[misc]
    assert settings.batch_size_max == 1000


def test_unknown_variables_are_ignored(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("BATCH_SIZE_MAXIMUM", "0")
    environment.setenv("INGEST_DEVICE_MERGE", "min")
    assert {field.upper(): value for field, value in load_settings()} == DEFAULTS


def test_the_environment_is_read_each_time(environment: pytest.MonkeyPatch) -> None:
    assert [setting(environment, "BATCH_SIZE_MAX", value) for value in ("5", "6")] == [5, 6]


@pytest.mark.parametrize(
    ("uri", "wanted"),
    [
        ("mongodb://h:1/?tls=true", "mongodb://h:1/?tls=true"),
        ("mongodb://${MONGODB_USER}:${MONGODB_PASSWORD}@h", "mongodb://an%40n:p%3A%2F%40%C3%A9@h"),
        ("mongodb://${HOSTS}/?replicaSet=r", "mongodb://a:1,b:2/?replicaSet=r"),
        ("mongodb://${MONGODB_USER}:x@${HOSTS}/", "mongodb://an%40n:x@a:1,b:2/"),
        ("mongodb://h/$USER", "mongodb://h/$USER"),
    ],
)
def test_variables_in_the_address_are_expanded_and_escaped_where_they_are_credentials(
    environment: pytest.MonkeyPatch, uri: str, wanted: str
) -> None:
    for name, value in {
        "MONGODB_USER": "an@n",
        "MONGODB_PASSWORD": "p:/@é",
        "HOSTS": "a:1,b:2",
    }.items():
        environment.setenv(name, value)
    found = setting(environment, "MONGODB_URI", uri)
    assert isinstance(found, SecretStr)
    assert found.get_secret_value() == wanted


def test_the_address_is_never_shown(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("MONGODB_URI", "mongodb://ann:secret@${NOT_SET}/")
    with pytest.raises(SettingsInvalid) as caught:
        load_settings()
    assert "NOT_SET" in str(caught.value)
    assert "secret" not in str(caught.value)
    environment.setenv("NOT_SET", "h")
    assert "secret" not in repr(load_settings())


def test_the_smaller_pool_size_is_not_the_larger(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("MONGODB_MAX_POOL_SIZE", "9")
    with pytest.raises(SettingsInvalid, match=r"^MONGODB_MIN_POOL_SIZE must be at most [^\n]+\Z"):
        load_settings()


TOPICS = [name for name in DEFAULTS if name.startswith("TOPIC_")]


@pytest.mark.parametrize("name", TOPICS)
@pytest.mark.parametrize("other", TOPICS)
def test_no_topic_is_two_of_them(environment: pytest.MonkeyPatch, name: str, other: str) -> None:
    if name == other:
        return
    environment.setenv(name, str(DEFAULTS[other]))
    with pytest.raises(SettingsInvalid, match=rf"^{', '.join(TOPICS)} must be different topics\Z"):
        load_settings()


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
@pytest.mark.parametrize(
    "given",
    [{}, {"KAFKA_SASL_USERNAME": "ann"}, {"KAFKA_SASL_PASSWORD": "secret"}],
    ids=["neither", "only a user", "only a password"],
)
def test_a_login_has_a_user_and_a_password(
    environment: pytest.MonkeyPatch, protocol: str, given: dict[str, str]
) -> None:
    for name, value in {"KAFKA_SECURITY_PROTOCOL": protocol, **given}.items():
        environment.setenv(name, value)
    with pytest.raises(SettingsInvalid, match=r"needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"):
        load_settings()


def test_brokers_are_addresses_between_commas(environment: pytest.MonkeyPatch) -> None:
    found = setting(environment, "KAFKA_BROKERS", " a.example:9092, b-2:9093 ,[::1]:9094,")
    assert found == ("a.example:9092", "b-2:9093", "[::1]:9094")


@pytest.mark.parametrize("name", ["nowhere/keys.json", "/nobody/keys.json", "k" * 5000])
def test_a_file_of_keys_need_not_be_there_yet(environment: pytest.MonkeyPatch, name: str) -> None:
    assert setting(environment, "API_KEYS_FILE", name) == Path(name)


def test_the_password_of_kafka_is_never_shown(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("KAFKA_SASL_PASSWORD", "secret")
    assert "secret" not in repr(load_settings())
