"""An open blob of an object store: each range is a request of its own."""

from collections.abc import AsyncIterator

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
            async for piece in self._bucket.get(self._key, start, length):
                yield piece

    def close(self) -> None:
        """Nothing is held between two reads."""
