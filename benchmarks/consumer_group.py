"""A consumer group seen from outside: who is in it, how far it has read, and who is dead."""

from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import GroupCoordinatorNotAvailableError
from aiokafka.protocol.group import LeaveGroupRequest


class ConsumerGroup(NamedTuple):
    """The group of this name, as far as it reads one topic."""

    client: AIOKafkaAdminClient
    name: str
    topic: str

    async def assigned(self) -> int:
        """How many partitions of the topic its members have; none while they are rebalanced."""
        try:
            described = await self._described()
        except GroupCoordinatorNotAvailableError:  # the broker has not made its topic of offsets
            return 0
        if described.state != "Stable":
            return 0
        return sum(
            place.topic == self.topic
            for member in described.members
            if member[4]
            for place in ConsumerProtocolMemberAssignment.decode(member[4]).partitions()
        )

    async def members(self) -> int:
        """How many members it has."""
        return len((await self._described()).members)

    async def committed(self) -> int:
        """How many messages of the topic it has acknowledged."""
        offsets = await self.client.list_consumer_group_offsets(self.name)
        return sum(
            max(0, found.offset) for place, found in offsets.items() if place.topic == self.topic
        )

    async def bury(self) -> None:
        """Say for its members, which were killed, that they leave: nobody waits for them then.

        What a group has committed is not touched by it.
        """
        node = await self.client.find_coordinator(self.name)
        for member_id, *_ in (await self._described()).members:
            await self.client._send_request(LeaveGroupRequest(self.name, member_id), node)

    async def _described(self) -> "_Described":
        (answer,) = await self.client.describe_consumer_groups([self.name])
        _, _, state, _, _, members, *_ = answer.groups[0]
        return _Described(state, members)


class _Described(NamedTuple):
    state: str
    members: list[tuple[Any, ...]]  # id, client, host, metadata, assignment
