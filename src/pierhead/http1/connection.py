"""One connection of HTTP/1.1 (RFC 9112): bytes in, one request after another, answers out.

httptools parses. What is here decides how much is taken and for how long, which request is next, and
how a connection ends without taking an answer from under its client's eyes (section 9.6).
"""

import asyncio
import fcntl
import os
import struct
import termios
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import unquote

import httptools

from pierhead.asgi.types import Headers, Scope
from pierhead.http1.exchange import Exchange
from pierhead.http1.messages import Refusal, refusal

if TYPE_CHECKING:
    from pierhead.http1.house import House

# As many as the server of HTTP/2 takes.
HEADERS_MAX: Final = 100
# Bytes of a body that wait for the application before the client has to.
_HIGH_WATER: Final = 1024 * 1024
# A client that still sends when its connection ends is listened to for so long, and so much.
_LINGER_SECONDS: Final = 2.0
_LINGER_BYTES: Final = 16 * 1024 * 1024
# What is left of a body that the application did not want, and yet no reason to end the connection.
_LEFT_OVER_BYTES: Final = 1024 * 1024
# An idle connection of a server that ends is kept for so long: a request may be on its way.
_LEAVING_SECONDS: Final = 0.5
# Requests read ahead of their answers.
_AHEAD_MAX: Final = 64
_NEVER: Final = float("inf")
_ASGI: Final = {"version": "3.0", "spec_version": "2.3"}
_EXTENSIONS: Final[dict[str, dict[str, Any]]] = {"http.response.zerocopysend": {}}
_METHODS: Final = {name.encode(): name for name in ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS")}


class Connection(asyncio.BufferedProtocol):
    def __init__(self, house: "House") -> None:
        self._house = house
        self._parser: Any = httptools.HttpRequestParser(self)
        self._answering: Exchange | None = None
        self._receiving: Exchange | None = None  # whose body comes in
        self._next: deque[Exchange] = deque()  # read ahead, to be answered in turn
        self._refusal: Refusal | None = None  # what follows them
        self._target = b""
        self._headers: Headers = []
        self._hosts = 0
        self._in_head = False
        self._held = 0  # bytes of a head, or of trailers, that are not complete
        self._read = 0  # bytes of the last read
        self._progress = False  # whether it brought more than that
        self._deaf = False  # what comes is no request any more
        self._unheard = 0  # bytes that came since
        self._reading = True
        self._unsent: asyncio.Future[None] | None = None  # done when the socket took everything
        self._stands: object = None  # how much was unsent when its patience last ended
        self._transport: asyncio.Transport
        self._client: tuple[str, int] | None = None
        self._server: tuple[str, int] | None = None
        self.ended = False
        self.due = _NEVER  # when its patience ends, by the clock of the loop

    # From the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        # The socket's own buffer is enough: none in memory for a slow reader, and a buffer written is free again.
        self._transport.set_write_buffer_limits(high=0)
        self._client = _address(transport.get_extra_info("peername"))
        self._server = _address(transport.get_extra_info("sockname"))
        self._wait_for_a_request()
        self._house.entered(self)

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002  its size is ours to choose
        return self._house.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._deaf:
            self._ignore(nbytes)
            return
        self._read = nbytes
        try:
            self._parser.feed_data(self._house.view[:nbytes])
        except httptools.HttpParserUpgrade:
            self._deaf = True  # there is nothing to switch to: it is answered, and that is the end
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, Refusal) else Refusal(400, f"no valid HTTP/1.1: {error}"))
        if self._next and not self.ended:
            if self._answering is None:
                self._answer(self._next.popleft())
            if self._next:
                self._pause_reading()
        if self._in_head or not self._progress:
            # Of a head, or of what may stand around the chunks of a body: it is kept until it ends.
            self._held = self._length_of_head() if self._progress else self._held + nbytes
            if self._held > self._house.max_header_bytes and not self._deaf:
                self._refuse(self._too_long())
        self._progress = False

    def eof_received(self) -> bool:
        """The client sends no more, and may still wait for answers."""
        self._deaf = True
        if self._receiving is not None:
            self._receiving.cut()
        return self._answering is not None and not self.ended

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002  gone is gone
        self.ended = self._deaf = True
        self._house.left(self)
        self.resume_writing()
        self._next.clear()
        self._parser = self._receiving = None  # else they and this would keep one another
        if self._answering is not None:
            self._answering.cut()

    def pause_writing(self) -> None:
        if self._unsent is None and not self.ended:
            self._unsent = self._house.loop.create_future()
            self.due = self._house.loop.time() + self._house.idle_seconds

    def resume_writing(self) -> None:
        unsent, self._unsent = self._unsent, None
        if not self.ended:
            self.due = _NEVER
        if unsent is not None and not unsent.done():
            unsent.set_result(None)

    # From the parser

    def on_message_begin(self) -> None:
        self._in_head = self._progress = True
        self._held = 0
        self._target = b""
        self._headers = []
        self._hosts = 0
        if self._answering is None:
            self._wait_for_a_request()

    def on_url(self, piece: bytes) -> None:
        self._target += piece

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self._headers.append((name, value))
        if name == b"host":
            self._hosts += 1
        elif name == b"transfer-encoding" and value.lower() != b"chunked":
            raise Refusal(400, "Transfer-Encoding: chunked is the only one that is taken")
        if len(self._headers) > HEADERS_MAX:
            raise Refusal(431, f"at most {HEADERS_MAX} headers are taken")

    def on_headers_complete(self) -> None:
        if self.ended:
            return
        if len(self._next) >= _AHEAD_MAX:
            raise Refusal(429, f"at most {_AHEAD_MAX} requests are read ahead of their answers")
        if self._unsent is None:
            self.due = _NEVER
        scope = self._scope()
        self._in_head, self._progress, self._held = False, True, 0
        self._headers = []  # what follows are trailers, which nobody reads
        keeps = self._house.keep_alive and self._parser.should_keep_alive() and not self._parser.should_upgrade()
        self._receiving = Exchange(self, scope, keeps=keeps)
        self._next.append(self._receiving)

    def on_body(self, piece: bytes) -> None:
        self._progress, self._held = True, 0
        receiving = self._receiving
        if receiving is None:
            return
        waiting = receiving.take(piece)
        if receiving.over:
            if waiting > _LEFT_OVER_BYTES:
                self.end()
        elif waiting > _HIGH_WATER:
            self._pause_reading()

    def on_message_complete(self) -> None:
        self._progress, self._held = True, 0
        if self._receiving is not None:
            self._receiving.complete()
            self._receiving = None

    # From the exchange that is answered

    @property
    def leaving(self) -> bool:
        """Whether the connection ends with this answer, whatever its client wants."""
        return self._house.ending

    @property
    def date(self) -> bytes:
        return self._house.date

    def write(self, data: bytes | bytearray) -> None:
        """What is given belongs to the socket until `sent`."""
        if not self.ended:
            self._transport.write(data)

    @property
    def unsent(self) -> bool:
        return self._unsent is not None

    async def sent(self) -> None:
        """Returns when the socket took everything, or is gone."""
        while self._unsent is not None:
            await asyncio.shield(self._unsent)

    async def send_file(self, file: int, offset: int, count: int) -> bool:
        """Whether all of it could be sent. The disk may have to be waited for, so a thread does it."""
        await self.sent()
        # A number of its own: the event loop lets nobody else watch that of a transport.
        number = os.dup(self._number()) if not self.ended else -1
        try:
            while count and not self.ended:
                try:
                    passed = await self._house.in_thread(os.sendfile, number, file, offset, count)
                except BlockingIOError:
                    await self._writable(number)
                    continue
                except OSError:
                    break
                if not passed:
                    break
                offset, count = offset + passed, count - passed
        finally:
            if number >= 0:
                os.close(number)
        return not count

    async def _writable(self, number: int) -> None:
        if self.ended:
            return
        self.pause_writing()
        self._house.loop.add_writer(number, self.resume_writing)
        try:
            await self.sent()
        finally:
            self._house.loop.remove_writer(number)

    def break_off(self) -> None:
        """Half an answer is out: only cutting the connection tells."""
        self.ended = True
        self._transport.abort()

    def relieve(self) -> None:
        """The application took what there was of a body."""
        if not self._next:
            self._resume_reading()

    def answered(self, exchange: Exchange) -> None:
        """The application is done with it."""
        self._answering = None
        if self.ended:
            return
        if not exchange.finished:
            self.break_off()
        elif not exchange.keeps:
            self.end()
        elif self._next:
            self._answer(self._next.popleft())
        elif self._refusal is not None:
            self._write_refusal(self._refusal)
        elif self._deaf:
            self.end()
        else:
            self._wait_for_a_request()
            self._resume_reading()
            if self.leaving:
                self.leave()

    # Ends

    def end(self) -> None:
        """Closes when everything written has gone out."""
        if self.ended:
            return
        self.ended = True
        self._next.clear()
        if self._receiving is None and not self._in_head and self._refusal is None:
            self._transport.close()
            return
        # It still sends: to close now would reset the connection, and the answer could be lost.
        self._deaf = True
        self._receiving = None
        self.due = self._house.loop.time() + _LINGER_SECONDS
        with suppress(OSError):
            self._transport.write_eof()
        self._resume_reading()

    def leave(self) -> None:
        """The server ends. A request that is under way already is answered still."""
        if self._answering is None:
            self.due = min(self.due, self._house.loop.time() + _LEAVING_SECONDS)

    def expire(self) -> None:
        """Its patience is over."""
        if self.ended:
            self._transport.abort()
        elif self._answering is not None:
            self._expect_progress()
        elif self._in_head:
            self._refuse(Refusal(408, "the headers took too long (setting server.header_seconds)"))
        else:
            self.end()

    def _expect_progress(self) -> None:
        """Cuts a client that took nothing of its answer for so long."""
        if self._unsent is None:
            self.due = _NEVER
            return
        queued = struct.unpack("i", fcntl.ioctl(self._number(), termios.TIOCOUTQ, bytes(4)))[0]
        stands = queued, self._transport.get_write_buffer_size()
        if stands == self._stands:
            self.break_off()
        self._stands = stands
        self.due = self._house.loop.time() + self._house.idle_seconds

    def _number(self) -> int:
        number: int = self._transport.get_extra_info("socket").fileno()
        return number

    def _refuse(self, why: Refusal) -> None:
        """What comes is no request: told after the answers to those before it."""
        self._deaf = True
        self._refusal = why
        if self._receiving is not None and self._receiving.over:
            self.end()
        elif self._receiving is not None:
            self._receiving.cut()  # a body that breaks off: its request is answered
        elif self._answering is None and not self._next:
            self._write_refusal(why)

    def _write_refusal(self, why: Refusal) -> None:
        self.write(refusal(why, self.date))
        self.end()

    def _ignore(self, nbytes: int) -> None:
        self._unheard += nbytes
        if self._unheard > _LINGER_BYTES:
            self._transport.abort()

    # Helps

    def _wait_for_a_request(self) -> None:
        self.due = self._house.loop.time() + self._house.header_seconds

    def _answer(self, exchange: Exchange) -> None:
        self._answering = exchange
        self._house.start(exchange)
        if not self._next:
            self._resume_reading()  # its body may still be on its way

    def _scope(self) -> Scope:
        target, headers = self._target, self._headers
        version = self._parser.get_http_version()
        if version not in {"1.1", "1.0"}:
            raise Refusal(400, "HTTP/1.1 or HTTP/1.0 is expected")
        if self._hosts != 1 and (self._hosts or version == "1.1"):
            raise Refusal(400, "exactly one Host is expected")  # RFC 9112, section 3.2
        limit = self._house.max_header_bytes
        if self._held + self._read > limit and self._length_of_head() > limit:
            raise self._too_long()
        if not target.startswith(b"/") or b"#" in target:
            target = _origin_form(target)
        raw_path, _, query = target.partition(b"?")
        path = raw_path.decode("latin-1")
        method = self._parser.get_method()
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "method": _METHODS.get(method) or method.decode("ascii"),
            "scheme": "http",
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": headers,
            "client": self._client,
            "server": self._server,
            "extensions": _EXTENSIONS,
        }

    def _length_of_head(self) -> int:
        return len(self._target) + sum(len(name) + len(value) for name, value in self._headers)

    def _too_long(self) -> Refusal:
        limit = self._house.max_header_bytes
        return Refusal(431, f"at most {limit} bytes of headers are taken (setting server.max_header_bytes)")

    def _pause_reading(self) -> None:
        if self._reading and not self.ended:
            self._reading = False
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if not self._reading and not self._transport.is_closing():
            self._reading = True
            self._transport.resume_reading()


def _origin_form(target: bytes) -> bytes:
    """Path and query of a target that is written otherwise (RFC 9112, section 3.2). Raises Refusal."""
    if target == b"*":
        return target
    try:
        url = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        raise Refusal(400, "the request's target is no path and no URL") from None
    path: bytes = url.path or b"/"
    return path + b"?" + url.query if url.query else path


def _address(name: Any) -> tuple[str, int] | None:
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) else None
