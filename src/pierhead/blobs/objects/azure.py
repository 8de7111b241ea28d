"""Azure Blob Storage as a bucket: block blobs, through the vendor's client.

A part is a block that is not committed yet. Its id holds the session, the number and a token of its own,
so that no late writer can put other bytes in its place. Committing names the blocks of which the object
is made; all others of that key vanish then. What is never committed, the service forgets after a week,
and nothing earlier: so an abort has nothing to do, and nothing is ever pending.
"""

import asyncio
import base64
import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Any, Self

from azure.core.async_paging import AsyncItemPaged
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from azure.storage.blob import BlobBlock, BlobProperties, StandardBlobTier
from azure.storage.blob.aio import BlobClient

from pierhead.blobs.objects.attempts import Attempts, some_at_once
from pierhead.blobs.objects.azure_account import OPTIONS, open_account
from pierhead.blobs.objects.bucket import Limits, Pending, Stored
from pierhead.blobs.objects.patience import BUDGET_SECONDS, PASSING, Fault
from pierhead.blobs.objects.place import Place
from pierhead.blobs.work import Observe, unobserved
from pierhead.errors import BlobMissing, ConfigurationError, StorageFailed, UploadUnknown
from pierhead.models import Part

MIB = 1024 * 1024
LIMITS = Limits(part_min=1, part_max=4000 * MIB, parts=50_000)
# Tiers from which a blob can be read at once.
_TIERS = {"hot": StandardBlobTier.HOT, "cool": StandardBlobTier.COOL, "cold": StandardBlobTier.COLD}
_WINDOW = 4 * MIB  # read in one request, and held in memory
_WRITTEN_WHOLE = MIB // 2
_PING = "ping"
_PAGE = 5000  # names in a listing's answer: the most that the service gives


# What did not arrive as it was sent.
_PASSING_CODES = frozenset({"Md5Mismatch"})


@contextmanager
def azure_errors(operation: str) -> Iterator[None]:
    """Tells apart what may pass, what is not there and what failed; names the service's code, not its text."""
    try:
        yield
    except ClientAuthenticationError as error:
        raise StorageFailed(f"{operation}: {_code(error) or 'no credentials that the service takes'}") from error
    except HttpResponseError as error:
        code = _code(error)
        if error.status_code is None or error.status_code in PASSING or code in _PASSING_CODES:
            raise Fault(f"{operation}: {code or 'the answer broke off'}") from error
        if error.status_code == 404 and code != "ContainerNotFound":  # noqa: PLR2004  not found
            raise BlobMissing(operation) from error
        raise StorageFailed(f"{operation}: {code}") from error
    except (AzureError, TimeoutError) as error:
        raise Fault(f"{operation}: {type(error).__name__}") from error


@dataclass(frozen=True, slots=True)
class _Page:
    blobs: list[BlobProperties]
    following: str | None  # the service's name for the next one


async def _page(listing: Callable[[], AsyncItemPaged[BlobProperties]], name: str | None) -> _Page:
    pages = listing().by_page(name)
    page = await anext(pages)
    blobs = [blob async for blob in page]
    return _Page(blobs, getattr(pages, "continuation_token", None))


def _code(error: HttpResponseError) -> str:
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or error.status_code or "")


class AzureBucket:
    """Keeps `Bucket`, `TakesParts` and `SignsUrls`. To be opened with `async with`."""

    limits = LIMITS

    def __init__(
        self,
        url: str,
        *,
        budget_seconds: float = BUDGET_SECONDS,
        observe: Observe = unobserved,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        """Raises ConfigurationError."""
        place = Place.parse(url, OPTIONS)
        self._prefix = place.prefix
        self._write_options = _write_options(place)
        self._attempts = Attempts(azure_errors, budget_seconds, observe)
        self._account = open_account(place, environment)
        self._container = self._account.service.get_container_client(place.bucket)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._account.close()

    async def put(self, key: str, content: bytes | bytearray) -> None:
        # The client would send more than this in one go, in which nothing else gets its turn.
        if len(content) > _WRITTEN_WHOLE:
            session = await self.begin(key)
            await self.complete(key, session, [await self.put_part(key, session, 1, [content])])
            return
        await self._put(key, content)

    async def _put(self, key: str, content: bytes | bytearray, seconds: float | None = None) -> None:
        checksum = await _checksum([content])
        await self._attempts.persist(
            "put",
            lambda: self._blob(key).upload_blob(
                bytes(content), overwrite=True, headers=checksum, **self._write_options
            ),
            size=len(content),
            seconds=seconds,
        )

    async def get(self, key: str, start: int, length: int) -> AsyncIterator[bytes]:
        end = start + length
        if not length and start > await self.size(key):
            raise StorageFailed("get: the object is shorter")
        while start < end:
            piece = await self._attempts.persist(
                "get", partial(self._window, key, start, min(_WINDOW, end - start)), size=min(_WINDOW, end - start)
            )
            start += len(piece)
            yield piece

    async def _window(self, key: str, start: int, length: int) -> bytes:
        """Some of the bytes that are asked for, from the first one on."""
        stream = await self._blob(key).download_blob(start, length, max_concurrency=1)
        _, _, size = str(stream.properties.content_range).rpartition("/")
        if int(size) < start + length:
            raise StorageFailed(f"get: the object has {size} bytes, {start + length} are needed")
        content: bytes = await stream.readall()
        if not 0 < len(content) <= length:
            raise Fault(f"get: {len(content)} bytes where {length} were asked for")
        return content

    async def size(self, key: str) -> int:
        properties = await self._attempts.persist("head", lambda: self._blob(key).get_blob_properties())
        return int(properties.size)

    async def remove(self, keys: Sequence[str]) -> None:
        await some_at_once([self._remove(key) for key in keys])

    async def _remove(self, key: str) -> None:
        with suppress(BlobMissing):
            await self._attempts.persist("remove", lambda: self._blob(key).delete_blob(delete_snapshots="include"))

    async def list(self, prefix: str, *, after: str = "") -> AsyncIterator[Stored]:
        listing = partial(
            self._container.list_blobs,
            name_starts_with=self._prefix + prefix,
            start_from=self._prefix + after if after else None,
            results_per_page=_PAGE,
            response_format="xml",
        )
        page = await self._attempts.persist("list", partial(_page, listing, None))
        while True:
            for blob in page.blobs:
                key = blob.name.removeprefix(self._prefix)
                # The service begins with `after` itself; one that does not know the parameter, with the first of all.
                if key > after:
                    yield Stored(key, int(blob.size), _microseconds(blob.last_modified))
            if not page.following:
                return
            page = await self._attempts.persist("list", partial(_page, listing, page.following))

    async def ping(self) -> None:
        await self._put(_PING, b"", seconds=0)

    async def begin(self, key: str) -> str:  # noqa: ARG002  only other services must know it
        return secrets.token_hex(16)

    async def put_part(self, key: str, session: str, number: int, content: Sequence[bytes | bytearray]) -> Part:
        # All ids of a blob have the same length, 64 characters at most.
        block = f"{session}-{number:05d}-{secrets.token_hex(8)}"
        size = sum(map(len, content))
        checksum = await _checksum(content)
        options = {name: value for name, value in self._write_options.items() if name == "encryption_scope"}
        await self._attempts.persist(
            "put part",
            lambda: self._blob(key).stage_block(
                block,
                _pieces(content),  # type: ignore[arg-type]  # its transport takes what is iterated asynchronously
                length=size,
                headers=checksum,
                **options,
            ),
            size=size,
        )
        return Part(number, size, block)

    async def complete(self, key: str, session: str, parts: Sequence[Part]) -> None:
        blocks = [BlobBlock(part.tag) for part in sorted(parts, key=lambda part: part.number)]
        if not all(part.tag.startswith(f"{session}-") for part in parts):
            raise StorageFailed("complete: a part of another session")
        try:
            await self._attempts.persist(
                "complete", lambda: self._blob(key).commit_block_list(blocks, **self._write_options)
            )
        except StorageFailed as error:
            if await self._forgotten(key):
                raise UploadUnknown from error
            raise

    async def _forgotten(self, key: str) -> bool:
        """Whether the service holds no block of this key, committed or not."""
        try:
            await self._attempts.persist("complete", lambda: self._blob(key).get_block_list("all"))
        except BlobMissing:
            return True
        return False

    async def abort(self, key: str, session: str) -> None:
        """Nothing is at the key, and the service forgets the blocks a week after the last of them."""

    async def pending(self) -> AsyncIterator[Pending]:
        none: tuple[Pending, ...] = ()
        for upload in none:
            yield upload

    async def sign(self, key: str, *, seconds: int, headers: Mapping[str, str]) -> str:
        blob = self._blob(key)
        query = await self._attempts.persist(
            "sign", lambda: self._account.signature(blob, seconds=seconds, headers=headers)
        )
        return f"{blob.url}?{query}"

    def _blob(self, key: str) -> BlobClient:
        return self._container.get_blob_client(self._prefix + key)


def _write_options(place: Place) -> dict[str, Any]:
    """What every write of an object says."""
    options: dict[str, Any] = {}
    if scope := place.options.get("encryption_scope"):
        options["encryption_scope"] = scope
    if tier := place.options.get("tier"):
        if tier.lower() not in _TIERS:
            raise ConfigurationError(["storage.url: tier is hot, cool or cold"])
        options["standard_blob_tier"] = _TIERS[tier.lower()]
    return options


async def _checksum(content: Sequence[bytes | bytearray]) -> dict[str, str]:
    """The header with which the service verifies what it got."""
    digest = await asyncio.to_thread(_md5, content)
    return {"Content-MD5": base64.b64encode(digest).decode()}


def _md5(content: Sequence[bytes | bytearray]) -> bytes:
    md5 = hashlib.md5(usedforsecurity=False)
    for piece in content:
        md5.update(piece)
    return md5.digest()


async def _pieces(content: Sequence[bytes | bytearray]) -> AsyncIterator[bytes | bytearray]:
    """A body that is sent without being joined first, and not in one go; each try needs a new one."""
    for piece in content:
        yield piece


def _microseconds(moment: datetime) -> int:
    return (moment - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)
