"""Comparing the rows of a registry with its bytes, while it serves."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial

from pierhead.blobs.store import Kept, Lists
from pierhead.metadata import clock, copying
from pierhead.metadata.database import Row
from pierhead.models import Blob, Digest
from pierhead.moving import content
from pierhead.moving.faults import fault
from pierhead.moving.progress import Progress
from pierhead.moving.rows import is_of
from pierhead.moving.side import Side

# A younger one may belong to a push whose row is not committed yet.
ORPHAN_SECONDS = 3600
_PAGE = 256  # blobs
_MANIFESTS = 64  # they may be long
_CONTENTS = next(table for table in copying.TABLES if table.name == "manifest_contents")


@dataclass(slots=True)
class Report:
    blobs: int = 0
    bytes: int = 0
    manifests: int = 0
    faults: list[str] = field(default_factory=list)
    orphans: list[Kept] = field(default_factory=list)


async def check(side: Side, progress: Progress, *, read: bool) -> Report:
    """Looks whether all bytes are there that rows name, and which are there that no row names; `read` re-hashes."""
    report = Report()
    kept = [one async for one in side.store.listed()] if isinstance(side.store, Lists) else []
    await _check_manifests(side, progress, report)
    await _check_blobs(side, progress, report, read=read)
    await _find_orphans(side, kept, report)
    return report


async def _check_manifests(side: Side, progress: Progress, report: Report) -> None:
    total = await side.database.read(lambda tx: copying.count(tx, _CONTENTS))
    with progress.bar("manifests", total) as advance:
        async for rows in _manifests(side):
            report.faults += [f"manifest {digest}: damaged" for digest, body in rows if not is_of(Digest(digest), body)]
            report.manifests += len(rows)
            advance(len(rows))


async def _manifests(side: Side) -> AsyncIterator[list[Row]]:
    after = None
    page = partial(copying.page, table=_CONTENTS, columns=_CONTENTS.columns, limit=_MANIFESTS)
    while rows := await side.database.read(partial(page, after=after)):
        yield rows
        after = _CONTENTS.key_of(rows[-1])


async def _check_blobs(side: Side, progress: Progress, report: Report, *, read: bool) -> None:
    _, size = await side.database.read(copying.stored)

    async def inspect(blob: Blob) -> None:
        if (wrong := await fault(side, blob, read=read)) is not None:
            report.faults.append(f"blob {blob.digest}: {wrong}")
        report.blobs += 1
        report.bytes += blob.size
        advance(blob.size)

    with progress.bar("blobs", size) as advance:
        after = ""
        while page := await side.database.read(partial(copying.stored_after, after=after, limit=_PAGE)):
            await content.each(page, inspect)
            after = page[-1].digest


async def _find_orphans(side: Side, kept: list[Kept], report: Report) -> None:
    """Those that were there before the rows were read, and that none names."""
    before = await side.database.read(clock.read) - ORPHAN_SECONDS * 1_000_000
    for one in kept:
        if one.changed_at < before and not await side.database.read(partial(copying.is_named, key=one.key)):
            report.orphans.append(one)
