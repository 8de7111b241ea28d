"""The seam to one object store's service: whole objects, ranges of them, and uploads in parts.

What a part is for, which keys there are and how an upload is resumed is the same for all services and
lives beside this file. An adapter knows one protocol, its credentials and its faults. It tries again
what the service asks to try again (503, 429, time-outs, resets) inside a budget of time, and raises
StorageFailed where that is used up: never a short body, never a guess.

Keys are relative to the bucket's prefix.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pierhead.models import Part


@dataclass(frozen=True, slots=True)
class Limits:
    """What a service takes."""

    part_min: int  # bytes; the last part may be smaller
    part_max: int  # bytes
    parts: int  # most of one object; numbers begin at 1


@dataclass(frozen=True, slots=True)
class Stored:
    """An object in a listing."""

    key: str
    size: int  # bytes
    changed_at: int  # microseconds since 1970, by the service's clock


@dataclass(frozen=True, slots=True)
class Pending:
    """An upload in parts that was begun and neither completed nor aborted."""

    key: str
    session: str
    begun_at: int  # microseconds since 1970, by the service's clock


class Bucket(Protocol):
    """Whole objects. Every method raises StorageFailed where the service fails past the budget."""

    async def put(self, key: str, content: bytes | bytearray) -> None:
        """On return the object is durable, and what the key held before is replaced."""
        ...

    def get(self, key: str, start: int, length: int) -> AsyncIterator[bytes]:
        """Bytes [start, start + length) in pieces, all of them: a cut answer goes on where it broke.

        Raises BlobMissing where there is no such object, StorageFailed where it is shorter.
        """
        ...

    async def size(self, key: str) -> int:
        """Raises BlobMissing."""
        ...

    async def remove(self, keys: Sequence[str]) -> None:
        """Removes objects; nothing happens where there are none."""
        ...

    def list(self, prefix: str, *, after: str = "") -> AsyncIterator[Stored]:
        """Objects whose keys begin so and come after that one, in the order of their keys."""
        ...

    async def ping(self) -> None:
        """Raises StorageFailed where the bucket cannot be reached, or may not be written to."""
        ...


class TakesParts(Protocol):
    """Objects that are written in parts, by any process that knows the session."""

    @property
    def limits(self) -> Limits: ...

    async def begin(self, key: str) -> str:
        """The session of a new upload in parts; nothing is at the key before `complete`."""
        ...

    async def put_part(self, key: str, session: str, number: int, content: Sequence[bytes | bytearray]) -> Part:
        """On return the part is in the store. Sent with a checksum that the service verifies.

        Raises UploadUnknown where the service has no such session.
        """
        ...

    async def complete(self, key: str, session: str, parts: Sequence[Part]) -> None:
        """Makes the object of exactly these parts; on return it is durable. Harmless where it is complete already.

        Raises StorageFailed where the service does not have them as they are named here, UploadUnknown where
        it has no such session and no such object either.
        """
        ...

    async def abort(self, key: str, session: str) -> None:
        """Forgets an upload; nothing happens where there is none."""
        ...

    def pending(self) -> AsyncIterator[Pending]:
        """Uploads that are neither complete nor aborted; none where the service forgets them by itself."""
        ...


class SignsUrls(Protocol):
    """Addresses from which anybody can get an object for a while."""

    async def sign(self, key: str, *, seconds: int, headers: Mapping[str, str]) -> str:
        """`headers` are those that the service shall answer with: `content-type`, `cache-control`."""
        ...


class Service(Bucket, TakesParts, SignsUrls, Protocol):
    """All that an object store's service gives."""
