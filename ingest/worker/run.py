"""A worker's life: checks before it starts, and how it stops."""

import asyncio
import signal
import time
import traceback
from collections.abc import Awaitable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final

import structlog
from aiokafka.errors import KafkaError
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

from ingest.brokers import connection_of, wanted_of
from ingest.errors import QueueUnavailable, WorkerStopped
from ingest.logs import configure
from ingest.queues.kafka import administration, check, meaning_of
from ingest.settings import Settings
from ingest.worker.app import WorkerApp, create_app

log = structlog.get_logger()
STOP_SHARE: Final = 0.3  # of the time to shut down: what is left for leaving the group


async def work(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT.

    Raises what the store or Kafka say before the start, `WorkerStopped` for what stops a worker.
    """
    with _stop_signals() as asked:  # first: process 1 of a container ignores what it has none for
        checking = asyncio.ensure_future(_check_topics(settings))
        await _first_of(checking, asked.wait())
        if asked.is_set():
            checking.cancel()
            await asyncio.wait([checking])
            return
        checking.result()
        configure(settings.log_level)
        set_on_retry_hooks([_log_retry])
        app = create_app(settings)
        starting = asyncio.ensure_future(app.start())
        await _first_of(starting, asked.wait())
        if starting.done() and starting.exception() is not None:
            await _within(1, app.stop())
            starting.result()
        problem = await _until_over(app, asked)
        await _stop(app, settings.shutdown_seconds)
    if problem is not None:
        raise _as_stopped(problem)


async def _check_topics(settings: Settings) -> None:
    async with administration(connection_of(settings)) as client:
        await check(client, wanted_of(settings))


async def _until_over(app: WorkerApp, asked: asyncio.Event) -> BaseException | None:
    """What the worker must stop for; None where it was asked to."""
    log.info("ingest.worker_started")
    if app.settings.repository_backend == "inmemory":
        log.warning("ingest.store_in_memory", mend="REPOSITORY_BACKEND=mongodb")
    await _first_of(asked.wait(), app._crashed.wait(), app.failed.wait())
    if app.failure is not None:
        return app.failure
    if app.crashed:
        return app._crash_reason or WorkerStopped("the Kafka client gave up")
    return None


async def _first_of(*waits: Awaitable[Any]) -> None:
    """Return when one of these has ended; what was a task already goes on."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for wait, task in zip(waits, tasks, strict=True):
        if wait is not task:
            task.cancel()


async def _stop(app: WorkerApp, seconds: float) -> None:
    """Finish the batch in hand, commit and leave the group, all within this time."""
    deadline = time.monotonic() + seconds
    log.info("ingest.worker_stopping")
    drain_seconds = seconds * (1 - STOP_SHARE)
    await _within(drain_seconds + seconds * STOP_SHARE / 2, app.drain(drain_seconds))
    await _within(max(0.1, deadline - time.monotonic()), app.stop())
    log.info("ingest.worker_stopped")


async def _within(seconds: float, ending: Coroutine[Any, Any, Any]) -> None:
    """Wait for this, but no longer; what it raises changes nothing any more.

    aiokafka 0.14 is cancelled by what it cancels when it is stopped without its broker.
    """
    task = asyncio.ensure_future(ending)
    done, _ = await asyncio.wait([task], timeout=seconds)
    if not done or task.cancelled() or task.exception() is not None:
        log.warning("ingest.stop_incomplete", next="what was not committed is read again")


@contextmanager
def _stop_signals() -> Iterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set; a second one ends the process as it always does."""
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    signals = signal.SIGTERM, signal.SIGINT

    def ask() -> None:
        asked.set()
        for number in signals:
            loop.remove_signal_handler(number)

    for number in signals:
        loop.add_signal_handler(number, ask)
    try:
        yield asked
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


def _as_stopped(error: BaseException) -> BaseException:
    """The error as it is where it says what to do; a bug's without its text, which may quote."""
    if isinstance(error, (WorkerStopped, QueueUnavailable)):
        return error
    if isinstance(error, KafkaError):  # the consumer gave up
        return meaning_of(error)
    frames = [
        f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)
    ]
    log.error("ingest.bug", error=type(error).__name__, frames=frames)
    return WorkerStopped(
        f"stopped by a bug ({type(error).__name__}), nothing of the batch was lost"
    )


def _log_retry(details: RetryDetails) -> None:
    log.warning(
        "ingest.retrying", reason=str(details.caused_by), wait_seconds=round(details.wait_for, 2)
    )
