"""Who calls, and what they may: a stand-in that lets everybody do everything."""

from typing import NamedTuple

from fastapi import Request

from ingest.gateway.parameters import UserId


class Caller(NamedTuple):
    """Whose key it is, and which users it is for: all of them where there is no prefix."""

    name: str
    user_prefix: str | None

    def covers(self, user_id: str) -> bool:
        """Whether the caller may know of a user."""
        return self.user_prefix is None or user_id.startswith(self.user_prefix)


async def reader(request: Request) -> Caller:  # noqa: ARG001 - what a key is read from
    """Whoever may read; raises a `Problem` for anyone else."""
    return Caller("everybody", None)


async def reader_of_user(request: Request, user_id: UserId) -> Caller:  # noqa: ARG001 - as above
    """Whoever may read of this user."""
    return await reader(request)


async def admin_of_user(request: Request, user_id: UserId) -> Caller:  # noqa: ARG001 - as above
    """Whoever may erase this user."""
    return await reader(request)
