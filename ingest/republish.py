"""Stored totals sent to `daily-totals` again, without ever leaving an older one behind a newer."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from ingest.core.totals import DailyTotal
from ingest.ports import Scope, TotalStore

if TYPE_CHECKING:
    from ingest.queues.kafka import KafkaTopics


async def republish(
    totals: TotalStore,
    topics: "KafkaTopics",
    scope: Scope,
    *,
    since: datetime | None,
    on_totals: Callable[[int], None],
) -> int:
    """Send every total in the scope, or those updated at `since` or later; how many there were.

    Totals of nothing are among them: a reader may hold an older revision. `on_totals` is told how
    many were looked at.
    """
    count = 0
    async for page in totals.scan(scope):
        chosen = [total for total in page if since is None or _is_since(total, since)]
        if chosen:
            await _send(totals, topics, chosen)
        count += len(chosen)
        on_totals(len(page))
    return count


def _is_since(total: DailyTotal, since: datetime) -> bool:
    return total.updated_at is not None and total.updated_at >= since


async def _send(totals: TotalStore, topics: "KafkaTopics", chosen: Sequence[DailyTotal]) -> None:
    """Send these, and again what was saved or erased meanwhile, until nothing was.

    A worker may have published a newer revision before the older one that was read here, and the
    topic keeps the last of a key.
    """
    while chosen:
        await topics.publish_totals(chosen)
        revisions = {total.day: total.revision for total in chosen}
        stored = await totals.load([*revisions])
        if erased := [day for day in revisions if day not in stored]:
            await topics.delete_totals(erased)
        chosen = [total for day, total in stored.items() if total.revision != revisions[day]]
