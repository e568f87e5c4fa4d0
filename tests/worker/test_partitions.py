"""A pipeline for each partition, and one bound on all the days they keep at hand."""

from ingest.stores.memory import memory_store
from ingest.worker.partitions import Partitions
from tests.batches import TTL, batch, pipeline_on
from tests.fakes import RecordingPublisher
from tests.worker.taking import steps


def partitions(day_cache_size: int) -> Partitions:
    store = memory_store(TTL)
    return Partitions(lambda: pipeline_on(store, RecordingPublisher()), day_cache_size)


async def filled(kept: Partitions, number: int, days: int) -> None:
    await kept.pipeline(number).run(
        batch(*(steps(f"p{number}-u{user}", 5) for user in range(days)))
    )


async def test_a_partition_keeps_its_pipeline():
    kept = partitions(10)
    assert kept.pipeline(3) is kept.pipeline(3)
    assert kept.pipeline(3) is not kept.pipeline(4)


async def test_all_partitions_together_keep_no_more_days_than_one_would():
    kept = partitions(10)
    await filled(kept, 0, 9)
    assert kept.cached_days == 9
    await filled(kept, 1, 9)
    assert kept.cached_days == 10
    assert len(kept.pipeline(0).cache) == 5


async def test_what_goes_leaves_its_room_to_the_others():
    kept = partitions(10)
    await filled(kept, 0, 9)
    await filled(kept, 1, 9)
    kept.keep({1})
    assert (len(kept), kept.cached_days) == (1, 5)
    await filled(kept, 1, 9)
    assert kept.cached_days == 9


async def test_more_partitions_than_days_keep_one_each():
    kept = partitions(2)
    for number in range(4):
        await filled(kept, number, 3)
    assert kept.cached_days == 4
