"""The environment, read once and checked; nothing else in this package looks at it.

Every setting is an environment variable of the same name in upper case. A bad value stops the
program before it starts, with one line that names the variable.
"""

import re
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from ingest.errors import SettingsInvalid

_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_SECONDS_MAX: Final = 10_000 * 86_400
_SOURCE: Final = re.compile(r"[A-Z0-9_]{1,64}")


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
    if isinstance(text, tuple):  # the default
        return text
    sources = tuple(part.strip() for part in str(text).split(",") if part.strip())
    for source in sources:
        if _SOURCE.fullmatch(source) is None:
            raise ValueError(f"{source!r} is not a source: upper-case letters, digits and _")
    return sources


def _device_merge(text: Any) -> str:
    policy, _, sources = str(text).partition(":")
    if text not in ("max", "sum") and not (policy == "prefer" and _sources(sources)):
        raise ValueError("must be max, sum or prefer:SOURCE,SOURCE,...")
    return str(text)


Duration = Annotated[timedelta, BeforeValidator(_duration)]
SourceList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_sources)]


class Settings(BaseSettings):
    """What can be set, with its default; the README's table says what each does."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    repository_backend: Literal["inmemory"] = "inmemory"
    batch_size_max: Annotated[int, Field(ge=1, le=100_000)] = 1000
    day_cache_size: Annotated[int, Field(ge=1)] = 50_000
    future_skew_max: Duration = timedelta(hours=24)
    idempotency_ttl: Duration = timedelta(days=7)
    reset_tolerance: Annotated[Decimal, Field(ge=0, lt=1, decimal_places=6)] = Decimal(0)
    authoritative_sources: SourceList = ()
    device_merge: Annotated[str, BeforeValidator(_device_merge)] = "max"


def load_settings() -> Settings:
    """The settings of this process; raises `SettingsInvalid` with one clear line."""
    try:
        return Settings()
    except ValidationError as error:
        broken = error.errors(include_url=False)[0]
        reason = broken["msg"].removeprefix("Value error, ")
        variable = str(broken["loc"][0]).upper()
        raise SettingsInvalid(f"{variable}={broken['input']!r}: {reason}") from None
