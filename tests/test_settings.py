"""The settings: what they are read from, and that a bad one stops the program with one line."""

import os
from datetime import timedelta
from decimal import Decimal

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
    "RETRY_DELAY_MAX": timedelta(seconds=10),
    "RETRY_TIMEOUT": timedelta(minutes=2),
    "BATCH_SIZE_MAX": 1000,
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
    "RETRY_DELAY_MAX": ["0", "-1s", "soon"],
    "RETRY_TIMEOUT": ["-1", "never"],
    "BATCH_SIZE_MAX": ["0", "-1", "100001", "1.5", "many", "1e3", "0x10"],
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
