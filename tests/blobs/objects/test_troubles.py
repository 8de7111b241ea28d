"""What an adapter makes of a service that fails: it tries again inside its budget, and never takes less for all."""

import random
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from pierhead.blobs.objects import azure_account, s3_client
from pierhead.blobs.objects.bucket import Service
from pierhead.blobs.objects.gcs import service as gcs_service
from pierhead.errors import StorageFailed
from tests.blobs.objects.buckets import Opener
from tests.blobs.objects.troubled import Answers, Cut, Lost, Reset, Short, Silent, Trouble, Way, way_to
from tests.blobs.objects.usage import KEY, keys, pending, pieces, put_parts, read

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
DATA = random.Random(6).randbytes(6 * MIB + 5)
BUSY = [Answers(503), Answers(429), Answers(500), Answers(502), Answers(504)]


@pytest.fixture
async def way(opener: Opener) -> AsyncIterator[Way]:
    async with way_to(opener.host) as way:
        yield way


@pytest.fixture
async def bucket(opener: Opener, way: Way) -> AsyncIterator[Service]:
    """Reached through the way."""
    async with replace(opener.through(way.host), budget_seconds=5).open() as bucket:
        yield bucket


@pytest.mark.parametrize(
    "troubles",
    [
        BUSY[:3],
        BUSY[3:],
        [Cut(MIB)],
        [Cut(0), Cut(1), Answers(503), Cut(3 * MIB + 1)],
        [Short(1000)],
        [Lost()],
        [Reset()],
    ],
    ids=str,
)
async def test_a_read_goes_on_where_it_broke(bucket: Service, way: Way, troubles: list[Trouble]) -> None:
    await bucket.put(KEY, DATA)
    way.troubles.extend(troubles)

    assert await read(bucket, KEY, 3, len(DATA) - 3) == DATA[3:]
    assert not way.troubles


async def test_a_read_that_never_gets_further_fails(opener: Opener, way: Way) -> None:
    """Some bytes came, and none of them twice."""
    async with opener.open() as bucket:
        await bucket.put(KEY, DATA)
    came = bytearray()
    async with replace(opener.through(way.host), budget_seconds=0.5).open() as bucket:
        way.troubles.append(Cut(4 * MIB + 1000))
        way.troubles.extend([Cut(0)] * 100)
        with pytest.raises(StorageFailed):  # noqa: PT012  what came before counts
            async for piece in bucket.get(KEY, 0, len(DATA)):
                came += piece

    assert DATA.startswith(came)
    assert len(came) < len(DATA)


@pytest.mark.parametrize("troubles", [BUSY[:2], [Reset()], [Lost()], [Lost(), Answers(503), Reset()]], ids=str)
async def test_what_was_sent_in_trouble_is_there_once(bucket: Service, way: Way, troubles: list[Trouble]) -> None:
    way.troubles.extend(troubles)
    await bucket.put("small", b"small")
    way.troubles.extend(troubles)
    await bucket.put("large", DATA)

    assert await read(bucket, "small") == b"small"
    assert await read(bucket, "large") == DATA
    assert await keys(bucket) == ["large", "small"]


@pytest.mark.parametrize("troubles", [BUSY[:2], [Reset()], [Lost()]], ids=str)
async def test_an_upload_in_parts_survives_trouble(bucket: Service, way: Way, troubles: list[Trouble]) -> None:
    session = await bucket.begin(KEY)
    way.troubles.extend(troubles)
    parts = await put_parts(bucket, session, [1, 2])
    way.troubles.extend(troubles)
    await bucket.complete(KEY, session, parts)

    assert await read(bucket, KEY) == b"".join(bytes(piece) for number in (1, 2) for piece in pieces(bucket, number))
    assert await pending(bucket) == []


@pytest.mark.parametrize("troubles", [BUSY[:2], [Cut(40)], [Lost()]], ids=str)
async def test_a_listing_in_trouble_is_whole(bucket: Service, way: Way, troubles: list[Trouble]) -> None:
    for name in "abc":
        await bucket.put(name, b"")
    way.troubles.extend(troubles)

    assert await keys(bucket) == ["a", "b", "c"]


async def test_removing_in_trouble_is_no_failure_where_it_was_done(bucket: Service, way: Way) -> None:
    await bucket.put(KEY, b"x")
    way.troubles.append(Lost())

    await bucket.remove([KEY])

    assert await keys(bucket) == []


@pytest.mark.parametrize("trouble", [Answers(503), Lost(), Reset()], ids=str)
async def test_the_budget_ends_what_does_not_pass(opener: Opener, way: Way, trouble: Trouble) -> None:
    way.always = trouble
    async with replace(opener.through(way.host), budget_seconds=0.6).open() as bucket:
        began = time.monotonic()
        with pytest.raises(StorageFailed):
            await bucket.put(KEY, b"x")

    assert 0.2 < time.monotonic() - began < 3
    assert len(way.requests) > 2


async def test_a_service_that_says_nothing_is_given_up(
    opener: Opener, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(azure_account._CLIENT, "read_timeout", 0.2)
    monkeypatch.setattr(gcs_service, "_SILENT_SECONDS", 0.2)
    monkeypatch.setattr(s3_client, "_SILENT_SECONDS", 0.2)
    async with opener.through(way.host).open() as bucket:
        await bucket.put(KEY, b"content")
        way.troubles.append(Silent(1))

        assert await read(bucket, KEY, 0, 7) == b"content"


@pytest.mark.parametrize("status", [400, 401, 403, 412])
async def test_a_plain_no_is_not_asked_for_again(bucket: Service, way: Way, status: int) -> None:
    way.always = Answers(status)

    with pytest.raises(StorageFailed):
        await bucket.put(KEY, b"x")

    assert len(way.requests) == 1


async def test_a_ping_is_tried_once(bucket: Service, way: Way) -> None:
    way.always = Answers(503)

    with pytest.raises(StorageFailed):
        await bucket.ping()

    assert len(way.requests) == 1
