"""Answers that a reader may keep, and how it asks whether they still hold (RFC 9110, 13.1.2)."""

from hashlib import blake2b
from typing import Any, Final

import orjson
from fastapi import Response

_CACHING: Final = "private, no-cache"  # kept by the reader alone, and asked about every time
RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"headers": {"ETag": {"schema": {"type": "string"}}}},
    304: {"description": "What If-None-Match names still holds"},
}


def etag_of(*parts: Any) -> str:
    """A tag of what an answer depends on."""
    return f'"{blake2b(orjson.dumps(parts), digest_size=12).hexdigest()}"'


def unchanged(told: str | None, etag: str) -> Response | None:
    """The answer to who says `told` in If-None-Match and has this already; None for who has not."""
    known = {tag.strip().removeprefix("W/") for tag in (told or "").split(",")}
    if etag in known or "*" in known:
        return Response(status_code=304, headers=_headers(etag))
    return None


def tagged(content: Any, etag: str) -> Response:
    """A JSON answer with its tag."""
    return Response(orjson.dumps(content), headers=_headers(etag), media_type="application/json")


def _headers(etag: str) -> dict[str, str]:
    return {"ETag": etag, "Cache-Control": _CACHING}
