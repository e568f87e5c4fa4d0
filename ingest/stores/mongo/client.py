"""The connection to MongoDB: opened as the settings say, its errors told apart by what to do next.

Writes are acknowledged by a majority, journalled, whatever the address says: DESIGN's promise P1
rests on it, so an address that asks for less is refused. Reads see only what a majority holds, so
that what was read as already there cannot be rolled back.
"""

import re
import warnings
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from inspect import isawaitable
from typing import Any, Final, Literal, NamedTuple, cast

from bson.errors import InvalidDocument
from pymongo import AsyncMongoClient, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    InvalidURI,
    OperationFailure,
    PyMongoError,
)
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference

from ingest.errors import SettingsInvalid, StoreUnavailable, StoreUnusable, WorkerStopped

Document = dict[str, Any]
Collection = AsyncCollection[Document]
Database = AsyncDatabase[Document]

DUPLICATE_KEY: Final = 11000
UNAUTHORIZED: Final = 13
AUTHENTICATION_FAILED: Final = 18
DURABLE: Final = WriteConcern("majority", j=True)
COMMITTED: Final = ReadConcern("majority")
WIRE_VERSION_MIN: Final = 9  # of MongoDB 4.4
TOO_OLD: Final = "this MongoDB is too old: 4.4 or newer is needed"
# What the driver adds behind the cause of an error.
_DETAILS: Final = re.compile(r", Timeout: | \(configured timeouts|, full error: ")
# Error codes of MongoDB's error_codes.yml after which the same operation can succeed.
_TRANSIENT: Final = frozenset(
    {
        *(6, 7, 89, 9001),  # host unreachable, not found, network timeout, socket
        *(91, 189, 10107, 11600, 11602, 13435, 13436),  # stepping down, not primary, recovering
        *(50, 202, 262),  # a time limit was exceeded
        *(64, 79, 100),  # write concern failed, unknown (yet), cannot be satisfied (now)
        *(63, 112, 133, 134, 150, 234, 13388),  # stale shard, write conflict, not readable yet
        *(43, 237, 175, 46, 24),  # cursor or lock gone
        *(14031, 96, 290, 391),  # out of disk space, shutting down, re-authentication
    }
)


class Connection(NamedTuple):
    """What it takes to open a database; `uri` may hold a password and is never shown."""

    uri: str
    database: str
    driver: Literal["pymongo", "motor"] = "pymongo"
    max_pool_size: int = 50
    min_pool_size: int = 10
    timeout_seconds: float = 10


@asynccontextmanager
async def opened(connection: Connection) -> AsyncIterator[Database]:
    """The database, once its server has answered and is one this program can rely on.

    Raises `SettingsInvalid` (the address), `StoreUnavailable` (nobody there) or `StoreUnusable`
    (credentials, too old a server, writes that cannot be made durable).
    """
    client = _client(connection)
    try:
        with translated_errors():
            told = await client.admin.command("hello")
        if told["maxWireVersion"] < WIRE_VERSION_MIN:
            raise StoreUnusable(TOO_OLD)
        yield client.get_database(
            connection.database,
            write_concern=DURABLE,
            read_concern=COMMITTED,
            read_preference=ReadPreference.PRIMARY,
        )
    finally:
        closing = cast("Any", client.close())
        if isawaitable(closing):  # Motor's returns nothing
            await closing


async def documents_of(cursor: Any) -> list[Document]:
    """All that a cursor holds; PyMongo's methods hand out some of them only when awaited."""
    if isawaitable(cursor):
        cursor = await cursor
    return cast("list[Document]", await cursor.to_list(None))


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn every error of the driver into one of ours, without the values it may quote."""
    try:
        yield
    except BulkWriteError as error:
        raise error_of_bulk(error.details or {}) from None
    except InvalidDocument as error:  # which is no PyMongoError; too large, for one
        raise WorkerStopped(f"a document cannot be sent: {type(error).__name__}") from None
    except PyMongoError as error:
        raise error_of(error) from None


def error_of(error: PyMongoError) -> Exception:
    """What an error of the driver means."""
    if isinstance(error, ConfigurationError):
        is_old = "wire version" in str(error)
        return StoreUnusable(TOO_OLD if is_old else f"MongoDB cannot be used: {error}")
    if isinstance(error, ConnectionFailure):
        cause = _DETAILS.split(str(error), maxsplit=1)[0]
        return StoreUnavailable(f"MongoDB does not answer: {cause}")
    if isinstance(error, OperationFailure):
        return error_of_code(error.code, error.details or {}, is_timeout=error.timeout)
    if error.timeout:
        return StoreUnavailable("MongoDB did not answer in MONGODB_TIMEOUT_SECONDS")
    return WorkerStopped(f"the driver of MongoDB failed: {type(error).__name__}")


def error_of_bulk(details: Mapping[str, Any]) -> Exception:
    """What the outcome of a bulk means, if not only that some were already there."""
    failed = [e for e in details["writeErrors"] if e.get("code") != DUPLICATE_KEY]
    failed += details["writeConcernErrors"]
    fatal = [e for e in failed if e.get("code") not in _TRANSIENT]
    worst = (fatal or failed)[0]
    return error_of_code(worst.get("code"), worst)


def error_of_code(
    code: int | None, details: Mapping[str, Any], *, is_timeout: bool = False
) -> Exception:
    """What a server's error code means; its text is not shown, since it may quote a document."""
    if code == AUTHENTICATION_FAILED:
        return StoreUnusable("MongoDB refuses the credentials; check MONGODB_URI and its variables")
    if code == UNAUTHORIZED:
        return StoreUnusable(
            "MongoDB does not permit this user to do that; it needs the role readWrite on the "
            "database, and dbAdmin for `ingest db init`"
        )
    name = f"{details.get('codeName', 'error')} ({code})"
    is_durability = "j' option" in str(details.get("errmsg", ""))
    if is_durability:
        return StoreUnusable("this MongoDB keeps no journal, so no write can be made durable")
    if is_timeout or code in _TRANSIENT or _is_labelled(details):
        return StoreUnavailable(f"MongoDB could not do it now: {name}")
    return StoreUnusable(f"MongoDB refused an operation, its log says why: {name}")


def _is_labelled(details: Mapping[str, Any]) -> bool:
    return "RetryableWriteError" in details.get("errorLabels", ())


def _client(connection: Connection) -> "AsyncMongoClient[Document]":
    if not connection.uri.startswith(("mongodb://", "mongodb+srv://")):
        raise SettingsInvalid("MONGODB_URI must begin with mongodb:// or mongodb+srv://")
    client_class = _client_class(connection.driver)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", category=UserWarning, module="pymongo")
            client = client_class(
                connection.uri,
                maxPoolSize=connection.max_pool_size,
                minPoolSize=connection.min_pool_size,
                timeoutMS=round(connection.timeout_seconds * 1000),
                serverSelectionTimeoutMS=round(connection.timeout_seconds * 1000),
                appname="ingest",
            )
    except (PyMongoError, ValueError, TypeError, OSError, UserWarning) as error:
        reason = _unquoted(error) if "@" in connection.uri else str(error)
        raise SettingsInvalid(f"MONGODB_URI is no address of MongoDB: {reason}") from None
    _check_asks_for_no_less(client)
    return cast("AsyncMongoClient[Document]", client)


def _unquoted(error: Exception) -> str:
    """What is wrong with an address that holds a password, of which an error may quote a part."""
    if isinstance(error, InvalidURI | ValueError):  # which of the two, depends on where it breaks
        return "write mongodb://user:password@host:port/?options, user and password percent-encoded"
    return "one of its options is wrong, or a file that it names cannot be read"


def _client_class(driver: Literal["pymongo", "motor"]) -> Any:
    if driver == "pymongo":
        return AsyncMongoClient
    try:
        from motor.motor_asyncio import AsyncIOMotorClient  # noqa: PLC0415 - an optional extra
    except ImportError:
        raise SettingsInvalid("MONGODB_DRIVER=motor: install the extra, ingest[motor]") from None
    return AsyncIOMotorClient


def _check_asks_for_no_less(client: Any) -> None:
    asked = client.write_concern.document
    durable = DURABLE.document
    if any(asked[option] != durable.get(option) for option in asked if option != "wtimeout"):
        raise SettingsInvalid("MONGODB_URI asks for writes that are not durable: leave out w, j")
    if client.read_preference != ReadPreference.PRIMARY:
        raise SettingsInvalid("MONGODB_URI must read from the primary: leave out readPreference")
