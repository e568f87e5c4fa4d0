"""One user deleted: from the store, and where Kafka is in use from the topic of daily totals."""

from typing import TYPE_CHECKING

from ingest.core.records import Kind
from ingest.core.timestamps import FIRST_DATE, LAST_DATE
from ingest.ports import Store
from ingest.stores.documents import EVENTS, KEYS, SNAPSHOTS, TOTALS

if TYPE_CHECKING:
    from ingest.queues.kafka import KafkaTopics


async def erase(store: Store, user: str) -> dict[str, int]:
    """Delete all there is of a user; how many documents of each collection there were.

    The log goes first: what is left of a deletion cut short is then seen by `db verify`.
    """
    records = await store.log.erase(user)
    return {
        EVENTS: records[Kind.ACTIVITY],
        SNAPSHOTS: records[Kind.HEALTH],
        TOTALS: await store.totals.erase(user),
        KEYS: await store.keys.erase(user),
    }


async def erase_with_tombstones(store: Store, topics: "KafkaTopics", user: str) -> dict[str, int]:
    """As `erase`, and delete the user's totals from their topic; counts these `tombstones` too.

    They go first: where they cannot be sent nothing is erased, and erasing again still finds the
    days. They go last too, over what a worker published meanwhile.
    """
    totals = await store.totals.totals_between(user, FIRST_DATE, LAST_DATE)
    days = [total.day for total in totals]
    await topics.delete_totals(days)
    counts = await erase(store, user)
    await topics.delete_totals(days)
    return {**counts, "tombstones": len(days)}
