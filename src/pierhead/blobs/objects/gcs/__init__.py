"""Google Cloud Storage as a bucket, through its JSON API.

A part is an object of its own, `.parts/KEY/SESSION/NUMBER-TOKEN`: no two writers share a name, so that a
part's bytes never change. Completing has the service compose them, 32 at a time; no byte comes through
here. A finished object names its session, by which a completion that is repeated knows it.
"""

import os
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from functools import partial
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from pierhead.blobs.objects.attempts import Attempts, some_at_once
from pierhead.blobs.objects.bucket import Limits, Pending, Stored
from pierhead.blobs.objects.gcs.account import Account, default_account
from pierhead.blobs.objects.gcs.objects import COMPOSED_AT_ONCE, Objects
from pierhead.blobs.objects.gcs.service import Service, gcs_errors
from pierhead.blobs.objects.gcs.signing import overrides, signed_url
from pierhead.blobs.objects.patience import BUDGET_SECONDS, Fault, Patience
from pierhead.blobs.objects.place import Place
from pierhead.blobs.work import Observe, unobserved
from pierhead.errors import BlobMissing, ConfigurationError, StorageFailed, UploadUnknown
from pierhead.models import Part

OPTIONS = frozenset({"endpoint", "storage_class", "kms_key"})
# Three rounds of composing make any object of so many.
LIMITS = Limits(part_min=1, part_max=5 * 1024**4, parts=COMPOSED_AT_ONCE**3)
_PARTS = ".parts/"
_SESSION = "pierhead-session"  # metadata of an object that was made of parts
_PING = "ping"


class GoogleBucket:
    """Keeps `Bucket`, `TakesParts` and `SignsUrls`. To be opened with `async with`."""

    limits = LIMITS

    def __init__(
        self,
        url: str,
        *,
        budget_seconds: float = BUDGET_SECONDS,
        observe: Observe = unobserved,
        environment: Mapping[str, str] = os.environ,
        account: Account | None = None,
    ) -> None:
        """Raises ConfigurationError. Another account than that of the environment is for those who have it at hand."""
        self._place = Place.parse(url, OPTIONS)
        self._endpoint = _endpoint(self._place, environment)
        self._attempts = Attempts(gcs_errors, budget_seconds, observe)
        self._account = Account(None) if account is None and "STORAGE_EMULATOR_HOST" in environment else account
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        account = self._account or await default_account()
        self._service = await self._open.enter_async_context(Service(self._endpoint, account))
        options = self._place.options
        self._objects = Objects(
            self._service,
            self._place.bucket,
            storage_class=options.get("storage_class"),
            kms_key=options.get("kms_key"),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def put(self, key: str, content: bytes | bytearray) -> None:
        await self._put(key, content)

    async def _put(self, key: str, content: bytes | bytearray, seconds: float | None = None) -> None:
        await self._attempts.persist(
            "put", lambda: self._objects.insert(self._name(key), [content]), size=len(content), seconds=seconds
        )

    async def get(self, key: str, start: int, length: int) -> AsyncIterator[bytes]:
        at, end = start, start + length
        if not length and start > await self.size(key):
            raise StorageFailed("get: the object is shorter")
        patience = Patience(self._attempts.budget_seconds)
        while at < end:
            try:
                async with aclosing(self._pieces(key, at, end)) as pieces:
                    async for piece in pieces:
                        at += len(piece)
                        patience.renew()
                        yield piece
            except Fault as fault:
                await patience.bear(fault)

    async def _pieces(self, key: str, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """The bytes until the answer ends, which may be early."""
        with self._attempts.attempt("get") as tally:
            async with aclosing(self._objects.read(self._name(key), start, end - start)) as pieces:
                async for piece in pieces:
                    tally.size += len(piece)
                    yield piece

    async def size(self, key: str) -> int:
        return int((await self._stat(key))["size"])

    async def _stat(self, key: str) -> dict[str, Any]:
        return await self._attempts.persist("head", lambda: self._objects.stat(self._name(key)))

    async def remove(self, keys: Sequence[str]) -> None:
        await some_at_once([self._remove(key) for key in keys])

    async def _remove(self, key: str) -> None:
        with suppress(BlobMissing):
            await self._attempts.persist("remove", lambda: self._objects.delete(self._name(key)))

    async def list(self, prefix: str, *, after: str = "") -> AsyncIterator[Stored]:
        async for stored in self._listed(prefix, after):
            if not stored.key.startswith(_PARTS):
                yield stored

    async def ping(self) -> None:
        """Under a new name each time: the service lets one name be written once a second."""
        key = f"{_PING}/{secrets.token_hex(8)}"
        await self._put(key, b"", seconds=0)
        await self.remove([key])

    async def begin(self, key: str) -> str:  # noqa: ARG002  only other services must know it
        return secrets.token_hex(16)

    async def put_part(self, key: str, session: str, number: int, content: Sequence[bytes | bytearray]) -> Part:
        part = Part(number, sum(map(len, content)), secrets.token_hex(8))
        name = self._name(_part(key, session, part))
        await self._attempts.persist("put part", lambda: self._objects.insert(name, content), size=part.size)
        return part

    async def complete(self, key: str, session: str, parts: Sequence[Part]) -> None:
        sources = [_part(key, session, part) for part in sorted(parts, key=lambda part: part.number)]
        try:
            await self._compose(key, session, sources, sum(part.size for part in parts))
        except (BlobMissing, StorageFailed) as error:
            await self._explain(key, session, error)
        # Parts that stay behind are pending, and cleared up as such.
        with suppress(StorageFailed):
            await self.abort(key, session)

    async def _compose(self, key: str, session: str, sources: Sequence[str], size: int) -> None:
        """A tree of compositions: what is in between lies beside the parts."""
        while len(sources) > COMPOSED_AT_ONCE:
            groups = [sources[at : at + COMPOSED_AT_ONCE] for at in range(0, len(sources), COMPOSED_AT_ONCE)]
            sources = [f"{_folder(key, session)}{secrets.token_hex(8)}" for _ in groups]
            await some_at_once([self._composed(group, name, {}) for group, name in zip(groups, sources, strict=True)])
        if await self._composed(sources, key, {_SESSION: session}) != size:
            await self.remove([key])
            raise StorageFailed("complete: the parts have not the size that was stated")

    async def _composed(self, sources: Sequence[str], key: str, metadata: Mapping[str, str]) -> int:
        names = [self._name(source) for source in sources]
        return await self._attempts.persist("complete", lambda: self._objects.compose(names, self._name(key), metadata))

    async def _explain(self, key: str, session: str, error: Exception) -> None:
        """Why composing failed. Nothing is wrong where the object is there already."""
        with suppress(BlobMissing):
            stat = await self._stat(key)
            if stat.get("metadata", {}).get(_SESSION) == session:
                return
        if [stored async for stored in self._listed(_folder(key, session), "")]:
            raise StorageFailed("complete: a part is not there") from error
        raise UploadUnknown from error

    async def abort(self, key: str, session: str) -> None:
        await self.remove([stored.key async for stored in self._listed(_folder(key, session), "")])

    async def pending(self) -> AsyncIterator[Pending]:
        """Those of which a part is there; each begins with the first of them in the listing."""
        last = ""
        async for stored in self._listed(_PARTS, ""):
            folder, _, _ = stored.key.rpartition("/")
            if folder != last:
                last = folder
                key, _, session = folder.removeprefix(_PARTS).rpartition("/")
                yield Pending(key, session, stored.changed_at)

    async def sign(self, key: str, *, seconds: int, headers: Mapping[str, str]) -> str:
        """The service documents that it replaces `content-type`; it may answer without the `cache-control`."""
        resource = f"{self._endpoint}/{self._place.bucket}/{quote(self._name(key), safe='/~')}"

        return await self._attempts.persist(
            "sign", lambda: signed_url(self._service.account, resource, seconds=seconds, query=overrides(headers))
        )

    def _name(self, key: str) -> str:
        return self._place.prefix + key

    async def _listed(self, prefix: str, after: str) -> AsyncIterator[Stored]:
        """Objects and parts."""
        first = self._name(after) if after else ""
        page = await self._attempts.persist("list", lambda: self._objects.page(self._name(prefix), first, None))
        while True:
            for stored in page.objects:
                key = stored.key.removeprefix(self._place.prefix)
                if key != after:
                    yield Stored(key, stored.size, stored.changed_at)
            if not page.following:
                return
            page = await self._attempts.persist(
                "list", partial(self._objects.page, self._name(prefix), first, page.following)
            )


def _endpoint(place: Place, environment: Mapping[str, str]) -> str:
    """Tokens go to it, so that plain HTTP is for an emulator, which gets none."""
    if emulator := environment.get("STORAGE_EMULATOR_HOST"):
        return (emulator if "://" in emulator else f"http://{emulator}").rstrip("/")
    endpoint = place.options.get("endpoint", "https://storage.googleapis.com").rstrip("/")
    if not endpoint.startswith("https://"):
        raise ConfigurationError(["storage.url: endpoint begins with https://"])
    return endpoint


def _folder(key: str, session: str) -> str:
    return f"{_PARTS}{key}/{session}/"


def _part(key: str, session: str, part: Part) -> str:
    return f"{_folder(key, session)}{part.number:05d}-{part.tag}"
