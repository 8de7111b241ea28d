"""The front of plain HTTP over real sockets and uvloop, around small applications."""

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop

from pierhead.asgi.types import App, Receive, Scope, Send
from pierhead.http1.connection import HEADERS_MAX, Connection
from pierhead.http1.house import House

pytestmark = pytest.mark.anyio
LIMIT = 16 * 1024
MIB = 1 << 20
LOST = 5.0  # seconds after which an answer will not come any more


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"loop_factory": uvloop.new_event_loop}


class Front:
    """A listening front, and a client that speaks in bytes."""

    def __init__(self, house: House, port: int) -> None:
        self.house = house
        self.port = port

    @asynccontextmanager
    async def client(self) -> AsyncIterator["Client"]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=64 * MIB)
        try:
            yield Client(reader, writer)
        finally:
            writer.close()

    async def ask(self, request: bytes) -> bytes:
        """Everything that is answered until the connection ends."""
        async with self.client() as client:
            client.send(request)
            return await client.rest()

    async def emptied(self) -> bool:
        for _ in range(200):
            if not self.house.busy:
                return True
            await asyncio.sleep(0.02)
        return False


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        """Each request gets its Host, where the test says nothing of one."""
        if b"Host:" not in data:
            data = data.replace(b" HTTP/1.1\r\n", b" HTTP/1.1\r\nHost: a\r\n")
        self.writer.write(data)

    async def head(self) -> bytes:
        async with asyncio.timeout(LOST):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def read(self, count: int) -> bytes:
        async with asyncio.timeout(LOST):
            return await self.reader.readexactly(count)

    async def rest(self) -> bytes:
        async with asyncio.timeout(LOST):
            return await self.reader.read(-1)


@asynccontextmanager
async def serving(
    app: App, *, header_seconds: float = 30.0, idle_seconds: float = 30.0, keep_alive: bool = True
) -> AsyncIterator[Front]:
    house = House(
        app,
        header_seconds=header_seconds,
        idle_seconds=idle_seconds,
        max_header_bytes=LIMIT,
        keep_alive=keep_alive,
    )
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(house), "127.0.0.1", 0)
    ticking = loop.create_task(_tick(house))
    try:
        yield Front(house, server.sockets[0].getsockname()[1])
    finally:
        ticking.cancel()
        server.close()
        for connection in tuple(house.connections):
            connection.break_off()


async def _tick(house: House) -> None:
    while True:
        await asyncio.sleep(0.05)
        house.tick()


async def answer(send: Send, body: bytes, status: int = 200) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the method, the target, how many headers came, and the body."""
    body, more = b"", True
    while more:
        message = await receive()
        more = message.get("more_body", False)
        body += message.get("body", b"")
    told = f"{scope['method']} {scope['raw_path'].decode('latin-1')} {scope['query_string'].decode('latin-1')}|"
    await answer(send, told.encode() + body)


def echo_after(event: asyncio.Event) -> App:
    async def later(scope: Scope, receive: Receive, send: Send) -> None:
        await event.wait()
        await echo(scope, receive, send)

    return later


async def slow_first(scope: Scope, receive: Receive, send: Send) -> None:
    """As `echo`, and slow for /a."""
    if scope["raw_path"] == b"/a":
        await asyncio.sleep(0.05)
    await echo(scope, receive, send)


async def telling(_: Scope, receive: Receive, send: Send) -> None:
    """Answers with how the body ended."""
    message = await receive()
    while message.get("more_body"):
        message = await receive()
    await answer(send, b"cut" if message["type"] == "http.disconnect" else b"whole")


async def unread(_: Scope, __: Receive, send: Send) -> None:
    await answer(send, b"unread")


GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET /z HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


async def test_requests_that_come_together_are_answered_in_turn() -> None:
    async with serving(slow_first) as front:
        got = await front.ask(GET + b"PUT /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" + GET * 20 + LAST)

    assert got.index(b"GET /a |") < got.index(b"PUT /b |abc") < got.rindex(b"GET /a |") < got.index(b"GET /z |")
    assert got.count(b"GET /a |") == 21


async def test_a_body_comes_whole_whatever_its_pieces() -> None:
    content = os.urandom(3 * MIB)

    async with serving(echo) as front, front.client() as client:
        client.send(b"PUT /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        for start in range(0, len(content), 40_000):
            piece = content[start : start + 40_000]
            client.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            await client.writer.drain()
        client.send(b"0\r\n\r\n")
        await client.head()

        assert await client.read(len(b"PUT /b |") + len(content)) == b"PUT /b |" + content


@pytest.mark.parametrize("expecting", [b"", b"Expect: 100-continue\r\n"])
async def test_a_body_that_comes_after_its_head_was_read_ahead(expecting: bytes) -> None:
    async with serving(slow_first) as front, front.client() as client:
        client.send(GET + b"PUT /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n" + expecting + b"\r\n")
        await client.head()
        await client.read(len(b"GET /a |"))
        if expecting:
            assert b" 100 " in await client.head()
        client.send(b"abc")

        await client.head()
        assert await client.read(len(b"PUT /b |abc")) == b"PUT /b |abc"


async def test_requests_far_ahead_of_their_answers_are_refused_after_those_before_them() -> None:
    async with serving(echo) as front:
        got = await front.ask(GET * 5000)

    assert 64 <= got.count(b" 200 ") <= 66
    assert got.count(b" 429 ") == 1


async def test_many_requests_in_one_read_are_no_long_head() -> None:
    async with serving(echo) as front, front.client() as client:
        client.send(GET * 60 + b"PUT /b HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n" + bytes(20000) + GET[:9])
        for _ in range(60):
            await client.head()
            await client.read(len(b"GET /a |"))
        await client.head()
        await client.read(len(b"PUT /b |") + 20000)
        client.send(b"".join((GET[9:], LAST)))

        assert b" 431 " not in await client.rest()


async def test_small_pieces_that_nobody_takes_cost_no_more_than_large_ones() -> None:
    taken = asyncio.Event()

    async with serving(echo_after(taken)) as front, front.client() as client:
        client.send(b"PUT /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send(b"2\r\nab\r\n" * 200_000 + b"0\r\n\r\n")
        await asyncio.sleep(0.3)
        [connection] = front.house.connections
        assert connection._answering is not None
        assert len(connection._answering._pieces) < 60_000
        taken.set()
        await client.head()
        assert await client.read(len(b"PUT /b |") + 400_000) == b"PUT /b |" + b"ab" * 200_000


async def test_nothing_begins_on_a_connection_that_has_ended() -> None:
    seen: list[str] = []

    async def noting(scope: Scope, _: Receive, send: Send) -> None:
        seen.append(scope["method"])
        await answer(send, b"unread")

    async with serving(noting) as front, front.client() as client:
        client.send(b"PUT / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (MIB + 10))
        await client.head()
        client.send(bytes(MIB + 10) + b"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.rest()

    assert seen == ["PUT"]


async def test_a_body_that_nobody_takes_waits_with_its_client() -> None:
    taken = asyncio.Event()

    async with serving(echo_after(taken)) as front, front.client() as client:
        client.send(b"PUT /b HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (64 * MIB))
        client.send(bytes(64 * MIB))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await client.writer.drain()
        [connection] = front.house.connections
        assert connection._answering is not None
        assert connection._answering._waiting < 2 * MIB
        taken.set()
        await client.head()


@pytest.mark.parametrize("left", [10, 512 * 1024])
async def test_what_is_left_of_a_body_is_no_request(left: int) -> None:
    smuggled = (GET * (left // len(GET) + 1))[:left]

    async with serving(unread) as front, front.client() as client:
        client.send(b"PUT /b HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % left)
        assert b" 200 " in await client.head()
        assert await client.read(6) == b"unread"
        client.send(smuggled)
        client.send(LAST)

        rest = await client.rest()
    assert rest.count(b"HTTP/1.1") == 1


async def test_a_long_body_that_nobody_wants_ends_the_connection_and_the_answer_arrives() -> None:
    async with serving(unread) as front, front.client() as client:
        client.send(b"PUT /b HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (1 << 40))
        for _ in range(8):
            client.send(bytes(MIB))
            await asyncio.sleep(0)

        assert (await client.rest()).endswith(b"unread")
        assert await front.emptied()


async def test_a_client_that_sends_no_more_still_gets_its_answer() -> None:
    async with serving(echo) as front, front.client() as client:
        client.send(GET + GET)
        client.writer.write_eof()

        assert (await client.rest()).count(b"GET /a |") == 2


async def test_a_body_that_breaks_off_is_told_and_the_answer_still_goes_out() -> None:
    async with serving(telling) as front, front.client() as client:
        client.send(b"PUT /b HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc")
        client.writer.write_eof()

        assert (await client.rest()).endswith(b"cut")


async def test_a_client_that_leaves_is_told_to_who_waits() -> None:
    gone = asyncio.Event()

    async def waiting(_: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()
        await answer(send, b"to nobody")

    async with serving(waiting) as front:
        async with front.client() as client:
            client.send(GET)
            await asyncio.sleep(0.05)
            reset = struct.pack("ii", 1, 0)
            client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            client.writer.transport.abort()
        async with asyncio.timeout(LOST):
            await gone.wait()
        assert await front.emptied()


# Limits


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\nX-A: " + b"a" * LIMIT + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * LIMIT + b" HTTP/1.1\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * (HEADERS_MAX + 1) + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * (HEADERS_MAX - 1) + b"\r\n", 200),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX-A: Host:\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"PUT / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n", 400),
        (b"PUT / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET ftp:// HTTP/1.1\r\n\r\n", 400),
        (b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", 400),
    ],
)
async def test_what_is_no_request_is_refused(sent: bytes, status: int) -> None:
    async with serving(unread) as front, front.client() as client:
        client.send(sent)
        if status == 200:
            client.send(LAST)
        got = await client.rest()

    assert got.startswith(b"HTTP/1.1 %d " % status)
    if status != 200:
        assert b"connection: close" in got
        assert b'{"errors":[{"code":"UNSUPPORTED"' in got


async def test_a_header_without_end_is_refused() -> None:
    async with serving(unread) as front, front.client() as client:
        client.send(b"GET / HTTP/1.1\r\nX-A: ")
        for _ in range(4):
            client.send(b"a" * LIMIT)
            await asyncio.sleep(0.02)

        assert (await client.rest()).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("trailer", [b"a" * 65536, b"X-A: b\r\n" * 1000], ids=["one", "many"])
async def test_trailers_are_bounded(trailer: bytes) -> None:
    async with serving(telling) as front, front.client() as client:
        client.send(b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Trailer: ")
        for _ in range(64):
            await asyncio.sleep(0.001)
            client.send(trailer)

        assert (await client.rest()).endswith(b"cut")


async def test_trailers_are_no_headers() -> None:
    seen: list[tuple[bytes, bytes]] = []

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        seen.extend(scope["headers"])
        await answer(send, b"")

    request = b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nAuthorization: evil\r\n\r\n"
    async with serving(noting) as front:
        await front.ask(request + LAST)

    assert b"authorization" not in dict(seen)


async def test_an_extension_of_a_chunk_without_end_is_refused() -> None:
    async with serving(telling) as front, front.client() as client:
        client.send(b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;")
        for _ in range(64):
            client.send(b"a" * 65536)
            await asyncio.sleep(0)

        assert (await client.rest()).endswith(b"cut")


async def test_a_head_that_takes_too_long_is_refused_and_a_silent_connection_closed() -> None:
    async with serving(unread, header_seconds=0.2) as front:
        async with front.client() as client:
            client.send(b"GET / HTTP/1.1\r\n")
            assert (await client.rest()).startswith(b"HTTP/1.1 408 ")
        async with front.client() as client:
            assert await client.rest() == b""
        async with front.client() as client:
            client.send(GET)
            await client.head()
            assert await client.rest() == b"unread"


async def test_an_answer_that_takes_long_is_waited_for() -> None:
    async def slow(_: Scope, __: Receive, send: Send) -> None:
        await asyncio.sleep(0.6)
        await answer(send, b"slow")

    async with serving(slow, header_seconds=0.1) as front:
        assert (await front.ask(LAST)).endswith(b"slow")


# How a connection goes on or ends


@pytest.mark.parametrize(
    ("request_", "goes_on"),
    [
        (GET, True),
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
        (b"HEAD / HTTP/1.1\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", False),
        (b"CONNECT a:1 HTTP/1.1\r\n\r\n", False),
    ],
)
async def test_a_connection_goes_on_as_its_client_wants(request_: bytes, goes_on: bool) -> None:
    async with serving(unread) as front, front.client() as client:
        client.send(request_)
        head = await client.head()
        if not request_.startswith((b"HEAD", b"CONNECT")):
            assert await client.read(6) == b"unread"

        assert (b"connection: close" not in head) == goes_on
        if goes_on:
            client.send(LAST)
            assert b" 200 " in await client.head()
        else:
            await client.rest()


async def test_without_keep_alive_every_answer_ends_its_connection() -> None:
    async with serving(unread, keep_alive=False) as front:
        assert (await front.ask(GET)).count(b"connection: close") == 1


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize("status", [200, 204, 304])
async def test_an_answer_has_a_body_only_where_it_may(method: bytes, status: int) -> None:
    async def bare(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"" if status != 200 or method == b"HEAD" else b"body"})

    async with serving(bare) as front:
        got = await front.ask(method + b" / HTTP/1.1\r\nConnection: close\r\n\r\n")

    head, _, body = got.partition(b"\r\n\r\n")
    assert (b"transfer-encoding: chunked" in head) == (status == 200 and method == b"GET")
    assert body == (b"4\r\nbody\r\n0\r\n\r\n" if status == 200 and method == b"GET" else b"")


async def test_a_header_cannot_forge_another(caplog: pytest.LogCaptureFixture) -> None:
    async def forging(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b\r\nset-cookie: c")]})

    async with serving(forging) as front:
        assert await front.ask(GET) == b""


async def test_half_an_answer_ends_with_its_connection() -> None:
    async def half(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("the rest is lost")

    async with serving(half) as front, front.client() as client:
        client.send(GET)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await client.read(4096)


async def test_expect_is_answered_once_and_only_when_the_body_is_wanted() -> None:
    async with serving(echo) as front, front.client() as client:
        client.send(b"PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 6\r\n\r\n")
        assert await client.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"abc")
        await asyncio.sleep(0.05)
        client.send(b"def")
        assert b" 200 " in await client.head()
        assert (await client.read(13)).endswith(b"abcdef")

    async with serving(unread) as front, front.client() as client:
        client.send(b"PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert b" 200 " in await client.head()


# Files

CONTENT = os.urandom(MIB) * 24


def sending(path: Path, start: int, count: int, *, said: int | None = None) -> App:
    async def app(_: Scope, __: Receive, send: Send) -> None:
        file = os.open(path, os.O_RDONLY)
        try:
            length = [(b"content-length", b"%d" % (count if said is None else said))]
            await send({"type": "http.response.start", "status": 200, "headers": length})
            message = {"type": "http.response.zerocopysend", "file": file, "offset": start, "count": count}
            await send(message)
        finally:
            os.close(file)

    return app


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


@pytest.mark.parametrize(("start", "count"), [(0, 24 * MIB), (5, 1), (MIB + 7, 9 * MIB + 1)])
async def test_a_file_is_sent_as_it_is_and_the_connection_goes_on(file: Path, start: int, count: int) -> None:
    async with serving(sending(file, start, count)) as front, front.client() as client:
        for _ in range(2):
            client.send(GET)
            assert b"content-length: %d\r\n" % count in await client.head()
            assert await client.read(count) == CONTENT[start : start + count]


async def test_a_file_that_is_too_short_cuts_the_connection(file: Path) -> None:
    async with serving(sending(file, 23 * MIB, 2 * MIB)) as front, front.client() as client:
        client.send(GET)
        await client.head()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await client.read(2 * MIB)


async def test_a_reader_that_takes_nothing_is_cut_and_a_slow_one_is_not(file: Path) -> None:
    async with serving(sending(file, 0, 24 * MIB), idle_seconds=0.3) as front:
        with socket.create_connection(("127.0.0.1", front.port)) as asleep:
            asleep.sendall(GET)
            assert await eventually(lambda: len(front.house.connections) == 1)
            assert await front.emptied()
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port, limit=1024)
        writer.write(GET)
        got = 0
        while got < 12 * MIB:
            got += len(await reader.read(256 * 1024))
            await asyncio.sleep(0.02)
        writer.close()


async def test_a_reader_of_memory_that_takes_nothing_is_cut() -> None:
    async def large(_: Scope, __: Receive, send: Send) -> None:
        await answer(send, bytes(32 * MIB))

    async with serving(large, idle_seconds=0.3) as front:
        with socket.create_connection(("127.0.0.1", front.port)) as asleep:
            asleep.sendall(GET)
            assert await eventually(lambda: len(front.house.connections) == 1)
            assert await front.emptied()


async def test_an_end_amid_a_file_leaves_nothing_open(file: Path) -> None:
    async with serving(sending(file, 0, 24 * MIB)) as front:
        for delay in range(30):
            with socket.create_connection(("127.0.0.1", front.port)) as asleep:
                asleep.sendall(GET)
                await asyncio.sleep(delay / 2000)
                for connection in tuple(front.house.connections):
                    connection.break_off()
                assert await front.emptied()


async def test_readers_that_leave_or_sleep_leave_nothing_open(file: Path) -> None:
    before = open_files()

    async with serving(sending(file, 0, 24 * MIB)) as front:
        asleep = [socket.create_connection(("127.0.0.1", front.port)) for _ in range(20)]
        for one in asleep:
            one.sendall(GET)
        await asyncio.sleep(0.2)
        assert len(front.house.connections) == 20
        for one in asleep:
            one.close()
        assert await front.emptied()

    assert await eventually(lambda: open_files() <= before + 2)


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def eventually(condition: Callable[[], bool]) -> bool:
    for _ in range(100):
        if condition():
            return True
        await asyncio.sleep(0.02)
    return False


# The end of a server


async def test_the_end_lets_an_answer_finish_and_closes_the_silent() -> None:
    going = asyncio.Event()

    async def slow(_: Scope, __: Receive, send: Send) -> None:
        await going.wait()
        await answer(send, b"slow")

    async with serving(slow) as front, front.client() as busy, front.client() as silent:
        busy.send(GET)
        await asyncio.sleep(0.05)
        front.house.end()
        assert await silent.rest() == b""
        going.set()
        assert b"connection: close" in await busy.head()
        assert await busy.rest() == b"slow"
        assert await front.emptied()


async def test_the_end_answers_what_is_on_its_way_to_an_idle_connection() -> None:
    async with serving(unread) as front, front.client() as client:
        client.send(GET)
        await client.head()
        await client.read(6)
        front.house.end()
        client.send(GET)

        assert b"connection: close" in await client.head()
        assert await client.rest() == b"unread"


async def test_an_answer_that_began_before_the_end_is_the_last_of_its_connection() -> None:
    going = asyncio.Event()

    async def halves(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await going.wait()
        await send({"type": "http.response.body", "body": b"b"})

    async with serving(halves) as front, front.client() as client:
        client.send(GET)
        await client.head()
        front.house.end()
        going.set()

        assert await client.rest() == b"ab"
        assert await front.emptied()


async def test_the_end_does_not_wait_for_half_a_head() -> None:
    async with serving(unread) as front, front.client() as client:
        client.send(b"GET / HTTP/1.1\r\n")
        await asyncio.sleep(0.05)
        front.house.end()

        assert b" 408 " in await client.rest()
