"""Deleting for good: purging and collecting until nothing more goes, and what there is then."""

from pierhead.metadata.database import Transaction
from pierhead.models import Digest, RepositoryName
from tests.histories.hands import ACTOR
from tests.histories.world import HOUR, World

Stored = set[tuple[str, int]]


async def stored(tx: Transaction) -> Stored:
    """The digests of blobs and of bytes of manifests, with their lengths."""
    rows = await tx.fetch_all(
        "SELECT digest, size FROM blobs UNION SELECT digest, length(content) FROM manifest_contents"
    )
    return {(digest, size) for digest, size in rows}


async def collected(world: World) -> Stored:
    """What is left once all that nobody needs has been collected: every lease and every grace is over."""
    world.still.now += 2 * HOUR
    await world.tell_time()
    async for _ in world.hands[0].registry.collector.run(rests=False):
        pass
    return await world.databases[0].read(stored)


async def purge(world: World, *entries: int) -> None:
    for entry in entries:
        await world.hands[0].registry.trash.purge(entry, actor=ACTOR)


async def entry_of(tx: Transaction, name: RepositoryName, digest: Digest) -> int:
    """The entry of the trash that a manifest is in."""
    [row] = await tx.fetch_all(
        """
        SELECT manifests.trash_id FROM manifests JOIN repositories ON repositories.id = manifests.repository_id
         WHERE repositories.name = :name AND manifests.digest = :digest
        """,
        name=name,
        digest=digest,
    )
    entry: int = row[0]
    return entry


async def manifests_of(tx: Transaction, entry: int) -> set[str]:
    return {digest for (digest,) in await tx.fetch_all("SELECT digest FROM manifests WHERE trash_id = :id", id=entry)}


async def tags_of(tx: Transaction, entry: int) -> set[str]:
    return {name for (name,) in await tx.fetch_all("SELECT name FROM trash_tags WHERE trash_id = :id", id=entry)}


async def entries_of_project(tx: Transaction, project_id: int) -> list[int]:
    rows = await tx.fetch_all(
        "SELECT id FROM trash WHERE project_id = :id AND kind IN ('repository', 'project') ORDER BY id DESC",
        id=project_id,
    )
    return [entry for (entry,) in rows]
