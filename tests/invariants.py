"""What is true of the rows of blobs at every moment, whatever was done: see `metadata/unreferenced.py`."""

from pierhead.metadata.database import Database, Transaction

# Each selects what must not be there.
_RULES = {
    "a repository holds it, no manifest there needs it, and nobody noted that": """
        SELECT repositories.name, held.digest
          FROM repository_blobs AS held JOIN repositories ON repositories.id = held.repository_id
         WHERE NOT EXISTS (SELECT 1 FROM manifest_references
                                    JOIN manifests ON manifests.id = manifest_references.manifest_id
                            WHERE manifest_references.digest = held.digest
                              AND manifests.repository_id = held.repository_id)
           AND NOT EXISTS (SELECT 1 FROM unreferenced_blobs AS noted
                            WHERE noted.repository_id = held.repository_id AND noted.digest = held.digest)
    """,
    "nobody holds it, needs it, or noted it": """
        SELECT 'blob', digest FROM blobs
         WHERE NOT EXISTS (SELECT 1 FROM repository_blobs WHERE repository_blobs.digest = blobs.digest)
           AND NOT EXISTS (SELECT 1 FROM manifest_references WHERE manifest_references.digest = blobs.digest)
           AND digest NOT IN (SELECT digest FROM unreferenced_blobs)
    """,
    "its bytes are about to be removed": """
        SELECT 'blob', blobs.digest FROM blobs JOIN doomed_keys ON doomed_keys.key = blobs.key
    """,
    "its bytes are said to be beside its row": """
        SELECT 'blob', digest FROM blobs
         WHERE key = 'row:' || digest
           AND NOT EXISTS (SELECT 1 FROM blob_contents WHERE blob_contents.digest = blobs.digest)
    """,
}


async def violations(database: Database) -> list[str]:
    """What is wrong, in words."""

    async def look(tx: Transaction) -> list[str]:
        return [f"{name} {digest}: {what}" for what, sql in _RULES.items() for name, digest in await tx.fetch_all(sql)]

    return await database.read(look)
