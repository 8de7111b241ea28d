"""One request on its way through the face, and the answer to it.

A handler answers once, through `respond` or `stream`; what was answered stays in the call,
for the log and the metrics.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl

import orjson

from pierhead.access.authenticator import Admitted
from pierhead.asgi.types import Headers, Message, Receive, Scope, Send
from pierhead.distribution.routes import Match
from pierhead.errors import AccessDenied, BodyTooShort, BodyTooSlow, HeaderInvalid, QueryInvalid
from pierhead.models import Actor, RepositoryName
from pierhead.observability.requests import RequestRecord
from pierhead.verbs import Verbs

if TYPE_CHECKING:
    from pierhead.distribution.face import Face

API_VERSION = (b"docker-distribution-api-version", b"registry/2.0")
_QUERY_FIELDS_MAX = 256
_LENGTH_DIGITS_MAX = 18
# A body that nobody wants is read this far: to cut the connection could cost the client its answer.
_DRAIN_BYTES = 256 * 1024 * 1024
_DRAIN_SECONDS = 30.0
# Pieces of a body up to this are handed on together.
_GATHERED_BYTES = 256 * 1024
_TIMER_SECONDS = 1.0
# For so long what was decided at its beginning counts for a request.
_HELD_SECONDS = 1.0
# From this length on it is worth noticing that the client has left.
_WATCH_BYTES = 4 * 1024 * 1024
_ZERO_COPY = "http.response.zerocopysend"
# Of a file at once: between two of them what was sent is counted.
_FILE_BYTES = 16 * 1024 * 1024


class Content(Protocol):
    """An open blob, as far as an answer needs it."""

    @property
    def file(self) -> int | None:
        """A descriptor that holds the bytes from 0 on, where there is one."""
        ...

    def chunks(self, start: int, length: int) -> AsyncIterator[bytes | bytearray]: ...


class Call:
    __slots__ = (
        "_body_done", "_headers", "_query", "address", "admitted", "claimed", "face", "match", "receive", "record",
        "scope", "send",
    )  # fmt: skip

    def __init__(self, face: "Face", scope: Scope, receive: Receive, send: Send, record: RequestRecord) -> None:
        self.face = face
        self.scope = scope
        self.receive = receive
        self.send = send
        self.record = record
        self.match: Match
        self.admitted: Admitted
        self.address = ""
        self.claimed = ""  # by which name somebody asks to be let in, where no header says it
        self._body_done = False
        self._headers: dict[bytes, bytes] | None = None
        self._query: list[tuple[str, str]] | None = None

    # What was asked

    def header(self, name: bytes) -> bytes | None:
        """A header by its lower-case name; the last one where it is repeated."""
        if self._headers is None:
            self._headers = dict(self.scope["headers"])
        return self._headers.get(name)

    def listed(self, name: bytes) -> bytes | None:
        """A header whose value is a list: one, however many lines it came in (RFC 9110 §5.3)."""
        values = [value for key, value in self.scope["headers"] if key == name]
        return b", ".join(values) if values else None

    def queries(self, name: str) -> list[str]:
        """All values of a query parameter, in order. Raises QueryInvalid."""
        if self._query is None:
            self._query = self._parse_query()
        return [value for key, value in self._query if key == name]

    def query(self, name: str) -> str | None:
        """The value of a query parameter that may stand once. Raises QueryInvalid."""
        values = self.queries(name)
        if len(values) > 1:
            raise QueryInvalid(f"{name} may stand once")
        return values[0] if values else None

    def _parse_query(self) -> list[tuple[str, str]]:
        raw: bytes = self.scope["query_string"]
        if not raw:
            return []
        if raw.count(b"&") >= _QUERY_FIELDS_MAX:
            raise QueryInvalid(f"at most {_QUERY_FIELDS_MAX} parameters are taken")
        try:
            fields = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict")
        except ValueError as error:
            raise QueryInvalid("the query is not valid: percent-encoded UTF-8 is expected") from error
        if any("\0" in value for _, value in fields):  # PostgreSQL takes none
            raise QueryInvalid("the query is not valid: it holds NUL")
        return fields

    @property
    def content_length(self) -> int | None:
        stated = self.header(b"content-length")
        if stated is None:
            return None
        if not stated.isdigit() or len(stated) > _LENGTH_DIGITS_MAX:
            raise HeaderInvalid("Content-Length: a number of bytes is expected")
        return int(stated)

    @property
    def has_body(self) -> bool:
        """Whether a body may come. HTTP/2 needs no header for one (RFC 9113, section 8.1)."""
        stated = self.header(b"content-length")
        if stated is not None and self.header(b"transfer-encoding") is None:
            return stated != b"0"
        return self.header(b"transfer-encoding") is not None or self.scope["http_version"].startswith("2")

    @property
    def actor(self) -> Actor:
        agent = self.header(b"user-agent") or b""
        admitted = self.admitted
        return Actor(
            name=admitted.principal.name,
            credential=admitted.principal.credential,
            address=self.address,
            agent=agent[:256].decode("latin-1"),
            request_id=self.record.request_id,
            id=admitted.principal.id,
            credential_id=admitted.principal.token,
            founds=admitted.founds,
        )

    @property
    def is_admitted(self) -> bool:
        return hasattr(self, "admitted")

    @property
    def repository(self) -> RepositoryName:
        """As it is called now; `match.repository` is what it was asked by."""
        return self.admitted.place.name

    @property
    def held(self) -> Verbs:
        return self.admitted.verbs

    async def admit_again(self) -> None:
        """After a body, which may come for hours: what was held when it began may be taken away by now.

        Raises as `Access.admit` does, and AccessDenied.
        """
        if time.perf_counter() - self.record.started < _HELD_SECONDS:
            return
        admitted = await self.face.access.again(self.admitted, self.match.repository)
        if self.match.needs is not None and self.match.needs not in admitted.verbs:
            raise AccessDenied(f"{self.match.needs} on {self.match.repository}")
        self.admitted = admitted

    # Its body

    async def frame(self) -> bytes | None:
        """The next piece of the body, None at its end. Raises BodyTooShort, BodyTooSlow."""
        if self._body_done:
            return None
        with self._told_when_slow():
            async with asyncio.timeout(self.face.idle_body_seconds):
                return self._piece(await self.receive())

    async def feed(self, take: Callable[[bytes], Awaitable[None]]) -> None:
        """Hands the body over as it comes. Raises BodyTooShort, BodyTooSlow.

        A client may send pieces of a few KiB, so what is done for each is little: they are gathered,
        and the timer is set anew once a second.
        """
        idle, now, clock = self.face.idle_body_seconds, time.monotonic, asyncio.get_running_loop().time
        pieces: list[bytes] = []
        gathered, due = 0, now() + _TIMER_SECONDS
        with self._told_when_slow():
            try:
                async with asyncio.timeout(idle + _TIMER_SECONDS) as limit:
                    while not self._body_done:
                        pieces.append(piece := self._piece(await self.receive()))
                        gathered += len(piece)
                        if gathered >= _GATHERED_BYTES or now() > due:
                            limit.reschedule(None)  # the client is timed, not the disk
                            # Let go of before it is taken: whatever happens then, it is handed over once.
                            whole, pieces, gathered = b"".join(pieces), [], 0
                            if whole:
                                await take(whole)
                            limit.reschedule(clock() + idle + _TIMER_SECONDS)
                            due = now() + _TIMER_SECONDS
            finally:
                if gathered:
                    await take(b"".join(pieces))

    @contextmanager
    def _told_when_slow(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            self._body_done = True
            raise BodyTooSlow(f"{self.record.bytes_in} bytes came") from error

    def _piece(self, message: Message) -> bytes:
        if message["type"] == "http.disconnect":
            self._body_done = True
            raise BodyTooShort(f"{self.record.bytes_in} bytes came")
        self._body_done = not message.get("more_body", False)
        piece: bytes = message.get("body", b"")
        self.record.bytes_in += len(piece)
        return piece

    async def body(self, limit: int) -> bytes | None:
        """The whole body; None where it is longer than `limit` bytes."""
        pieces = []
        while (piece := await self.frame()) is not None:
            if self.record.bytes_in > limit:
                return None
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def drain(self) -> None:
        """Reads what is left of the body, after an answer that came before its end.

        The answer goes first: a client that waits for it (`Expect: 100-continue`, or one that looks for
        an answer while it sends) need not send the body at all.
        """
        if not self.has_body:
            return
        started = self.record.bytes_in
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                while await self.frame() is not None and self.record.bytes_in - started < _DRAIN_BYTES:
                    pass
        except (TimeoutError, BodyTooShort, BodyTooSlow):
            pass

    # The answer

    async def respond(self, status: int, headers: Headers, body: bytes = b"") -> None:
        """Answers with a body whose length is told."""
        headers.append((b"content-length", b"%d" % len(body)))
        await self.begin(status, headers)
        if self.scope["method"] == "HEAD":
            body = b""
        self.record.bytes_out = len(body)
        await self.send({"type": "http.response.body", "body": body})

    async def respond_json(self, status: int, value: Any, headers: Headers | None = None) -> None:
        await self.respond(status, [(b"content-type", b"application/json"), *(headers or [])], orjson.dumps(value))

    async def respond_empty(self, status: int, headers: Headers) -> None:
        """Answers without a body: HEAD (the handler tells the length), 304, 204."""
        await self.begin(status, headers)
        await self.send({"type": "http.response.body", "body": b""})

    async def begin(self, status: int, headers: Headers) -> None:
        self.record.status = status
        headers.append(API_VERSION)
        await self.send({"type": "http.response.start", "status": status, "headers": headers})

    async def stream(self, status: int, headers: Headers, content: Content, start: int, length: int) -> None:
        """Answers with `length` bytes of an open blob, from `start` on; stops when the client leaves."""
        headers.append((b"content-length", b"%d" % length))
        await self.begin(status, headers)
        if content.file is not None and _ZERO_COPY in self.scope.get("extensions", ()):
            await self._send_file(content.file, start, length)
        else:
            await self._send_chunks(content.chunks(start, length), length)

    async def _send_file(self, file: int, start: int, length: int) -> None:
        """ASGI, extension Zero Copy Send."""
        if not length:
            await self.send({"type": "http.response.body", "body": b""})
        while length:
            count = min(length, _FILE_BYTES)
            length -= count
            message = {"type": _ZERO_COPY, "file": file, "offset": start, "count": count, "more_body": length > 0}
            try:
                await self.send(message)
            except OSError:
                return  # the client has gone
            start += count
            self.record.bytes_out += count

    async def _send_chunks(self, chunks: AsyncIterator[bytes | bytearray], length: int) -> None:
        watch = asyncio.ensure_future(self._gone()) if length > _WATCH_BYTES else None
        try:
            async for chunk in chunks:
                if watch is not None and watch.done():
                    return
                self.record.bytes_out += len(chunk)
                await self.send(
                    {"type": "http.response.body", "body": chunk, "more_body": self.record.bytes_out < length}
                )
        finally:
            if watch is not None:
                watch.cancel()

    async def _gone(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass

    # Helps

    def location(self, path: str) -> tuple[bytes, bytes]:
        """Relative by default, absolute with `server.public_url`."""
        return b"location", f"{self.face.public_url}{path}".encode("ascii")


def link(path: str, following: Mapping[str, str]) -> tuple[bytes, bytes]:
    """RFC 8288: where the next page is. The values need no quoting: names, tags, digests and numbers."""
    query = "&".join(f"{name}={value}" for name, value in following.items())
    return b"link", f'<{path}?{query}>; rel="next"'.encode("ascii")
