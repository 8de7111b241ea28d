"""What the tests of buckets say often."""

from collections.abc import Sequence

from pierhead.blobs.objects.bucket import Pending, Service
from pierhead.models import Part

KEY = "blobs/7d/0b1e7a1c-3c58-4b3c-9f5e-7b2f6c1d2e7d-0123456789abcdef"


async def read(bucket: Service, key: str, start: int = 0, length: int | None = None) -> bytes:
    length = await bucket.size(key) if length is None else length
    return b"".join([piece async for piece in bucket.get(key, start, length)])


async def keys(bucket: Service, prefix: str = "", after: str = "") -> list[str]:
    return [stored.key async for stored in bucket.list(prefix, after=after)]


async def pending(bucket: Service) -> list[Pending]:
    return [upload async for upload in bucket.pending()]


def pieces(bucket: Service, number: int) -> list[bytes | bytearray]:
    """A part that is not too small, in two pieces, and different for each number."""
    size = max(bucket.limits.part_min, 100)
    return [bytes([number]) * size, bytearray(f"part {number}".encode())]


async def put_parts(bucket: Service, session: str, numbers: Sequence[int]) -> list[Part]:
    return [await bucket.put_part(KEY, session, number, pieces(bucket, number)) for number in numbers]
