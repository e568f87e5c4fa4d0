"""What can be asked of the store: users, days, one day, events, all of a user; and to erase one.

The store stands in `app.state.store`, the settings in `app.state.settings`; where totals go to
Kafka, `app.state.topics` deletes an erased user's there.
"""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final, cast

import orjson
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse

from ingest.archive import Scan
from ingest.archive_lines import line_of
from ingest.core.documents import delta_document, event_document, total_message
from ingest.core.records import Day
from ingest.core.totals import DailyTotal
from ingest.embedded import rules_of
from ingest.erasure import erase, erase_with_tombstones
from ingest.gateway import answers, etags
from ingest.gateway.access import Caller, admin_of_user, reader, reader_of_user
from ingest.gateway.pages import Asked, hours_of_day, page_of_days, page_of_events, users_behind
from ingest.gateway.parameters import (
    LIMIT,
    USERS,
    AfterUser,
    Cursor,
    Date,
    From,
    IfNoneMatch,
    Limit,
    To,
    UserId,
    UsersLimit,
)
from ingest.gateway.problems import Problem, documented
from ingest.ports import Scope, Store
from ingest.replay import deltas_between
from ingest.stores.documents import EVENTS, KEYS, SNAPSHOTS, TOTALS

router: Final = APIRouter(prefix="/v1/users")
Responses = dict[int | str, dict[str, Any]]
PROBLEMS: Final = documented(401, 403, 422, 429, 503)
NDJSON: Final = "application/x-ndjson"
_LINES: Final[Responses] = {
    200: {"description": "One document a line", "content": {NDJSON: {"schema": {"type": "string"}}}}
}
_OF_USER: Final = [Depends(reader_of_user)]


@router.get("", tags=["users"], response_model=answers.Users, responses=PROBLEMS)
async def users(
    request: Request,
    caller: Annotated[Caller, Depends(reader)],
    after: AfterUser = None,
    limit: UsersLimit = USERS,
) -> Response:
    """Users who have totals, of those that the key is for."""
    prefix = caller.user_prefix or ""
    found, following = await users_behind(_store(request).totals, after, prefix, limit)
    return _json({"users": found, "next": following})


@router.get(
    "/{user_id}/days",
    tags=["days"],
    dependencies=_OF_USER,
    response_model=answers.Days,
    responses={**PROBLEMS, **etags.RESPONSES},
)
async def days(
    request: Request,
    user_id: UserId,
    first: From = None,
    last: To = None,
    cursor: Cursor = None,
    limit: Limit = LIMIT,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """A user's totals by date; days whose records all moved away are left out."""
    asked = Asked(user_id, first, last, cursor, limit)
    totals, following = await page_of_days(_store(request).totals, asked)
    etag = etags.etag_of([_version(total) for total in totals], following)
    if (same := etags.unchanged(if_none_match, etag)) is not None:
        return same
    shown = [total_message(total) for total in totals if total.devices]
    return etags.tagged({"user_id": user_id, "days": shown, "next": following}, etag)


@router.get(
    "/{user_id}/days/{date}",
    tags=["days"],
    dependencies=_OF_USER,
    response_model=answers.OneDay,
    responses={**PROBLEMS, **documented(404), **etags.RESPONSES},
)
async def one_day(
    request: Request, user_id: UserId, date: Date, if_none_match: IfNoneMatch = None
) -> Response:
    """The total of a day, what each snapshot added to it, and its events by hour.

    The total is read before the log: records that come in between are then shown under the
    revision before them, which does not last, and never the other way round.
    """
    store, day = _store(request), Day(user_id, date)
    total = (await store.totals.load([day])).get(day)
    if total is None or not total.devices:
        raise Problem(404, code="NO_SUCH_DAY", detail="there is no total of this day")
    _, revision, updated_ms = _version(total)
    etag = f'"r{revision}-{updated_ms:x}"'
    if (same := etags.unchanged(if_none_match, etag)) is not None:
        return same
    rules = rules_of(request.app.state.settings).snapshots
    deltas = await deltas_between(store.log, user_id, date, date, rules)
    content = {
        "total": total_message(total),
        "deltas": [delta_document(delta) for delta in deltas],
        "hours": await hours_of_day(store.log, user_id, date),
    }
    return etags.tagged(content, etag)


@router.get(
    "/{user_id}/events",
    tags=["records"],
    dependencies=_OF_USER,
    response_model=answers.Events,
    responses=PROBLEMS,
)
async def events(
    request: Request,
    user_id: UserId,
    first: From = None,
    last: To = None,
    cursor: Cursor = None,
    limit: Limit = LIMIT,
) -> Response:
    """A user's accepted events by time; the dates are of UTC."""
    asked = Asked(user_id, first, last, cursor, limit)
    page = await page_of_events(_store(request).log, asked)
    return _json({"events": [event_document(event) for event in page.rows], "next": page.next})


@router.get(
    "/{user_id}/export",
    tags=["records"],
    dependencies=_OF_USER,
    response_class=StreamingResponse,
    responses={**PROBLEMS, **_LINES},
)
async def export(request: Request, user_id: UserId) -> Response:
    """All there is of a user: records, totals and keys, as `ingest db export` writes them.

    An answer that is cut short ends without its last chunk, so that none is taken for the whole.
    """
    chunks = _chunks(_store(request), user_id)
    first = await anext(chunks, b"")  # a store that is away is told before the answer begins
    return StreamingResponse(_with_first(first, chunks), headers=_UNKEPT, media_type=NDJSON)


@router.delete(
    "/{user_id}",
    tags=["users"],
    dependencies=[Depends(admin_of_user)],
    response_model=answers.Erased,
    responses=PROBLEMS,
)
async def erase_user(request: Request, user_id: UserId) -> Response:
    """Delete all there is of a user. It may be repeated until it answers."""
    store, topics = _store(request), getattr(request.app.state, "topics", None)
    if topics is None:
        return _json(await erase(store, user_id))
    return _json(await erase_with_tombstones(store, topics, user_id))


def _store(request: Request) -> Store:
    return cast("Store", request.app.state.store)


def _version(total: DailyTotal) -> tuple[str, int, int]:
    """What tells two totals of a user apart; revisions begin anew behind an erasure."""
    updated_at = total.updated_at
    updated_ms = int(updated_at.timestamp() * 1000) if updated_at is not None else 0
    return total.day.date, total.revision, updated_ms


async def _chunks(store: Store, user_id: str) -> AsyncIterator[bytes]:
    """The lines of a user, a page of the store at a time."""
    scans: dict[str, Scan] = {
        EVENTS: store.log.scan_events,
        SNAPSHOTS: store.log.scan_snapshots,
        TOTALS: store.totals.scan,
        KEYS: store.keys.scan,
    }
    for collection, scan in scans.items():
        async for rows in scan(Scope(user_id)):
            if rows:
                yield b"".join([line_of(collection, row) for row in rows])


async def _with_first(first: bytes, others: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in others:
        yield chunk


def _json(content: Any) -> Response:
    return Response(orjson.dumps(content), headers=_UNKEPT, media_type="application/json")


_UNKEPT: Final = {"Cache-Control": "no-store"}
