"""One request and its answer, as ASGI 3 has them, with its extension Zero Copy Send."""

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from pierhead.asgi.types import App, Headers, Message, Scope
from pierhead.http1.messages import head

if TYPE_CHECKING:
    from pierhead.http1.connection import Connection

log = logging.getLogger(__name__)

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_CLOSE: Final = b"connection: close\r\n"
_KEEP: Final = b"connection: keep-alive\r\n"
_CHUNKED: Final = b"transfer-encoding: chunked\r\n"
# Up to here, head and body are one write.
_JOINED: Final = 64 * 1024
_PIECE_BYTES: Final = 64  # of memory, beside what is in it
_BODILESS: Final = frozenset((204, 304))


class Exchange:
    def __init__(self, connection: "Connection", scope: Scope, *, keeps: bool) -> None:
        self._connection = connection
        self.scope = scope
        self.keeps = keeps  # whether the connection goes on after it
        self._pieces: list[bytes] = []
        self._waiting = 0  # bytes of the body that came and were not received
        self._complete = False  # all of the body came
        self._told = False  # and was received
        self._cut = False  # no more will come
        self._asked = False  # the client was told to go on with its body
        self._waiter: asyncio.Future[None] | None = None
        self._head = b""  # goes out with the first piece of the answer's body
        self._owed = 0  # bytes of the answer's body
        self._bodiless = False
        self._chunked = False
        self._begun = False
        self.finished = False  # the answer is whole
        self.over = False  # the application is done

    # From the connection

    def take(self, piece: bytes) -> int:
        """A piece of the body; returns how many bytes wait, with what an object costs."""
        self._waiting += len(piece) + _PIECE_BYTES
        if not self.over:
            self._pieces.append(piece)
            self._wake()
        return self._waiting

    def complete(self) -> None:
        """All of the body came."""
        self._complete = True
        self._wake()

    def cut(self) -> None:
        """No more will come."""
        self._cut = True
        self.keeps = False
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # For the application

    async def run(self, app: App) -> None:
        try:
            await app(self.scope, self.receive, self.send)
        except Exception:
            if not self._begun:
                log.exception("a request failed without an answer")
        finally:
            self.over = True
            self._pieces.clear()
            self._waiting = 0
            self._connection.answered(self)

    async def receive(self) -> Message:
        """Everything of the body that came, or the next of it, or that the client has gone."""
        while True:
            if self._pieces:
                pieces, self._pieces, self._waiting = self._pieces, [], 0
                self._told = self._complete
                self._connection.relieve()
                body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
                return {"type": "http.request", "body": body, "more_body": not self._complete}
            if self._complete and not self._told:
                self._told = True
                return {"type": "http.request", "body": b"", "more_body": False}
            if self._cut:
                return {"type": "http.disconnect"}
            if not (self._asked or self._begun or self._complete):
                self._asked = True
                if self._expects():
                    self._connection.write(_CONTINUE)
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def _expects(self) -> bool:
        """Whether the client waits with its body until it is told to go on (RFC 9110, section 10.1.1)."""
        headers: Headers = self.scope["headers"]
        asked = any(name == b"expect" and value.lower() == b"100-continue" for name, value in headers)
        return asked and self.scope["http_version"] == "1.1"

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.body":
            self._send(message["body"], more=message.get("more_body", False))
            if self._connection.unsent:
                await self._connection.sent()
        elif kind == "http.response.start":
            self._begin(message["status"], message["headers"])
        elif kind == "http.response.zerocopysend":
            await self._send_file(message)
        else:
            raise RuntimeError(f"{kind} is no message of an answer")

    def _begin(self, status: int, headers: Headers) -> None:
        if self._begun:
            raise RuntimeError("the answer has begun already")
        length = None
        for name, value in headers:
            if name == b"content-length":
                length = int(value)
            elif name == b"connection" and value == b"close":
                self.keeps = False
        if not self.keeps:
            headers = [header for header in headers if header[0] != b"connection"]
        framing = b""
        self._bodiless = self.scope["method"] == "HEAD" or status in _BODILESS
        if length is None and not self._bodiless:
            # HTTP/1.0 has no chunks: the end of the connection is that of the body.
            self._chunked = self.scope["http_version"] == "1.1"
            framing, self.keeps = (_CHUNKED, self.keeps) if self._chunked else (b"", False)
        self._owed = 0 if self._bodiless else length or 0
        self._head = head(status, headers, self._connection.date + framing + self._going_on())
        self._begun = True

    def _going_on(self) -> bytes:
        """What is told of whether the connection goes on, where that needs telling."""
        if self._connection.leaving:
            self.keeps = False
        elif not (self._complete or self._asked) and self._expects():
            self.keeps = False  # its body may never come, and what comes instead is no body
        if not self.keeps:
            return _CLOSE
        return _KEEP if self.scope["http_version"] == "1.0" else b""

    def _send(self, body: bytes | bytearray, *, more: bool) -> None:
        if not self._begun or self.finished:
            raise RuntimeError("no answer is under way")
        if self._bodiless:
            body = b""
        elif self._chunked:
            body = (b"%x\r\n%b\r\n" % (len(body), bytes(body)) if body else b"") + (b"" if more else b"0\r\n\r\n")
        else:
            self._owed -= len(body)
            if self._owed < 0 or (self._owed and not more):
                raise RuntimeError("the body is not as long as its Content-Length says")
        ahead, self._head = self._head, b""
        if ahead and len(body) > _JOINED:
            self._connection.write(ahead)
        elif ahead:
            body = ahead + body
        if body:
            self._connection.write(body)
        self.finished = not more

    async def _send_file(self, message: Message) -> None:
        """ASGI, extension Zero Copy Send; `offset` and `count` must be given, and Content-Length."""
        count: int = message["count"]
        self._owed -= count
        if not self._begun or self._chunked or self._owed < 0:
            raise RuntimeError("no answer of that length is under way")
        ahead, self._head = self._head, b""
        if ahead:
            self._connection.write(ahead)
        if not await self._connection.send_file(message["file"], message["offset"], count):
            self._connection.break_off()
            raise ConnectionResetError("the client has gone")
        self._send(b"", more=message.get("more_body", False))
