"""What a request may ask with: users, dates, limits and cursors, each checked by its type."""

import base64
import binascii
import re
from typing import Annotated, Final

from fastapi import Header, Path, Query
from pydantic import AfterValidator, Field
from pydantic.json_schema import SkipJsonSchema

from ingest.core.schema import ID_PATTERN
from ingest.core.timestamps import days_between
from ingest.gateway.problems import Problem

LIMIT_MAX: Final = 10_000
LIMIT: Final = 1_000
USERS_MAX: Final = 1_000
USERS: Final = 100
CURSOR_LENGTH_MAX: Final = 400  # of the longest id, in base64
TAGS_LENGTH_MAX: Final = 4_096
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_EVENT: Final = re.compile(r"\d{8}\|[A-Za-z0-9._:@-]{1,128}", re.ASCII)


def _civil_date(text: str) -> str:
    try:
        days_between(text, text)
    except ValueError:
        raise ValueError("there is no such day in the calendar") from None
    return text


CivilDate = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
        json_schema_extra={"format": "date"},
        examples=["2025-11-13"],
    ),
    AfterValidator(_civil_date),
]
Absent = SkipJsonSchema[None]  # a query cannot say null
UserId = Annotated[str, Path(pattern=ID_PATTERN, description="Whose.", examples=["ann"])]
SomeUser = Annotated[str, Field(pattern=ID_PATTERN, examples=["ann"])]
Date = Annotated[CivilDate, Path(description="A civil date.")]
From = Annotated[CivilDate | Absent, Query(alias="from", description="The first date.")]
To = Annotated[CivilDate | Absent, Query(alias="to", description="The last date, included.")]
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="How many, at most.")]
UsersLimit = Annotated[int, Query(ge=1, le=USERS_MAX, description="How many, at most.")]
Cursor = Annotated[
    str | Absent,
    Query(max_length=CURSOR_LENGTH_MAX, description="What `next` of the page before says."),
]
AfterUser = Annotated[
    SomeUser | Absent, Query(description="What `next` of the page before says: a user.")
]
IfNoneMatch = Annotated[
    str | Absent,
    Header(
        alias="If-None-Match",
        max_length=TAGS_LENGTH_MAX,
        description="The ETag of an answer that is known.",
    ),
]


def cursor_of(row_id: str) -> str:
    """A cursor to go on with behind a row of this id."""
    return base64.urlsafe_b64encode(row_id.encode()).decode().rstrip("=")


def day_behind(cursor: str, user_id: str) -> str:
    """The id of the day to go on behind; raises a `Problem` unless it is one of this user."""
    return _id_in(cursor, user_id, _DAY)


def event_behind(cursor: str, user_id: str) -> str:
    """As `day_behind`, of an event."""
    return _id_in(cursor, user_id, _EVENT)


def _id_in(cursor: str, user_id: str, form: re.Pattern[str]) -> str:
    try:
        row_id = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        row_id = ""
    owner, _, rest = row_id.partition("|")
    if owner != user_id or form.fullmatch(rest) is None or cursor_of(row_id) != cursor:
        raise Problem(422, code="INVALID_CURSOR", detail="cursor: not one of this list")
    return row_id
