"""Purging and collecting by their definitions, whoever has a lease."""

from pierhead.metadata.database import Transaction


async def stored(tx: Transaction) -> set[tuple[str, int]]:
    """The digests of blobs and of bytes of manifests, with their lengths."""
    rows = await tx.fetch_all(
        "SELECT digest, size FROM blobs UNION SELECT digest, length(content) FROM manifest_contents"
    )
    return {(digest, size) for digest, size in rows}


async def collect(tx: Transaction) -> None:
    await tx.execute(
        """
        DELETE FROM repository_blobs
         WHERE NOT EXISTS (SELECT 1 FROM manifest_references AS listed
                             JOIN manifests ON manifests.id = listed.manifest_id
                            WHERE listed.digest = repository_blobs.digest
                              AND manifests.repository_id = repository_blobs.repository_id)
        """
    )
    await tx.execute(
        """
        DELETE FROM blobs
         WHERE NOT EXISTS (SELECT 1 FROM repository_blobs AS held WHERE held.digest = blobs.digest)
           AND NOT EXISTS (SELECT 1 FROM manifest_references AS listed WHERE listed.digest = blobs.digest)
        """
    )


async def entry_of(tx: Transaction, name: str, digest: str) -> int:
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


async def purge(tx: Transaction, entry: int) -> None:
    """Hands over what another entry lists, then removes the rest."""
    while await tx.execute(
        """
        UPDATE manifests SET trash_id = (
            SELECT max(parent.trash_id) FROM manifest_references AS listed
              JOIN manifests AS parent ON parent.id = listed.manifest_id
             WHERE listed.digest = manifests.digest AND parent.repository_id = manifests.repository_id
               AND parent.trash_id <> :id)
         WHERE trash_id = :id
           AND EXISTS (SELECT 1 FROM manifest_references AS listed
                         JOIN manifests AS parent ON parent.id = listed.manifest_id
                        WHERE listed.digest = manifests.digest AND parent.repository_id = manifests.repository_id
                          AND parent.trash_id <> :id)
        """,
        id=entry,
    ):
        pass
    await tx.execute("DELETE FROM manifests WHERE trash_id = :id", id=entry)
    await _forget_contents(tx)


async def purge_repository(tx: Transaction, name: str) -> None:
    [[identity]] = await tx.fetch_all("SELECT id FROM repositories WHERE name = :name", name=name)
    for table in ("trash_tags", "tags", "manifests", "repository_blobs"):
        await tx.execute(f"DELETE FROM {table} WHERE repository_id = :id", id=identity)
    await _forget_contents(tx)


async def _forget_contents(tx: Transaction) -> None:
    await tx.execute(
        """
        DELETE FROM manifest_contents
         WHERE NOT EXISTS (SELECT 1 FROM manifests WHERE manifests.digest = manifest_contents.digest)
        """
    )
