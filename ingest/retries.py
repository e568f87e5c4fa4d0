"""Trying a batch again, whole, while a service is away."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import NamedTuple, TypeVar

import stamina

from ingest.errors import BatchRetryable

Result = TypeVar("Result")


class Patience(NamedTuple):
    """How long to go on: delays double up to `delay_max`, with jitter.

    A timeout of zero is a single attempt, none goes on for ever.
    """

    delay_max: timedelta
    timeout: timedelta | None


async def until_done(run: Callable[[], Awaitable[Result]], patience: Patience) -> Result:
    """What `run` returns, once it no longer raises `BatchRetryable`.

    Raises the last `BatchRetryable` after the timeout, and whatever else `run` raises at once.
    """
    if patience.timeout == timedelta():
        return await run()
    attempts = stamina.retry_context(
        on=BatchRetryable,
        attempts=None,
        timeout=patience.timeout,
        wait_initial=0.1,
        wait_max=patience.delay_max,
        wait_jitter=min(1.0, patience.delay_max.total_seconds()),
    )
    async for attempt in attempts:
        with attempt:
            return await run()
    raise AssertionError("stamina ends by returning or raising")
