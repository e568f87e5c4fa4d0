"""Who calls, and whether they may: the key in a request, its scope, its users, its rate."""

from typing import Annotated, Final, NamedTuple

from fastapi import Depends, Request

from ingest.gateway.keys import ApiKey, KeyRing, Scope
from ingest.gateway.parameters import UserId
from ingest.gateway.problems import Problem
from ingest.gateway.rates import Rates


class Caller(NamedTuple):
    """Who calls; without keys everyone is `ANYONE`."""

    name: str
    key: ApiKey | None

    @property
    def user_prefix(self) -> str | None:
        """What the ids of their users begin with; None where all are."""
        return None if self.key is None else self.key.user_prefix

    def covers(self, user_id: str) -> bool:
        """Whether this user is one of theirs."""
        return self.key is None or self.key.covers(user_id)


_OWN_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
ANYONE: Final = Caller("anyone", None)


class Guard:
    """Lets requests in; without a key ring, all of them."""

    def __init__(self, keys: KeyRing | None, rates: Rates) -> None:
        self._keys = keys
        self._rates = rates

    def admit(self, request: Request, scope: Scope) -> Caller:
        """Who calls; raises `Problem` 401, 403 or 429."""
        if self._keys is None:
            _require_own_name(request)
            return ANYONE
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        key = self._keys.verify(token.strip()) if scheme.lower() == "bearer" else None
        if key is None:
            detail = "send a key: Authorization: Bearer ik_..."
            challenge = {"WWW-Authenticate": "Bearer"}
            raise Problem(401, "Key needed", code="KEY_NEEDED", detail=detail, headers=challenge)
        if wait := self._rates.take(key.id):
            headers = {"Retry-After": str(int(wait) + 1)}
            raise Problem(429, "Too many requests", code="TOO_MANY_REQUESTS", headers=headers)
        if not key.may(scope):
            detail = f"the key has not the scope {scope}"
            raise Problem(403, "Not permitted", code="NO_SUCH_SCOPE", detail=detail)
        return Caller(key.id, key)


def _require_own_name(request: Request) -> None:
    """Without keys, only who asks for this machine is answered.

    A name of another site that was made to lead here would let its page read (DNS rebinding).
    """
    name = request.url.hostname
    if name not in _OWN_NAMES:
        detail = "without API_KEYS_FILE only requests to localhost are answered"
        raise Problem(403, "Not permitted", code="FOREIGN_HOST", detail=detail)


def admitted(request: Request, scope: Scope) -> Caller:
    """As `Guard.admit`, by the guard of this service."""
    guard: Guard = request.app.state.guard
    return guard.admit(request, scope)


def require(caller: Caller, user_id: str) -> None:
    """Raise `Problem` where this user is none of theirs."""
    if not caller.covers(user_id):
        raise Problem(
            403, "Not permitted", code="USER_NOT_COVERED", detail="the key is for other users"
        )


async def pusher(request: Request) -> Caller:
    """Who may push."""
    return admitted(request, Scope.PUSH)


async def reader(request: Request) -> Caller:
    """Who may read."""
    return admitted(request, Scope.READ)


async def reader_of_user(request: Request, user_id: UserId) -> Caller:
    """Who may read what there is of this user."""
    caller = admitted(request, Scope.READ)
    require(caller, user_id)
    return caller


async def admin_of_user(request: Request, user_id: UserId) -> Caller:
    """Who may do anything with this user."""
    caller = admitted(request, Scope.ADMIN)
    require(caller, user_id)
    return caller


Pusher = Annotated[Caller, Depends(pusher)]
Reader = Annotated[Caller, Depends(reader)]
ReaderOfUser = Annotated[Caller, Depends(reader_of_user)]
AdminOfUser = Annotated[Caller, Depends(admin_of_user)]
