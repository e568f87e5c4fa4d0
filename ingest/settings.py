"""The environment, read once and checked; nothing else in this package looks at it.

Every setting is an environment variable of the same name in upper case. A bad value stops the
program before it starts, with one line that names the variable.
"""

import os
import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    FilePath,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from ingest.errors import SettingsInvalid

_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_SECONDS_MAX: Final = 10_000 * 86_400
_SOURCE: Final = re.compile(r"[A-Z0-9_]{1,64}")
_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SECRET: Final = frozenset({"mongodb_uri", "kafka_sasl_password"})
_BROKER: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})")
_ORIGIN: Final = re.compile(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?")
PORTS: Final = 65_536
RETENTION_MIN: Final = timedelta(days=14)


def _duration(text: Any) -> timedelta:
    if isinstance(text, timedelta):  # the default
        return text
    match = re.fullmatch(r"(\d{1,9})([smhd]?)", str(text).strip())
    if match is None:
        raise ValueError("is not a duration such as 90s, 15m, 24h or 7d")
    seconds = int(match[1]) * _SECONDS[match[2]]
    if seconds > _SECONDS_MAX:
        raise ValueError("must be at most 10000d")
    return timedelta(seconds=seconds)


def _sources(text: Any) -> tuple[str, ...]:
    return _listed(text, _SOURCE, "a source: upper-case letters, digits and _")


def _listed(text: Any, form: re.Pattern[str], what: str) -> tuple[str, ...]:
    """The parts between commas, each of this form."""
    if isinstance(text, tuple):  # the default
        return text
    parts = tuple(part.strip() for part in str(text).split(",") if part.strip())
    for part in parts:
        if form.fullmatch(part) is None:
            raise ValueError(f"{part!r} is not {what}")
    return parts


def _device_merge(text: Any) -> str:
    policy, _, sources = str(text).partition(":")
    if text not in ("max", "sum") and not (policy == "prefer" and _sources(sources)):
        raise ValueError("must be max, sum or prefer:SOURCE,SOURCE,...")
    return str(text)


def _expanded(uri: Any) -> str:
    """The address with each `${VAR}` replaced; before the `@`, escaped as a user or password."""
    text = uri.get_secret_value() if isinstance(uri, SecretStr) else str(uri)  # the default
    opening, at, rest = text.rpartition("@")
    return (
        _with_variables(opening, lambda value: quote(value, safe="")) + at + _with_variables(rest)
    )


def _with_variables(text: str, escaped: Callable[[str], str] = str) -> str:
    def value_of(match: re.Match[str]) -> str:
        if (value := os.environ.get(match[1])) is None:
            raise ValueError(f"names ${{{match[1]}}}, which is not set")
        return escaped(value)

    return _VARIABLE.sub(value_of, text)


def _brokers(text: Any) -> tuple[str, ...]:
    if isinstance(text, tuple):  # the default
        return text
    brokers = tuple(part.strip() for part in str(text).split(",") if part.strip())
    for broker in brokers:
        match = _BROKER.fullmatch(broker)
        if match is None or not 0 < int(match[1]) < PORTS:
            raise ValueError(f"{broker!r} is not a broker as kafka.example.org:9092")
    if not brokers:
        raise ValueError("must name a broker as kafka.example.org:9092")
    return brokers


def _origins(text: Any) -> tuple[str, ...]:
    return _listed(text, _ORIGIN, "an origin as https://app.example.org")


def _retention(text: Any) -> timedelta:
    kept = _duration(text)
    if kept < RETENTION_MIN:
        raise ValueError(f"must be at least {RETENTION_MIN.days}d")
    return kept


def _no_folder(path: Path) -> Path:
    if os.path.isdir(path):  # Path.is_dir raises where a folder may not be entered
        raise ValueError("is a folder")
    return path


Duration = Annotated[timedelta, BeforeValidator(_duration)]
SourceList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_sources)]
BrokerList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_brokers)]
OriginList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_origins)]
Topic = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,248}$")]
Seconds = timedelta(seconds=1)


class Settings(BaseSettings):
    """What can be set, with its default; the README's table says what each does."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    repository_backend: Literal["inmemory", "mongodb"] = "inmemory"
    mongodb_uri: Annotated[SecretStr, BeforeValidator(_expanded)] = SecretStr(
        "mongodb://127.0.0.1:27017"
    )
    mongodb_database: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,63}$")] = "ingest"
    mongodb_driver: Literal["pymongo", "motor"] = "pymongo"
    mongodb_max_pool_size: Annotated[int, Field(ge=1, le=10_000)] = 50
    mongodb_min_pool_size: Annotated[int, Field(ge=0, le=10_000)] = 10
    mongodb_timeout_seconds: Annotated[float, Field(ge=0.1, le=3600)] = 10
    retention: Annotated[timedelta, BeforeValidator(_retention)] | None = None
    kafka_brokers: BrokerList = ("127.0.0.1:9092",)
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    kafka_sasl_username: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$")] = ""
    kafka_sasl_password: SecretStr = SecretStr("")
    kafka_tls_ca: FilePath | None = None
    kafka_group: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")] = "ingest"
    kafka_partitions: Annotated[int, Field(ge=1, le=10_000)] = 12
    kafka_replication: Annotated[int, Field(ge=1, le=32)] = 1
    kafka_session_timeout: Annotated[Duration, Field(ge=6 * Seconds, le=1800 * Seconds)] = (
        timedelta(seconds=30)
    )
    topic_activity_events: Topic = "activity-events"
    topic_health_snapshots: Topic = "health-snapshots"
    topic_daily_totals: Topic = "daily-totals"
    topic_dead_letters: Topic = "ingest-dead-letters"
    retry_delay_max: Annotated[Duration, Field(ge=Seconds)] = timedelta(seconds=10)
    retry_timeout: Duration = timedelta(minutes=2)
    batch_size_max: Annotated[int, Field(ge=1, le=100_000)] = 1000
    batch_wait_seconds: Annotated[float, Field(ge=0.01, le=60)] = 0.2
    stall_timeout: Annotated[Duration, Field(ge=10 * Seconds)] = timedelta(minutes=5)
    shutdown_seconds: Annotated[float, Field(ge=1, le=3600)] = 25
    dead_letter_share_max: Annotated[float, Field(gt=0, le=1)] = 0.5
    dead_letter_consecutive_max: Annotated[int, Field(ge=1)] = 1000
    gateway_mode: Literal["embedded", "kafka"] = "embedded"
    api_rate_max: Annotated[float, Field(gt=0, le=1_000_000)] = 1000
    request_idle_seconds: Annotated[float, Field(ge=0.1, le=600)] = 20
    tls_cert_file: FilePath | None = None
    tls_key_file: FilePath | None = None
    cors_origins: OriginList = ()
    web_host: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]+$")] = "127.0.0.1"
    web_port: Annotated[int, Field(ge=0, lt=PORTS)] = 8000
    api_keys_file: Annotated[Path, AfterValidator(_no_folder)] | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    day_cache_size: Annotated[int, Field(ge=1)] = 50_000
    future_skew_max: Duration = timedelta(hours=24)
    idempotency_ttl: Duration = timedelta(days=7)
    reset_tolerance: Annotated[Decimal, Field(ge=0, lt=1, decimal_places=6)] = Decimal(0)
    authoritative_sources: SourceList = ()
    device_merge: Annotated[str, BeforeValidator(_device_merge)] = "max"

    @model_validator(mode="after")
    def _pool_sizes_fit(self) -> "Settings":
        if self.mongodb_min_pool_size > self.mongodb_max_pool_size:
            raise ValueError("MONGODB_MIN_POOL_SIZE must be at most MONGODB_MAX_POOL_SIZE")
        return self

    @model_validator(mode="after")
    def _topics_differ(self) -> "Settings":
        if len({getattr(self, name) for name in _TOPICS}) < len(_TOPICS):
            names = ", ".join(name.upper() for name in _TOPICS)
            raise ValueError(f"{names} must be different topics")
        return self

    @model_validator(mode="after")
    def _certificate_has_its_key(self) -> "Settings":
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("TLS_CERT_FILE and TLS_KEY_FILE belong together")
        return self

    @model_validator(mode="after")
    def _credentials_are_there(self) -> "Settings":
        if self.kafka_security_protocol.startswith("SASL") and not (
            self.kafka_sasl_username and self.kafka_sasl_password.get_secret_value()
        ):
            raise ValueError(
                "KAFKA_SECURITY_PROTOCOL needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"
            )
        return self


_TOPICS: Final = (
    "topic_activity_events",
    "topic_health_snapshots",
    "topic_daily_totals",
    "topic_dead_letters",
)


def load_settings() -> Settings:
    """The settings of this process; raises `SettingsInvalid` with one clear line."""
    try:
        return Settings()
    except ValidationError as error:
        broken = error.errors(include_url=False)[0]
        reason = broken["msg"].removeprefix("Value error, ")
        if not broken["loc"]:  # a rule about several
            raise SettingsInvalid(reason) from None
        field = str(broken["loc"][0])
        value = "" if field in _SECRET else f"={broken['input']!r}"
        raise SettingsInvalid(f"{field.upper()}{value}: {reason}") from None
