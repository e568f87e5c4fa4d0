"""What `ingest db init` brings a database to, and what a database must be like to be used.

The migrations are numbered and recorded in `schema_migrations`; the times to live and validators
follow the settings whenever it is run. Planning is pure: a step is a text and a command.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from pymongo.errors import OperationFailure

from ingest.errors import StoreUnusable
from ingest.stores.documents import COLLECTIONS, EVENTS, KEYS, SNAPSHOTS, TOTALS
from ingest.stores.mongo.client import (
    DURABLE,
    UNAUTHORIZED,
    Database,
    Document,
    documents_of,
    translated_errors,
)
from ingest.stores.mongo.validators import VALIDATORS

SCHEMA_VERSION: Final = 1
MIGRATIONS: Final = "schema_migrations"
NAMESPACE_EXISTS: Final = 48
RETAINED_BY: Final = {EVENTS: "ts", SNAPSHOTS: "timestamp"}
_BARS: Final = {EVENTS: 2, SNAPSHOTS: 3, TOTALS: 1}  # in an `_id`; a key may hold more


class Wanted(NamedTuple):
    """What the settings ask of a database."""

    idempotency_ttl: timedelta
    retention: timedelta | None


class State(NamedTuple):
    """What a database is like: ours or not, its version, its times to live in seconds."""

    name: str
    version: int | None
    collections: Mapping[str, Document]
    ttls: Mapping[str, float | None]
    foreign: Sequence[str]


class Step(NamedTuple):
    """One thing to do: how it reads, and the server's command for it."""

    text: str
    command: Document


async def plan(database: Database, wanted: Wanted, *, validate: bool) -> list[Step]:
    """What is left to do in a database; raises `StoreUnusable` if it is not ours."""
    state = await state_of(database)
    check_is_ours(state)
    return steps_to(wanted, state, datetime.now(UTC), validate=validate)


async def ready(database: Database, wanted: Wanted) -> None:
    """Make sure that records can be written, durably; raises `StoreUnusable` if they should not.

    A database without a schema gets one. The last write matches nothing: it only shows whether
    this server acknowledges writes as we ask.
    """
    state = await state_of(database)
    check(state, wanted)
    if state.version is None:
        await apply(database, steps_to(wanted, state, datetime.now(UTC), validate=False))
        check(await state_of(database), wanted)  # what this user may not change stays as it was
    with translated_errors():
        await database[MIGRATIONS].update_one({"_id": 0}, {"$set": {"name": ""}})


async def state_of(database: Database) -> State:
    """Look at a database; nothing is written."""
    with translated_errors():
        listed = await documents_of(database.list_collections())
        collections = {c["name"]: c for c in listed if c["name"] in (*COLLECTIONS, MIGRATIONS)}
        views = [name for name, c in collections.items() if c["type"] != "collection"]
        applied = await documents_of(database[MIGRATIONS].find())
        samples = {
            name: await documents_of(database[name].find(limit=1))
            for name in collections
            if name in COLLECTIONS
        }
        ttls = {
            name: _ttl_in(await documents_of(database[name].list_indexes()), field)
            for name, field in {**RETAINED_BY, KEYS: "created_at"}.items()
            if name in collections and name not in views
        }
    ours = [m["_id"] for m in applied if type(m["_id"]) is int and "applied_at" in m]
    foreign = views + ([MIGRATIONS] if len(ours) < len(applied) else [])
    foreign += [name for name, found in samples.items() if not _are_ours(name, found)]
    version = max(ours, default=None)
    return State(database.name, version, collections, ttls, foreign)


def check(state: State, wanted: Wanted) -> None:
    """Raise `StoreUnusable` if records written here could be lost or misread."""
    check_is_ours(state)
    if state.version is None:
        return
    if state.version < SCHEMA_VERSION:
        raise StoreUnusable(
            f"the database {state.name} has the older schema {state.version}: run `ingest db init`"
        )
    for name, field in RETAINED_BY.items():
        if name in state.ttls and state.ttls[name] != _seconds(wanted.retention):
            raise StoreUnusable(
                f"the index on {name}.{field} and RETENTION differ, so records would be deleted "
                "that are still counted, or kept for ever: run `ingest db init`"
            )


def check_is_ours(state: State) -> None:
    """Raise `StoreUnusable` if the database is another program's, or of a newer version."""
    if state.foreign:
        raise StoreUnusable(
            f"the database {state.name} holds a collection {state.foreign[0]} that is not of "
            "ingest: set MONGODB_DATABASE to another name"
        )
    if state.version is not None and state.version > SCHEMA_VERSION:
        raise StoreUnusable(
            f"the database {state.name} has schema {state.version}, this ingest knows up to "
            f"{SCHEMA_VERSION}: install a newer ingest"
        )


def steps_to(wanted: Wanted, state: State, now: datetime, *, validate: bool) -> list[Step]:
    """What is left to do; empty where nothing is."""
    steps = [
        _create(name, validate=validate) for name in COLLECTIONS if name not in state.collections
    ]
    ttls = {KEYS: wanted.idempotency_ttl, **dict.fromkeys(RETAINED_BY, wanted.retention)}
    for name, ttl in ttls.items():
        field = RETAINED_BY.get(name, "created_at")
        steps += _ttl_steps(name, field, state.ttls.get(name), _seconds(ttl))
    if validate:
        steps += [
            Step(f"set the validator of {name}", {"collMod": name, **_validator(name)})
            for name in COLLECTIONS
            if name in state.collections
            and state.collections[name]["options"].get("validator") != _validator(name)["validator"]
        ]
    if state.version != SCHEMA_VERSION:
        steps.append(_record(SCHEMA_VERSION, now))
    return steps


async def apply(database: Database, steps: Iterable[Step]) -> list[Step]:
    """Do the steps in order; those that this user's role does not permit, and need `collMod`.

    Raises `StoreUnusable` where another is not permitted. Doing a step twice changes nothing.
    """
    refused = []
    for step in steps:
        with translated_errors():
            try:
                await database.command({**step.command, "writeConcern": DURABLE.document})
            except OperationFailure as error:
                if error.code == UNAUTHORIZED and "collMod" in step.command:
                    refused.append(step)
                elif error.code != NAMESPACE_EXISTS:
                    raise
    return refused


def _create(name: str, *, validate: bool) -> Step:
    options = _validator(name) if validate else {}
    return Step(f"create the collection {name}", {"create": name, **options})


def _ttl_steps(name: str, field: str, before: float | None, after: float | None) -> list[Step]:
    index = f"{field}_ttl"
    if before == after:
        return []
    if before is None:
        spec = {"key": {field: 1}, "name": index, "expireAfterSeconds": after}
        text = f"create the index {index} of {name}: delete after {after:g} s"
        return [Step(text, {"createIndexes": name, "indexes": [spec]})]
    if after is None:
        dropping = {"dropIndexes": name, "index": {field: 1}}
        return [Step(f"drop the index {index} of {name}", dropping)]
    change = {"keyPattern": {field: 1}, "expireAfterSeconds": after}
    text = f"change the index {index} of {name}: delete after {after:g} s, not {before:g} s"
    return [Step(text, {"collMod": name, "index": change})]


def _record(version: int, now: datetime) -> Step:
    applied = {"name": "collections and times to live", "applied_at": now}
    write = {"q": {"_id": version}, "u": {"$setOnInsert": applied}, "upsert": True}
    return Step(f"record schema {version}", {"update": MIGRATIONS, "updates": [write]})


def _validator(name: str) -> Document:
    return {"validator": {"$jsonSchema": VALIDATORS[name]}}


def _ttl_in(indexes: Iterable[Mapping[str, Any]], field: str) -> float | None:
    for index in indexes:
        if dict(index["key"]) == {field: 1}:
            return index.get("expireAfterSeconds")
    return None


def _are_ours(name: str, documents: Iterable[Mapping[str, Any]]) -> bool:
    bars = _BARS.get(name)
    return all(
        isinstance(d["_id"], str)
        and d["_id"].startswith(f"{d.get('user_id')}|")
        and bars in (None, d["_id"].count("|"))
        and {*VALIDATORS[name]["required"]} <= {*d}
        for d in documents
    )


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()
