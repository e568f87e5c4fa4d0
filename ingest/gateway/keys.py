"""API keys: the file that holds their hashes, and whose key a token is.

A key is `ik_<id>_<secret>` and is shown once, when it is made. The file has SHA-256 of the secret
only: a secret is 256 random bits, which nobody can guess however fast the hash is, so a slow one
as for passwords would add nothing but its cost to every request.

No error and no log line quotes what a token or the file holds.
"""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import orjson
import structlog
from pydantic import (
    AfterValidator,
    AwareDatetime,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    with_config,
)
from typing_extensions import TypedDict

from ingest.core.schema import Id
from ingest.errors import FileUnusable, SettingsInvalid
from ingest.gateway.private_file import Version, locked, read, save, version_at

NAME_LENGTH_MAX: Final = 64
LOOK_SECONDS: Final = 1.0
KEY_ID_PATTERN: Final = r"^[0-9a-f]{12}$"
_ID_BYTES: Final = 6
_SECRET_BYTES: Final = 32
_TOKEN: Final = re.compile(r"ik_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NOBODY: Final = ("", "")
_NO_HASH: Final = "0" * 64
_FORMAT: Final = orjson.OPT_UTC_Z | orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE

log = structlog.get_logger()


class Scope(StrEnum):
    """What a key is for."""

    PUSH = "push"
    READ = "read"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """Who calls, and what they may; nothing in it is secret."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    user_prefix: str | None
    created_at: datetime

    def may(self, scope: Scope) -> bool:
        """Whether the key has this scope; `admin` includes the others."""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def covers(self, user_id: str) -> bool:
        """Whether the key is for this user: every user, or those that begin with its prefix."""
        return user_id.startswith(self.user_prefix or "")


class KeyRing:
    """The keys of a file, which is read again when it changed: looked at once a second at most.

    Raises `SettingsInvalid` if the file is of no use at the start. One that gets so later is
    logged once, and the keys that were known stay valid until it is mended.
    """

    def __init__(self, path: Path, now: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._now = now
        self._load()
        self._problem: str | None = None
        self._looked_at = now()

    def verify(self, token: str) -> ApiKey | None:
        """The key that a token is, None if it is none; takes as long whether its id is known."""
        self._look_again()
        match = _TOKEN.fullmatch(token)
        key_id, secret = match.groups() if match else _NOBODY
        key, sha256 = self._keys.get(key_id, (None, _NO_HASH))
        return key if hmac.compare_digest(_hash_of(secret), sha256) else None

    def _look_again(self) -> None:
        now = self._now()
        if now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        if self._problem is not None or version_at(self._path) != self._version:
            self._read_again()

    def _read_again(self) -> None:
        try:
            self._load()
        except SettingsInvalid as error:
            if str(error) != self._problem:
                log.error(  # noqa: TRY400 - a traceback may quote the file
                    "ingest.keys_unreadable", reason=str(error)
                )
            self._problem = str(error)
        else:
            log.info("ingest.keys_read", keys=len(self._keys))
            self._problem = None

    def _load(self) -> None:
        entries, self._version = _read(self._path)
        self._keys = {entry["id"]: (_key_of(entry), entry["sha256"]) for entry in entries}


def create_key(
    path: Path, *, name: str, scopes: Sequence[Scope], user_prefix: str | None, now: datetime
) -> tuple[ApiKey, str]:
    """Add a key to a file, which is made if it is missing: the key, and the token to show once.

    Raises `SettingsInvalid` if the file is broken, `FileUnusable` if it cannot be written.
    """
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    key = ApiKey(
        id=secrets.token_hex(_ID_BYTES),
        name=name,
        scopes=tuple(scope for scope in Scope if scope in scopes),
        user_prefix=user_prefix,
        created_at=now.replace(microsecond=0),
    )
    with locked(path) as file:
        entries = _read(path)[0] if version_at(file) else []
        entries.append(_entry_of(key, _hash_of(secret)))
        save(file, orjson.dumps(entries, option=_FORMAT))
    return key, f"ik_{key.id}_{secret}"


def revoke_key(path: Path, key_id: str) -> bool:
    """Take a key out of a file; False if it is not in there. Raises as `create_key`."""
    with locked(path) as file:
        entries, _ = _read(path)
        left = [entry for entry in entries if entry["id"] != key_id]
        if is_there := len(left) < len(entries):
            save(file, orjson.dumps(left, option=_FORMAT))
    return is_there


def keys_in(path: Path) -> list[ApiKey]:
    """The keys of a file, the oldest first. Raises `SettingsInvalid`."""
    return [_key_of(entry) for entry in _read(path)[0]]


def checked_name(name: str) -> str:
    """The name of a key, if a person can read it in a table; `ValueError` otherwise."""
    if not (name.strip() and name.isprintable() and len(name) <= NAME_LENGTH_MAX):
        raise ValueError(f"must be 1 to {NAME_LENGTH_MAX} printable characters")
    return name


@with_config(ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True))
class _Entry(TypedDict):
    """A key as the file has it. No field may be absent: a slip must not lose a prefix."""

    id: Annotated[str, Field(pattern=KEY_ID_PATTERN)]
    name: Annotated[str, AfterValidator(checked_name)]
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    user_prefix: Id | None
    created_at: AwareDatetime
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


_ENTRIES: Final = TypeAdapter(list[_Entry])


def _read(path: Path) -> tuple[list[_Entry], Version]:
    """The keys in a file, and which version of it that was."""
    try:
        content, version = read(path)
    except FileUnusable as error:
        raise SettingsInvalid(f"API_KEYS_FILE: {error}") from error
    try:
        entries = _ENTRIES.validate_json(content)
    except ValidationError as error:
        raise _broken(path, _reason_of(error)) from None  # the cause may quote what is there
    if len({entry["id"] for entry in entries}) < len(entries):
        raise _broken(path, "two keys have the same id")
    return entries, version


def _broken(path: Path, reason: str) -> SettingsInvalid:
    return SettingsInvalid(f"API_KEYS_FILE: {path} is no file of keys: {reason}")


def _reason_of(error: ValidationError) -> str:
    """Where the first mistake is and which rule it breaks, without a word of the file's own."""
    broken = error.errors(include_url=False, include_context=False, include_input=False)[0]
    number, field = (*broken["loc"], None, None)[:2]
    place = "" if number is None else f"key {int(number) + 1}: "
    name = f"{field} " if field in _Entry.__annotations__ else ""
    return f"{place}{name}{broken['msg'].removeprefix('Value error, ')}"


def _hash_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _key_of(entry: _Entry) -> ApiKey:
    return ApiKey(
        id=entry["id"],
        name=entry["name"],
        scopes=entry["scopes"],
        user_prefix=entry["user_prefix"],
        created_at=entry["created_at"],
    )


def _entry_of(key: ApiKey, sha256: str) -> _Entry:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": key.scopes,
        "user_prefix": key.user_prefix,
        "created_at": key.created_at,
        "sha256": sha256,
    }
