"""The door: which paths are pages, and what every answer to one has. What renders them is loaded when it is needed."""

import logging
from typing import TYPE_CHECKING

from pierhead.asgi.types import Message, Receive, Scope, Send
from pierhead.observability.observability import Observability
from pierhead.web.parts import Parts

if TYPE_CHECKING:
    from pierhead.asgi.types import App

_EXACT = frozenset((b"/", b"/setup", b"/sign-in", b"/sign-out", b"/account"))
_BELOW = (b"/sign-in/", b"/account/", b"/assets/")

log = logging.getLogger(__name__)


def is_page(raw_path: bytes) -> bool:
    return raw_path in _EXACT or raw_path.startswith(_BELOW)


class Pages:
    def __init__(self, parts: Parts, observability: Observability) -> None:
        self._parts = parts
        self._observability = observability
        self._app: App | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Queries of pages hold what signs somebody in: the token of a setup, the code of an issuer.
        record = self._observability.started({**scope, "query_string": b""})
        record.operation = "page"
        scope["pierhead.record"] = record

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
            else:
                record.bytes_out += len(message.get("body", b""))
            await send(message)

        try:
            await self._loaded()(scope, receive, watched)
        finally:
            self._observability.finished(record)

    def _loaded(self) -> "App":
        if self._app is None:
            from pierhead.web import application  # noqa: PLC0415  half a second that the API never needs

            self._app = application.build(self._parts)
        return self._app
