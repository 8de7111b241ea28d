"""Requests from pages of other origins (CORS, as the Fetch standard has it), where a setting allows them."""

from typing import Self

from pierhead.asgi.types import App, Message, Receive, Scope, Send
from pierhead.settings import CorsSettings

_METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE"
_EXPOSED = b"Docker-Content-Digest, Link, Location, Range, OCI-Subject, OCI-Filters-Applied, OCI-Tag, WWW-Authenticate"
_PREFLIGHT_SECONDS = b"600"


class Cors:
    def __init__(self, app: App, origins: tuple[str, ...]) -> None:
        self._app = app
        self._origins = frozenset(origin.encode() for origin in origins)

    @classmethod
    def around(cls, app: App, settings: CorsSettings) -> App | Self:
        """The app itself where no origin is allowed."""
        return cls(app, settings.allow_origins) if settings.allow_origins else app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        origin = headers.get(b"origin", b"")
        if origin not in self._origins and (not origin or b"*" not in self._origins):
            await self._app(scope, receive, send)
        elif scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
            await _allow(origin, headers, send)
        else:
            await self._app(scope, receive, _exposing(origin, send))


async def _allow(origin: bytes, headers: dict[bytes, bytes], send: Send) -> None:
    allowed = [
        *_for(origin),
        (b"access-control-allow-methods", _METHODS),
        (b"access-control-allow-headers", headers.get(b"access-control-request-headers", b"authorization")),
        (b"access-control-max-age", _PREFLIGHT_SECONDS),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": allowed})
    await send({"type": "http.response.body", "body": b""})


def _exposing(origin: bytes, send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *_for(origin), (b"access-control-expose-headers", _EXPOSED)]
        await send(message)

    return sending


def _for(origin: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"access-control-allow-origin", origin), (b"vary", b"Origin")]
