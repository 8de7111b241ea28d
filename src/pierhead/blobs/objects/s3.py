"""S3 and whatever speaks it, through aiobotocore: its chain of credentials, its signatures, its regions.

Tries are counted here, not there: botocore knows no budget of time. A body goes out in the frames that it came in.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from types import TracebackType
from typing import Any, Self

from pierhead.blobs.objects import s3_client
from pierhead.blobs.objects.attempts import TRY_SECONDS, Attempts
from pierhead.blobs.objects.bucket import Limits, Pending, Stored
from pierhead.blobs.objects.patience import BUDGET_SECONDS, Fault, Patience
from pierhead.blobs.objects.s3_checksums import Checksums
from pierhead.blobs.objects.s3_client import Choices
from pierhead.blobs.objects.s3_errors import s3_errors
from pierhead.blobs.work import Observe, unobserved
from pierhead.errors import BlobMissing, StorageFailed, UploadUnknown
from pierhead.models import Part

MIB = 1024 * 1024
LIMITS = Limits(part_min=5 * MIB, part_max=5 * 1024 * MIB, parts=10_000)
_REMOVED_AT_ONCE = 1000
_PING = "ping"


class S3Bucket:
    """Keeps `Service`. To be opened with `async with`."""

    limits = LIMITS

    def __init__(self, url: str, *, budget_seconds: float = BUDGET_SECONDS, observe: Observe = unobserved) -> None:
        """Raises ConfigurationError."""
        self._choices = Choices.parse(url)
        self._checksums = Checksums(self._choices.checksum)
        self._bucket = self._choices.place.bucket
        self._prefix = self._choices.place.prefix
        self._attempts = Attempts(s3_errors, budget_seconds, observe)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        clients = s3_client.Clients(self._choices)
        self._client = await self._stack.enter_async_context(clients.own())
        self._signer = await self._stack.enter_async_context(clients.signing())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    # Whole objects

    async def put(self, key: str, content: bytes | bytearray) -> None:
        await self._put(key, content)

    async def _put(self, key: str, content: bytes | bytearray, seconds: float | None = None) -> None:
        sealed = await self._checksums.of([content])

        async def put() -> None:
            await self._client.put_object(
                **self._named(key), Body=sealed.body(), **sealed.fields, **self._choices.of_object
            )

        await self._attempts.persist("put", put, size=len(content), seconds=seconds)

    async def get(self, key: str, start: int, length: int) -> AsyncIterator[bytes]:
        end, patience = start + length, Patience(self._attempts.budget_seconds)
        if not length and start > await self.size(key):
            raise StorageFailed("get: the object is shorter")
        while start < end:
            try:
                async for piece in self._pieces(key, start, end):
                    start += len(piece)
                    patience.renew()
                    yield piece
            except Fault as fault:
                await patience.bear(fault)

    async def _pieces(self, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes until the connection ends, which may be early."""
        with self._attempts.attempt("get") as tally:
            async with asyncio.timeout(TRY_SECONDS):
                answer = await self._client.get_object(**self._named(key), Range=f"bytes={start}-{end - 1}")
            async with answer["Body"] as body:
                if not str(answer.get("ContentRange")).startswith(f"bytes {start}-"):
                    raise StorageFailed(
                        f"get: {answer.get('ContentRange')} where bytes {start}-{end - 1} were asked for"
                    )
                async for piece in body.raw_stream.content.iter_any():
                    tally.size += len(piece)
                    yield piece
            # Where the object itself is shorter, the next range lies past its end, which is refused.
            if tally.size < end - start:
                raise Fault("get: the answer broke off")

    async def size(self, key: str) -> int:
        answer = await self._attempts.persist("head", lambda: self._client.head_object(**self._named(key)))
        return int(answer["ContentLength"])

    async def remove(self, keys: Sequence[str]) -> None:
        for first in range(0, len(keys), _REMOVED_AT_ONCE):
            await self._remove(keys[first : first + _REMOVED_AT_ONCE])

    async def _remove(self, keys: Sequence[str]) -> None:
        if len(keys) == 1:
            await self._attempts.persist("remove", lambda: self._client.delete_object(**self._named(keys[0])))
            return
        named = {"Objects": [{"Key": self._prefix + key} for key in keys], "Quiet": True}
        answer = await self._attempts.persist(
            "remove", lambda: self._client.delete_objects(Bucket=self._bucket, Delete=named)
        )
        if errors := answer.get("Errors"):
            raise StorageFailed(f"remove: {errors[0].get('Code')} for {len(errors)} of {len(keys)} objects")

    async def list(self, prefix: str, *, after: str = "") -> AsyncIterator[Stored]:
        given = {"Prefix": self._prefix + prefix, **({"StartAfter": self._prefix + after} if after else {})}
        markers = {"ContinuationToken": "NextContinuationToken"}
        async for page in self._pages(self._client.list_objects_v2, given, markers):
            for entry in page.get("Contents", ()):
                key = entry["Key"].removeprefix(self._prefix)
                yield Stored(key, entry["Size"], _microseconds(entry["LastModified"]))

    async def ping(self) -> None:
        try:
            await self._put(_PING, b"", seconds=0)
            await self._remove([_PING])
        except BlobMissing as error:
            raise StorageFailed("ping") from error

    # Parts

    async def begin(self, key: str) -> str:
        answer = await self._attempts.persist(
            "begin",
            lambda: self._client.create_multipart_upload(
                **self._named(key), **self._checksums.of_upload, **self._choices.of_object
            ),
        )
        session: str = answer["UploadId"]
        return session

    async def put_part(self, key: str, session: str, number: int, content: Sequence[bytes | bytearray]) -> Part:
        sealed = await self._checksums.of(content)

        async def put() -> str:
            answer = await self._client.upload_part(
                **self._named(key), UploadId=session, PartNumber=number, Body=sealed.body(), **sealed.fields
            )
            tag: str = answer["ETag"]
            return tag

        tag = await self._attempts.persist("put part", put, size=sealed.size)
        return Part(number, sealed.size, sealed.tagged(tag))

    async def complete(self, key: str, session: str, parts: Sequence[Part]) -> None:
        in_order = sorted(parts, key=lambda part: part.number)
        named = {"Parts": [self._checksums.named(part) for part in in_order]}
        try:
            await self._attempts.persist(
                "complete",
                lambda: self._client.complete_multipart_upload(
                    **self._named(key), UploadId=session, MultipartUpload=named
                ),
            )
        except UploadUnknown:
            if not await self._is_complete(key, parts):
                raise

    async def _is_complete(self, key: str, parts: Sequence[Part]) -> bool:
        """Whether an earlier call made the object, whose answer was lost."""
        try:
            return await self.size(key) == sum(part.size for part in parts)
        except BlobMissing:
            return False

    async def abort(self, key: str, session: str) -> None:
        with suppress(UploadUnknown):  # it was completed or aborted before
            await self._attempts.persist(
                "abort", lambda: self._client.abort_multipart_upload(**self._named(key), UploadId=session)
            )

    async def pending(self) -> AsyncIterator[Pending]:
        markers = {"KeyMarker": "NextKeyMarker", "UploadIdMarker": "NextUploadIdMarker"}
        # Without a prefix: MinIO takes one for the whole name of an object.
        async for page in self._pages(self._client.list_multipart_uploads, {}, markers):
            for entry in page.get("Uploads", ()):
                if entry["Key"].startswith(self._prefix):
                    key = entry["Key"].removeprefix(self._prefix)
                    yield Pending(key, entry["UploadId"], _microseconds(entry["Initiated"]))

    # Addresses

    async def sign(self, key: str, *, seconds: int, headers: Mapping[str, str]) -> str:
        names = {"content-type": "ResponseContentType", "cache-control": "ResponseCacheControl"}
        answered = {names[name]: value for name, value in headers.items()}
        with s3_errors("sign"):
            url: str = await self._signer.generate_presigned_url(
                "get_object", Params={**self._named(key), **answered}, ExpiresIn=seconds
            )
        return url

    def _named(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + key}

    async def _pages(
        self, call: Callable[..., Awaitable[Any]], given: Mapping[str, str], markers: Mapping[str, str]
    ) -> AsyncIterator[Any]:
        """All answers of a listing; `markers` says what is asked of each by what the one before it said."""
        asked = {"Bucket": self._bucket, **given}
        while True:
            page = await self._attempts.persist("list", partial(call, **asked))
            yield page
            if not page.get("IsTruncated"):
                return
            asked |= {name: page[said] for name, said in markers.items()}


def _microseconds(moment: Any) -> int:
    return int(moment.timestamp() * 1_000_000)
