"""The headers of every answer that keep a browser from doing more with it than it should."""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_POLICY: Final = (
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "img-src 'self' data:"
)
_HEADERS: Final = [
    (b"content-security-policy", _POLICY.encode()),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
]
_CACHE: Final = b"cache-control"
_UNKEPT: Final = (_CACHE, b"no-store")


class SecureHeaders:
    """Adds them; an answer is kept in no cache unless its route says otherwise."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), *_HEADERS]
                if all(name != _CACHE for name, _ in headers):
                    headers.append(_UNKEPT)
                message["headers"] = headers
            await send(message)

        await self._app(scope, receive, sending if scope["type"] == "http" else send)
