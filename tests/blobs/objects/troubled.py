"""A way to a service on which chosen answers go wrong, each as it is told."""

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Answers:
    """In place of the service."""

    status: int


@dataclass(frozen=True, slots=True)
class Lost:
    """The service does it, and its answer never arrives."""


@dataclass(frozen=True, slots=True)
class Reset:
    """The connection ends inside the request."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection ends after so many bytes of the answer's body."""

    after: int


@dataclass(frozen=True, slots=True)
class Short:
    """A well-formed answer with so many bytes of the body."""

    size: int


@dataclass(frozen=True, slots=True)
class Silent:
    """Nothing comes, for a time."""

    seconds: float


Trouble = Answers | Lost | Reset | Cut | Short | Silent


@dataclass(slots=True)
class Way:
    host: str = ""
    troubles: deque[Trouble] = field(default_factory=deque)  # one for each request; then all goes well
    always: Trouble | None = None
    requests: list[str] = field(default_factory=list)  # their first lines

    def next_trouble(self) -> Trouble | None:
        return self.always or (self.troubles.popleft() if self.troubles else None)


@asynccontextmanager
async def way_to(host: str) -> AsyncIterator[Way]:
    way, connections = Way(), set[asyncio.Task[None]]()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(_serve(way, host, reader, writer))
        connections.add(connection)
        connection.add_done_callback(connections.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=2**20)
    way.host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield way
    finally:
        server.close()
        for connection in list(connections):
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _serve(way: Way, host: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One request of a connection, which ends with it."""
    try:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            way.requests.append(head.partition(b"\r\n")[0].decode())
            trouble = way.next_trouble()
            if isinstance(trouble, Silent):
                await asyncio.sleep(trouble.seconds)
            if isinstance(trouble, Reset):
                writer.transport.abort()
                return
            body = await reader.readexactly(_length(head))
            if isinstance(trouble, Answers):
                writer.write(b"HTTP/1.1 %d Troubled\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % trouble.status)
            else:
                await _answer(await _asked(host, head, body), trouble, writer)
            await writer.drain()
    finally:
        writer.close()


async def _asked(host: str, head: bytes, body: bytes) -> bytes:
    """The whole answer of the service."""
    name, port = host.split(":")
    reader, writer = await asyncio.open_connection(name, int(port), limit=2**20)
    try:
        closing = re.sub(rb"(?i)\r\nconnection:[^\r]*", b"", head[:-2]) + b"connection: close\r\n\r\n"
        writer.write(closing + body)
        await writer.drain()
        return await reader.read()
    finally:
        writer.close()


async def _answer(answer: bytes, trouble: Trouble | None, writer: asyncio.StreamWriter) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    match trouble:
        case Lost():
            return
        case Cut(after):
            body = body[:after]
        case Short(size):
            body = body[:size]
            head = re.sub(rb"(?i)(\r\ncontent-length:) *\d+", rb"\1 %d" % len(body), head)
    writer.write(head + b"\r\n\r\n" + body)


def _length(head: bytes) -> int:
    found = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return int(found[1]) if found else 0
