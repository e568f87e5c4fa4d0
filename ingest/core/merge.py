"""How what several devices say of a day becomes one number (DESIGN section 5)."""

from collections.abc import Collection, Mapping
from typing import Literal, NamedTuple, cast


class DeviceTotal(NamedTuple):
    """What one device says of a day."""

    steps: int
    calories_out: int
    basis: Literal["snapshots", "events"]


class DeviceMerge(NamedTuple):
    """How a day's devices become one: `max` per counter, `sum`, or the `prefer`red source's."""

    policy: Literal["max", "sum", "prefer"] = "max"
    sources: tuple[str, ...] = ()

    @classmethod
    def of(cls, text: str) -> "DeviceMerge":
        """The policy that a valid `DEVICE_MERGE` setting names."""
        policy, _, sources = text.partition(":")
        return cls(
            cast('Literal["max", "sum", "prefer"]', policy),
            tuple(source.strip() for source in sources.split(",") if source.strip()),
        )


def merged(
    devices: Mapping[str, DeviceTotal],
    sources: Mapping[str, Collection[str]],
    merge: DeviceMerge,
) -> tuple[int, int]:
    """Steps and units of calories of the day; `sources` are those of each device's records.

    `prefer` takes the devices with the source that stands first in its list, all of them where
    none does, and of several the greatest of each counter.
    """
    chosen = [*devices.values()]
    if merge.policy == "sum":
        return sum(d.steps for d in chosen), sum(d.calories_out for d in chosen)
    if merge.policy == "prefer":
        ranks = {device_id: _rank(sources[device_id], merge.sources) for device_id in devices}
        best = min(ranks.values(), default=0)
        chosen = [devices[device_id] for device_id, rank in ranks.items() if rank == best]
    return (
        max((d.steps for d in chosen), default=0),
        max((d.calories_out for d in chosen), default=0),
    )


def _rank(sources: Collection[str], preferred: tuple[str, ...]) -> int:
    places = [place for place, source in enumerate(preferred) if source in sources]
    return min(places, default=len(preferred))
