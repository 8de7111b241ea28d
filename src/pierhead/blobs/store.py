"""The seam to whatever holds bytes: staged uploads and finished blobs under keys.

A key is written once and never reused, so that a late removal can never hit new bytes.
Which digest has which key is a row's business (`metadata`), never read from here.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from pierhead.models import Digest, Doomed, Mark, Part, Upload


@dataclass(frozen=True, slots=True)
class Accepted:
    """Where a staged upload stands after an append: the bytes are in the store (they survive kill -9)."""

    offset: int  # bytes
    state: bytes | None  # of the hash of [0, offset)
    boot: str  # boot id of the machine that wrote them; another one means that they must be read again
    notes: str | None = None  # the store's own, for the session's row: see `Upload.notes`
    parts: tuple[Part, ...] = ()  # that the store took since the last time


class Ledger(Protocol):
    """The session's row, as a store may use it while it appends.

    Every method raises UploadUnknown where the session was taken over, finished or cancelled.
    """

    async def refresh(self) -> Upload:
        """The row as it is now."""
        ...

    async def note(self, notes: str) -> None:
        """Keeps what the store is about to do, before it does it."""
        ...

    async def parts(self) -> list[Part]:
        """Those that were accepted, in the order of their numbers."""
        ...


class Appender(Protocol):
    """The one writer of a staged upload, from `append` to the end of its block."""

    @property
    def offset(self) -> int:
        """Bytes handed over so far, with those of earlier requests."""
        ...

    async def write(self, data: bytes) -> None:
        """Takes the next bytes; returns at once or when the store has caught up.

        Raises StorageFull, StorageFailed.
        """
        ...

    async def flush(self) -> Accepted:
        """Everything written so far is in the store. Raises StorageFull, StorageFailed."""
        ...

    async def digest(self, algorithm: str) -> Digest:
        """Digest of all bytes so far (flushes). Reads them again for an algorithm that was not announced."""
        ...

    async def content(self) -> bytes:
        """All bytes so far; for small ones. Raises StorageFull, StorageFailed."""
        ...

    async def commit(self, digest: Digest) -> str:
        """Makes the bytes durable (through power loss) under a new key, and returns the key.

        The session can be committed to the same content again until it is discarded, since a crash may cut this short.
        Raises StorageFull, StorageFailed; a failed sync is never tried again on the same bytes.
        """
        ...

    async def withdraw(self) -> None:
        """Takes the commit back, where nothing will name its key. The session stays as it was."""
        ...


class Reader(Protocol):
    """An open blob: it stays readable even if its key is removed meanwhile."""

    size: int

    @property
    def file(self) -> int | None:
        """A descriptor of the very bytes, for who can send from one; None where the store has none."""
        ...

    async def read(self, start: int, length: int) -> bytes:
        """Some of bytes [start, start + length), at least one. Raises StorageFailed where there are none."""
        ...

    def chunks(self, start: int, length: int) -> AsyncIterator[bytes | bytearray]:
        """Bytes [start, start + length), in order; each chunk is good until the next one is asked for.

        Raises StorageFailed when they end early.
        """
        ...

    def close(self) -> None: ...


@runtime_checkable
class SparesMemory(Protocol):
    """A reader of bytes that the machine may have in memory, for others who need them often."""

    def passing(self) -> AsyncIterator[bytes | bytearray]:
        """All bytes, in order. What was not in memory before is not afterwards, and what was stays.

        Raises StorageFailed when they end early.
        """
        ...


@runtime_checkable
class KeepsCopies(Protocol):
    """A store that also keeps copies of what is in rows, apart from blobs and uploads."""

    async def keep(self, name: str, content: bytes) -> None:
        """On return the content is durable under a name such as `manifests/sha256/<hex>`, in place of what was there.

        No name is another one's folder. Raises StorageFailed, StorageFull.
        """
        ...

    async def forget(self, name: str) -> None:
        """Removes a copy; nothing happens where there is none. Raises StorageFailed."""
        ...


class BlobStore(Protocol):
    """Bytes. Every method raises StorageFailed where the store does, StorageFull where it is full."""

    @property
    def boot(self) -> str:
        """Staged bytes that were written under another one may have been lost since."""
        ...

    def append(self, upload: Upload, ledger: Ledger) -> AbstractAsyncContextManager[Appender]:
        """Opens a staged upload at `upload.offset` for its only writer; staged bytes past it are discarded.

        A store that `Locks` sees to it that there is one, asks the ledger for the session's row once nobody else
        can move it, and uses that row instead of `upload`. For any other store the caller sees to it beforehand.

        Restores the hash from `upload.state`; reads the staged bytes again where there is none or where
        `upload.boot` is another one (raises UploadUnknown unless they are what the state says). Raises UploadBusy
        while another request writes, UploadUnknown where the staged bytes are gone.
        """
        ...

    async def discard(self, upload: Upload, *, kept: str | None = None) -> None:
        """Forgets the staged bytes of a session, those of earlier epochs too; nothing happens without any.

        `kept` is the key that the session became.
        """
        ...

    async def abandoned(self, before: int) -> list[str]:
        """Ids of some sessions whose staged bytes nobody wrote to since then (microseconds since 1970)."""
        ...

    async def open(self, key: str) -> Reader:
        """Raises BlobMissing where the key holds nothing."""
        ...

    async def remove(self, doomed: Sequence[Doomed]) -> None:
        """Removes finished bytes, and what the store was told of them; nothing happens where there are none.

        On return that survives power loss. Where some cannot be removed, the others may be gone all the same.
        """
        ...

    async def ping(self) -> None:
        """Raises StorageFailed or StorageFull where the store cannot be written."""
        ...


@dataclass(frozen=True, slots=True)
class Kept:
    """Finished bytes as a store lists them."""

    key: str
    digest: Digest | None  # that they were written for, where the store knows it
    size: int  # bytes
    changed_at: int  # microseconds since 1970


@runtime_checkable
class Lists(Protocol):
    """A store that can tell what it holds."""

    def listed(self) -> AsyncIterator[Kept]:
        """All finished bytes, in no order, without reading them."""
        ...


@runtime_checkable
class Locks(Protocol):
    """A store whose staged uploads have a lock of their own, which ends with the process that holds it."""

    async def take_over(self, upload: Upload) -> None:
        """Copies the accepted bytes of epoch `upload.epoch` into a staged file of the next epoch.

        A writer of the old epoch that wakes up later cannot reach the copy. Raises UploadBusy where somebody
        else took over and writes already, UploadUnknown where the staged bytes are gone.
        """
        ...


@runtime_checkable
class TellsCopies(Protocol):
    """A store that gives back what it `KeepsCopies` of. Both raise StorageFailed where it fails."""

    def copies(self, folder: str) -> AsyncIterator[str]:
        """The names of all copies in a folder and below it, in no order."""
        ...

    async def copy(self, name: str) -> bytes:
        """Raises BlobMissing."""
        ...


@runtime_checkable
class MarksDigests(Protocol):
    """A store that can tell, without the database and without reading them, what its blobs are."""

    async def mark(self, digest: Digest, key: str) -> None:
        """Keeps that the key holds this content. Harmless where that is known."""
        ...

    def marks(self) -> AsyncIterator[Mark]:
        """All that was kept so, in the order of the digests. The bytes of some may have been removed since."""
        ...


@runtime_checkable
class SignsUrls(Protocol):
    """A store from which clients can get a blob themselves."""

    async def sign(self, key: str, *, seconds: int, headers: Mapping[str, str]) -> str:
        """An address that serves the key for so long, with these headers: `content-type`, `cache-control`."""
        ...
