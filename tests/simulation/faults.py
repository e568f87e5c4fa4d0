"""Which call fails and how: drawn as the run goes, numbered, and countable one by one."""

import random
from collections import Counter

from tests.simulation.plan import Plan

_ONLY_WRITES = frozenset({"part", "late"})
_NOT_BEFORE_PUBLISHING = frozenset({"freeze before"})  # what the README does not promise
_IN_TOPIC_ORDER = frozenset({"late"})  # a producer sends nothing late
PUBLICATIONS = frozenset({"publish_totals", "publish_dead_letters"})
WRITES = frozenset(
    {"append_events", "append_snapshots", "correct_events", "correct_snapshots", "save", "remember"}
)


class Faults:
    """Draws the fault of a call, and counts what was injected by kind.

    A fault that the plan skips is drawn all the same, so that those behind it stay what they are.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._rng = random.Random(f"faults {plan.seed}")
        self._numbers = 0
        self.injected: Counter[str] = Counter()

    def of_call(self, name: str, now: float) -> str | None:
        """What happens to a call of a store or a publisher, None most often."""
        if now >= self._plan.faults_until or name not in self._plan.calls_that_fail:
            return None
        if self._rng.random() >= self._plan.fault_rate:
            return None
        kind = self._rng.choice(self._plan.call_faults)
        return kind if self._can_be(kind, name) and self.admits(kind) else None

    def admits(self, kind: str) -> bool:
        """Whether a fault of this kind happens now; it is counted if it does."""
        number = self._numbers
        self._numbers += 1
        if number >= self._plan.faults_max or number in self._plan.skipped_faults:
            return False
        self.injected[kind] += 1
        return True

    @property
    def drawn(self) -> int:
        return self._numbers

    def _can_be(self, kind: str, name: str) -> bool:
        if name == "heartbeat":  # one that is asked for; it fails where the broker is silent
            return kind in ("freeze before", "freeze within")
        if name in PUBLICATIONS:
            return kind not in _NOT_BEFORE_PUBLISHING | _IN_TOPIC_ORDER
        return name in WRITES or kind not in _ONLY_WRITES
