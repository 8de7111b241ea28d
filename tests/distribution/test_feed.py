"""How a body is handed over: each byte once, and only the client is timed."""

import asyncio
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pierhead.asgi.types import Message
from pierhead.distribution.call import Call
from pierhead.distribution.face import Face
from pierhead.errors import BodyTooShort, BodyTooSlow, StorageFull
from pierhead.observability.requests import RequestRecord

pytestmark = pytest.mark.anyio
IDLE = 0.3  # seconds
BATCH = 300 * 1024


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def a_call(messages: Iterable[Message | float]) -> Call:
    """A call whose body comes as these messages; a number is a pause in seconds."""
    coming = iter(messages)

    async def receive() -> Message:
        message = next(coming)
        if isinstance(message, float):
            await asyncio.sleep(message)
            message = next(coming)
        return cast("Message", message)

    async def send(_: Message) -> None:
        pytest.fail("nothing is answered here")

    scope: dict[str, Any] = {"type": "http", "method": "PATCH", "headers": []}
    # The one setting that is looked at; the rest of the face takes a whole server.
    face = cast("Face", SimpleNamespace(idle_body_seconds=IDLE))
    return Call(face, scope, receive, send, RequestRecord(scope, lambda: "1"))


def piece(content: bytes, *, last: bool = False) -> Message:
    return {"type": "http.request", "body": content, "more_body": not last}


async def test_a_store_slower_than_the_idle_limit_gets_each_byte_once_and_is_not_taken_for_the_client() -> None:
    taken: list[bytes] = []

    async def take(content: bytes) -> None:
        taken.append(content)
        await asyncio.sleep(IDLE + 1.2)

    await a_call([piece(b"a" * BATCH), piece(b"b", last=True)]).feed(take)

    assert b"".join(taken) == b"a" * BATCH + b"b"


async def test_what_came_before_a_client_fell_silent_is_kept_once() -> None:
    taken: list[bytes] = []

    async def take(content: bytes) -> None:
        taken.append(content)

    with pytest.raises(BodyTooSlow):
        await a_call([piece(b"first"), 10.0, piece(b"never", last=True)]).feed(take)

    assert taken == [b"first"]


async def test_what_came_before_a_client_left_is_kept_once() -> None:
    taken: list[bytes] = []

    async def take(content: bytes) -> None:
        taken.append(content)

    with pytest.raises(BodyTooShort):
        await a_call([piece(b"first"), {"type": "http.disconnect"}]).feed(take)

    assert taken == [b"first"]


async def test_a_store_that_refuses_is_not_asked_again() -> None:
    asked = 0

    async def take(_: bytes) -> None:
        nonlocal asked
        asked += 1
        raise StorageFull

    with pytest.raises(StorageFull):
        await a_call([piece(b"a" * BATCH), piece(b"b", last=True)]).feed(take)

    assert asked == 1


async def test_a_trickle_is_handed_on_about_once_a_second() -> None:
    """So that a slow writer shows that it lives, and is not taken over."""
    taken: list[bytes] = []

    async def take(content: bytes) -> None:
        taken.append(content)

    trickle: list[Message | float] = [part for _ in range(12) for part in (0.1, piece(b"x"))]
    await a_call([*trickle, piece(b"", last=True)]).feed(take)

    assert len(taken) > 1
    assert b"".join(taken) == b"x" * 12
