"""Comparing the rows of a registry with its bytes, with their digests and with one another, while it serves.

Nothing is called wrong before it was looked up again: what is pushed, deleted or collected meanwhile is no damage.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial

from pierhead.blobs.store import Kept, Lists, MarksDigests
from pierhead.errors import PierheadError, StorageFailed
from pierhead.metadata import blobs as blob_rows
from pierhead.metadata import copying, relations, tables
from pierhead.metadata import manifests as manifest_rows
from pierhead.metadata.database import Row
from pierhead.metadata.relations import Reference
from pierhead.models import Blob, Digest
from pierhead.moving import content, orphans
from pierhead.moving.findings import Finding, Orphan, Outcome, Report
from pierhead.moving.progress import Progress
from pierhead.moving.repair import Repairs
from pierhead.moving.side import Side
from pierhead.registry import documents, faults
from pierhead.registry.faults import is_of
from pierhead.registry.pace import UNHURRIED, Pace

_PAGE = 256  # blobs
_MANIFESTS = 64  # they may be long
_ROWS = 1000
_HOLDERS = 3  # that are told of a blob
_REFERENCES_MAX = 100_000
_CONTENTS = next(table for table in tables.TABLES if table.name == "manifest_contents")


@dataclass(frozen=True, slots=True)
class How:
    deep: bool = False  # whether to read and hash everything
    pace: Pace = UNHURRIED
    sparse: bool = False  # whether manifests may lack what they refer to
    removes: bool = True  # of a repair: whether it may remove orphans
    told_seconds: int = orphans.TOLD_SECONDS
    removed_seconds: int = orphans.REMOVED_SECONDS


class Check:
    """`repairs` makes whole what it finds; without them it writes nothing."""

    def __init__(self, side: Side, progress: Progress, how: How, repairs: Repairs | None = None) -> None:
        self._side = side
        self._database = side.database
        self._progress = progress
        self._how = how
        self._repairs = repairs
        self._unmarked: set[str] = set()
        self._report = Report()

    async def run(self) -> Report:
        """Raises StorageFailed, MetadataUnavailable where the store or the database is away."""
        store = self._side.store
        kept = [one async for one in store.listed()] if isinstance(store, Lists) else []
        self._unmarked = {one.key for one in kept if one.digest is None} if isinstance(store, MarksDigests) else set()
        await self._check_manifests()
        await self._check_blobs()
        await self._check_holds()
        await self._check_unheld()
        await self._check_parts()
        await self._check_orphans(kept)
        return self._report

    # Bytes

    async def _check_manifests(self) -> None:
        total = await self._database.read(lambda tx: copying.count(tx, _CONTENTS))
        with self._progress.bar("manifests", total) as advance:
            async for rows in self._manifests():
                for digest in [Digest(digest) for digest, body in rows if not is_of(Digest(digest), body)]:
                    self._tell_manifest(digest, faults.ALTERED, await self._repaired_manifest(digest))
                self._report.manifests += len(rows)
                advance(len(rows))

    async def _manifests(self) -> AsyncIterator[list[Row]]:
        after = None
        page = partial(copying.page, table=_CONTENTS, columns=_CONTENTS.columns, limit=_MANIFESTS)
        while rows := await self._database.read(partial(page, after=after)):
            yield rows
            after = _CONTENTS.key_of(rows[-1])

    async def _repaired_manifest(self, digest: Digest) -> Outcome:
        return await self._repairs.manifest(digest) if self._repairs else "found"

    def _tell_manifest(self, digest: Digest, wrong: str, outcome: Outcome) -> None:
        self._report.findings.append(Finding("manifest", digest, wrong, outcome))

    async def _check_blobs(self) -> None:
        _, size = await self._database.read(copying.stored)

        async def inspect(blob: Blob) -> None:
            await self._inspect(blob)
            self._report.blobs += 1
            self._report.bytes += blob.size
            advance(blob.size)

        with self._progress.bar("blobs", size) as advance:
            after = ""
            while page := await self._database.read(partial(copying.stored_after, after=after, limit=_PAGE)):
                await content.each(page, inspect)
                after = page[-1].digest

    async def _inspect(self, blob: Blob) -> None:
        """Looks at a blob, and where it seems wrong at its row once more."""
        try:
            wrong = await self._fault(blob)
            if wrong is None and blob.damage is None:
                await self._mark(blob)
                return
            again = await self._database.read(lambda tx: blob_rows.stored(tx, blob.digest))
            if again is None:
                return
            if again.key != blob.key:
                wrong = await self._fault(again)
            await self._judge(again, wrong)
        except StorageFailed as error:
            await self._side.store.ping()  # where all of it is away, there is nothing to tell of one blob
            await self._tell_blob(blob, f"cannot be read now: {error}", "unread")

    async def _fault(self, blob: Blob) -> str | None:
        """What was called damaged is always read: its length may be right."""
        read = self._how.deep or blob.damage is not None
        return await faults.fault(self._database, self._side.store, blob, read=read, pace=self._how.pace)

    async def _judge(self, blob: Blob, wrong: str | None) -> None:
        if wrong is not None:
            await self._tell_blob(blob, wrong, await self._repaired(blob, wrong))
        elif blob.damage is not None:
            outcome = await self._repairs.sound(blob) if self._repairs else "found"
            await self._tell_blob(blob, f"it was said to be damaged ({blob.damage}), and is sound", outcome)

    async def _repaired(self, blob: Blob, wrong: str) -> Outcome:
        if self._repairs:
            return await self._repairs.blob(blob, wrong)
        return "found" if blob.damage is None else "set aside"

    async def _tell_blob(self, blob: Blob, wrong: str, outcome: Outcome) -> None:
        holders = await self._database.read(partial(blob_rows.holders, digest=blob.digest, limit=_HOLDERS))
        self._report.findings.append(Finding("blob", blob.digest, wrong, outcome, tuple(holders)))

    async def _mark(self, blob: Blob) -> None:
        """Tells the store which digest a key is of, where it does not know: a lost database is rebuilt from that."""
        store = self._side.store
        if self._repairs and blob.key in self._unmarked and isinstance(store, MarksDigests):
            await store.mark(blob.digest, blob.key)

    # Rows

    async def _check_holds(self) -> None:
        after = (0, "")
        while page := await self._database.read(partial(relations.holdings, after=after, limit=_ROWS)):
            for held in page:
                what = f"{held.repository}@{held.digest}"
                if not held.stored:
                    outcome = await self._repairs.hold(held) if self._repairs else "found"
                    self._report.findings.append(Finding("hold", what, "of a blob that has no row", outcome))
                elif not held.seen:
                    outcome = await self._repairs.unlisted(held) if self._repairs else "found"
                    wrong = "nothing needs it, and it is on no list of what may go"
                    self._report.findings.append(Finding("list", what, wrong, outcome))
            after = (page[-1].repository_id, page[-1].digest)

    async def _check_unheld(self) -> None:
        after = ""
        while page := await self._database.read(partial(relations.blobs, after=after, limit=_ROWS)):
            for kept in page:
                if not kept.seen:
                    outcome = await self._repairs.unheld(kept) if self._repairs else "found"
                    wrong = "nobody holds it, and it is on no list of what may go"
                    self._report.findings.append(Finding("list", kept.digest, wrong, outcome))
            after = page[-1].digest

    async def _check_parts(self) -> None:
        after = 0
        while (
            last := await self._database.read(partial(relations.last_manifest, after=after, limit=_ROWS))
        ) is not None:
            for digest, _ in await self._database.read(partial(relations.without_content, after=after, last=last)):
                self._tell_manifest(digest, faults.MISSING, await self._repaired_manifest(digest))
            for lacking in await self._database.read(partial(relations.references, after=after, last=last)):
                if await self._is_required(lacking):
                    outcome = await self._repairs.part(lacking) if self._repairs else "found"
                    what = f"{lacking.repository}@{lacking.manifest}"
                    self._report.findings.append(Finding("part", what, f"lacks {lacking.part}", outcome))
            after = last

    async def _is_required(self, lacking: Reference) -> bool:
        """Layers that are not for distribution may be absent, and all parts where the settings say so."""
        if self._how.sparse:
            return False
        body = await self._database.read(lambda tx: manifest_rows.content(tx, lacking.manifest))
        if body is None:
            return True
        try:
            document = documents.read(body, lacking.media_type, max_references=_REFERENCES_MAX)
        except PierheadError:
            return True  # it is damaged itself
        return any(part.required for part in document.references if part.digest == lacking.part)

    # Bytes without rows

    async def _check_orphans(self, kept: list[Kept]) -> None:
        found = await orphans.find(self._database, kept, seconds=self._how.told_seconds)
        if self._repairs and self._how.removes:
            found = [await self._removed(one) for one in found]
        self._report.orphans = found

    async def _removed(self, orphan: Orphan) -> Orphan:
        old = orphan.age > self._how.removed_seconds
        store, key = self._side.store, orphan.key
        return replace(orphan, removed=old and await orphans.remove(self._database, store, key, orphan.digest))
