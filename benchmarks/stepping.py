"""How long each step of the pipeline computes: what waits, or runs meanwhile, is not counted.

A function is timed from call to return. A coroutine is timed only while it runs itself: from each
time the loop resumes it to its next wait. Seconds are the clock's, so they mean CPU time on a core
that nothing else uses.
"""

import time
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Final

import ingest.pipeline
import ingest.stores.mongo.store
from ingest.core.totals import DailyTotal
from ingest.ports import Publisher, Store

# What the pipeline calls by name in its own module, and the stage each call belongs to.
FUNCTIONS: Final = {
    "decode": "decode",
    "with_keys": "judge",
    "judge": "judge",
    "verdicts_of": "judge",
    "changes_of": "fold",
    "fold": "fold",
    "repair": "fold",
    "outcome_of": "outcome",
    "dead_letters_of": "outcome",
}
PORTS: Final = {
    "append_events": "append",
    "append_snapshots": "append",
    "correct_events": "append",
    "correct_snapshots": "append",
    "load": "read again",
    "events_in_hours": "read again",
    "count_in_hours": "read again",
    "snapshots_of_days": "read again",
    "save": "save",
    "fingerprints": "judge",
    "remember": "save",
    "publish_totals": "publish",
    "publish_dead_letters": "publish",
}
DOCUMENTS: Final = "documents"  # a part of append


class Steps:
    """Seconds by stage, and what was saved, for as long as this process lives."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(PORTS.values(), 0.0)
        self.saved: list[list[DailyTotal]] = []

    def install(self) -> None:
        """Time the pipeline's functions and the making of documents from now on."""
        for name, stage in FUNCTIONS.items():
            _replace(ingest.pipeline, name, lambda own, stage=stage: self.function(own, stage))
        _replace(
            ingest.stores.mongo.store,
            "event_documents",
            lambda own: self.function(own, DOCUMENTS),
        )

    def store(self, store: Store) -> Store:
        """The same store, each call of it timed."""
        return Store(*(_Stepped(port, self) for port in store))

    def publisher(self, publisher: Publisher) -> Any:
        """The same publisher, each call of it timed."""
        return _Stepped(publisher, self)

    def function(self, function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        """The same function, timed."""
        self.seconds.setdefault(stage, 0.0)

        def timed(*arguments: Any, **options: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                self.seconds[stage] += time.perf_counter() - started

        return timed

    def coroutine(self, function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        """The same coroutine function, timed step by step."""
        self.seconds.setdefault(stage, 0.0)

        async def timed(*arguments: Any, **options: Any) -> Any:
            return await _Stepping(function(*arguments, **options), self.seconds, stage)

        return timed


class _Stepped:
    """A port whose calls are timed."""

    def __init__(self, port: Any, steps: Steps) -> None:
        self._port = port
        self._steps = steps

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if name not in PORTS:
            return method
        timed = self._steps.coroutine(method, PORTS[name])
        if name != "save":
            return timed

        async def save(totals: Any) -> Any:
            self._steps.saved.append([*totals])
            return await timed(totals)

        return save


class _Stepping:
    """An awaitable that times the steps of a coroutine."""

    def __init__(
        self, coroutine: Coroutine[Any, Any, Any], seconds: dict[str, float], stage: str
    ) -> None:
        self._coroutine = coroutine
        self._seconds = seconds
        self._stage = stage

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self._coroutine.__await__()
        step: Callable[[], Any] = lambda: next(steps)  # noqa: E731 - what is to be done next
        while True:
            started = time.perf_counter()
            try:
                waited = step()
            except StopIteration as done:
                return done.value
            finally:
                self._seconds[self._stage] += time.perf_counter() - started
            try:
                sent = yield waited
            except BaseException as error:  # it belongs to the coroutine
                step = lambda error=error: steps.throw(error)  # noqa: E731
            else:
                step = lambda sent=sent: steps.send(sent)  # noqa: E731


def _replace(module: Any, name: str, wrapped: Callable[[Any], Any]) -> None:
    setattr(module, name, wrapped(getattr(module, name)))
