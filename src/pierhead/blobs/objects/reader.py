"""An open blob of an object store: each range is a request of its own."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from pierhead.blobs.objects.bucket import Bucket


class ObjectReader:
    file = None

    def __init__(self, bucket: Bucket, key: str, size: int, *, chunk: int) -> None:
        self.size = size
        self._bucket = bucket
        self._key = key
        self._chunk = chunk  # bytes

    async def read(self, start: int, length: int) -> bytes:
        return b"".join([piece async for piece in self._bucket.get(self._key, start, min(length, self._chunk))])

    async def chunks(self, start: int, length: int) -> AsyncIterator[bytes | bytearray]:
        if length:
            # Closed with its reader: an answer that nobody reads to its end holds a connection.
            async with aclosing(self._bucket.get(self._key, start, length)) as pieces:
                async for piece in pieces:
                    yield piece

    def close(self) -> None:
        """Nothing is held between two reads."""
