"""Sizes and numbers of parts, up to uploads that no test could send."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pierhead.blobs.objects import azure, gcs, parts, s3
from pierhead.blobs.objects.bucket import Limits, Pending
from pierhead.blobs.objects.gathering import Frame, Gathering
from pierhead.blobs.objects.notes import Notes
from pierhead.blobs.objects.sender import Sender
from pierhead.errors import BlobTooLarge
from pierhead.models import Part
from tests.contracts.blob_store import Row, session

MIB, GIB, GB = 1024**2, 1024**3, 1000**3
SERVICES = {"azure": azure.LIMITS, "gcs": gcs.LIMITS, "s3": s3.LIMITS}

services = pytest.mark.parametrize("limits", SERVICES.values(), ids=SERVICES.keys())


@services
def test_all_numbers_together_hold_more_than_100_gb(limits: Limits) -> None:
    assert sum(parts.size_of(number, limits) for number in range(1, limits.parts + 1)) > 200 * GIB


@services
def test_100_gb_fit_even_if_every_part_is_as_small_as_a_request_may_leave_it(limits: Limits) -> None:
    assert sum(parts.worth(number, limits) for number in range(1, limits.parts + 1)) > 100 * GB


@services
def test_parts_never_shrink_and_are_what_the_service_takes(limits: Limits) -> None:
    sizes = [parts.size_of(number, limits) for number in range(1, limits.parts + 1)]

    assert sizes == sorted(sizes)
    assert limits.part_min <= sizes[0] == 8 * MIB
    assert sizes[-1] == 64 * MIB <= limits.part_max


@services
def test_after_the_last_number_the_blob_is_too_large(limits: Limits) -> None:
    with pytest.raises(BlobTooLarge):
        parts.size_of(limits.parts + 1, limits)


def test_a_gib_costs_few_notes_and_the_next_ones_one_each() -> None:
    strides = [0]
    for _ in range(8):
        strides.append(parts.next_stride(strides[-1]))

    assert strides == [0, 8, 16, 32, 64, 128, 128, 128, 128]
    assert strides[-1] * 8 * MIB == GIB


@given(st.lists(st.binary(max_size=40_000), max_size=30), st.integers(1, 50_000))
def test_what_gathers_is_cut_anywhere_and_keeps_its_order(pieces: list[bytes], size: int) -> None:
    gathering, taken = Gathering(), bytearray()
    for piece in pieces:
        gathering.add(piece)
        while gathering.size >= size:
            cut = gathering.cut(size)
            assert sum(map(len, cut)) == size
            taken += b"".join(cut)

    assert taken + gathering.whole() == b"".join(pieces)
    assert gathering.size < size


class Counting:
    """A service that keeps nothing but the sizes of parts, and how many came at once."""

    limits = s3.LIMITS

    def __init__(self) -> None:
        self.sizes: dict[int, int] = {}
        self.flying = self.most = 0

    async def begin(self, key: str) -> str:
        return "session"

    async def put_part(self, key: str, session: str, number: int, content: Sequence[Frame]) -> Part:
        self.flying += 1
        self.most = max(self.most, self.flying)
        await asyncio.sleep(0)
        self.flying -= 1
        self.sizes[number] = sum(map(len, content))
        return Part(number, self.sizes[number], "tag")

    async def complete(self, key: str, session: str, parts: Sequence[Part]) -> None:
        raise NotImplementedError

    async def abort(self, key: str, session: str) -> None:
        raise NotImplementedError

    def pending(self) -> AsyncIterator[Pending]:
        raise NotImplementedError


async def send(bucket: Counting, size: int, slots: asyncio.Semaphore) -> Sender:
    upload = session()
    sender = Sender(bucket, upload.id, Notes(), ledger=Row(upload), slots=slots)
    gathering, frame = Gathering(), bytes(MIB)
    for _ in range(0, size, MIB):
        gathering.add(frame)
        while gathering.size >= sender.part_size:
            part = sender.part_size
            await sender.room(part)
            sender.start(gathering.cut(part))
    await sender.settle()
    return sender


def test_100_gb_go_out_in_parts_whose_numbers_suffice() -> None:
    bucket = Counting()

    sender = asyncio.run(send(bucket, 100 * GB, asyncio.Semaphore(16)))

    sizes = [bucket.sizes[part.number] for part in sender.sent]
    assert [part.number for part in sender.sent] == list(range(1, len(sizes) + 1))
    assert len(sizes) < 9000
    assert sum(sizes) > 100 * GB - 64 * MIB
    assert bucket.most == 2


def test_many_uploads_share_the_slots() -> None:
    bucket = Counting()

    async def all_at_once() -> None:
        slots = asyncio.Semaphore(5)
        await asyncio.gather(*(send(bucket, 200 * MIB, slots) for _ in range(30)))
        assert not slots.locked()

    asyncio.run(all_at_once())

    assert bucket.most == 5
