"""A pipeline for each partition at hand, so that what is known of its days goes when it goes."""

from collections.abc import Callable, Collection

from ingest.pipeline import Pipeline


class Partitions:
    """Pipelines by partition number; the days they keep at hand are bounded together."""

    def __init__(self, new_pipeline: Callable[[], Pipeline], day_cache_size: int) -> None:
        self._new_pipeline = new_pipeline
        self._day_cache_size = day_cache_size
        self._pipelines: dict[int, Pipeline] = {}

    def __len__(self) -> int:
        return len(self._pipelines)

    @property
    def cached_days(self) -> int:
        return sum(len(pipeline.cache) for pipeline in self._pipelines.values())

    def pipeline(self, number: int) -> Pipeline:
        """The pipeline of a partition, a new one if it has none."""
        if number not in self._pipelines:
            self._pipelines[number] = self._new_pipeline()
            self._share_the_cache()
        return self._pipelines[number]

    def keep(self, numbers: Collection[int]) -> None:
        """Forget all partitions but these."""
        for number in self._pipelines.keys() - numbers:
            del self._pipelines[number]
        self._share_the_cache()

    def _share_the_cache(self) -> None:
        size = max(1, self._day_cache_size // max(1, len(self._pipelines)))
        for pipeline in self._pipelines.values():
            pipeline.cache.bound(size)
