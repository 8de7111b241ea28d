"""How S3 is told what it must have received: by a sum in the signature, or by a checksum of its own.

sha256   part of the signature. Every S3 verifies it.
crc32c   a tenth of the work, on both sides. But S3 itself then wants parts without gaps between their numbers, and
         there is one after a session was taken over from a node that died: that upload cannot be completed there.
"""

import asyncio
import base64
import hashlib
import io
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import google_crc32c
from botocore.auth import UNSIGNED_PAYLOAD, S3SigV4Auth

from pierhead.models import Part

SIGNATURE = "pierhead-s3v4"
# Up to here a thread costs more than the sum does.
_INLINE = 64 * 1024

Frames = Sequence[bytes | bytearray]


class Body:
    """A request's body in frames. botocore asks for its length, aiohttp sends it frame by frame."""

    def __init__(self, frames: Frames, size: int, signed: str) -> None:
        self.signed = signed
        self._frames = frames
        self._size = size

    def __len__(self) -> int:
        return self._size

    def read(self, _: int = -1) -> bytes:
        raise io.UnsupportedOperation("a body is sent frame by frame")

    async def __aiter__(self) -> AsyncIterator[bytes | bytearray]:
        for frame in self._frames:
            yield frame


class Presummed(S3SigV4Auth):  # type: ignore[misc]  # untyped
    """Signs what a `Body` says of itself, instead of reading it."""

    def payload(self, request: Any) -> str:
        if isinstance(request.body, Body):
            return request.body.signed
        signed: str = super().payload(request)
        return signed


@dataclass(frozen=True, slots=True)
class Sealed:
    """Content, and what is told of it."""

    frames: Frames
    size: int  # bytes
    signed: str = UNSIGNED_PAYLOAD
    fields: dict[str, str] = field(default_factory=dict)

    def body(self) -> Any:
        return Body(self.frames, self.size, self.signed) if self.size else b""

    def tagged(self, tag: str) -> str:
        return " ".join([tag, *self.fields.values()])


class Checksums:
    def __init__(self, kind: str) -> None:
        self._crc = kind == "crc32c"

    @property
    def of_upload(self) -> dict[str, str]:
        return {"ChecksumAlgorithm": "CRC32C"} if self._crc else {}

    async def of(self, frames: Frames) -> Sealed:
        size = sum(map(len, frames))
        return self._sealed(frames, size) if size <= _INLINE else await asyncio.to_thread(self._sealed, frames, size)

    def named(self, part: Part) -> dict[str, Any]:
        """A part as completion names it."""
        tag, _, checksum = part.tag.partition(" ")
        named = {"PartNumber": part.number, "ETag": tag}
        return {**named, "ChecksumCRC32C": checksum} if checksum else named

    def _sealed(self, frames: Frames, size: int) -> Sealed:
        if self._crc:
            return Sealed(frames, size, fields={"ChecksumCRC32C": _crc32c(frames)})
        sum_ = hashlib.sha256()
        for frame in frames:
            sum_.update(frame)
        return Sealed(frames, size, signed=sum_.hexdigest())


def _crc32c(frames: Frames) -> str:
    value = 0
    for frame in frames:
        value = google_crc32c.extend(value, bytes(frame))
    return base64.b64encode(value.to_bytes(4, "big")).decode()
