"""What has to be so at every moment, whoever does what: asked of the rows, on one state of them.

Each sentence has the query that finds what contradicts it.
"""

from pierhead.metadata.database import Transaction

SENTENCES = {
    "what a repository holds is needed by a manifest of it, or noted as unreferenced": """
        SELECT held.repository_id, held.digest FROM repository_blobs AS held
         WHERE NOT EXISTS (SELECT 1 FROM manifest_references AS part
                             JOIN manifests ON manifests.id = part.manifest_id
                            WHERE part.digest = held.digest AND manifests.repository_id = held.repository_id)
           AND NOT EXISTS (SELECT 1 FROM unreferenced_blobs AS noted
                            WHERE noted.repository_id = held.repository_id AND noted.digest = held.digest)
    """,
    "a blob is held, or a manifest needs it, or it is noted as unreferenced": """
        SELECT blobs.digest FROM blobs
         WHERE NOT EXISTS (SELECT 1 FROM repository_blobs AS held WHERE held.digest = blobs.digest)
           AND NOT EXISTS (SELECT 1 FROM manifest_references AS part WHERE part.digest = blobs.digest)
           AND NOT EXISTS (SELECT 1 FROM unreferenced_blobs AS noted WHERE noted.digest = blobs.digest)
    """,
    "what a manifest that is served needs is held by its repository": """
        SELECT manifests.repository_id, manifests.digest, part.digest
          FROM manifests JOIN manifest_references AS part ON part.manifest_id = manifests.id
         WHERE manifests.trash_id IS NULL
           AND NOT EXISTS (SELECT 1 FROM repository_blobs AS held
                            WHERE held.repository_id = manifests.repository_id AND held.digest = part.digest)
           AND NOT EXISTS (SELECT 1 FROM manifests AS child
                            WHERE child.repository_id = manifests.repository_id AND child.digest = part.digest
                              AND child.trash_id IS NULL)
    """,
    "what a manifest in the trash needs is still stored, so that it comes back whole": """
        SELECT manifests.repository_id, manifests.digest, part.digest
          FROM manifests JOIN manifest_references AS part ON part.manifest_id = manifests.id
         WHERE manifests.trash_id IS NOT NULL
           AND NOT EXISTS (SELECT 1 FROM blobs WHERE blobs.digest = part.digest)
           AND NOT EXISTS (SELECT 1 FROM manifests AS child
                            WHERE child.repository_id = manifests.repository_id AND child.digest = part.digest)
    """,
    "a tag points to a manifest of its repository that is not in the trash": """
        SELECT tags.repository_id, tags.name FROM tags JOIN manifests ON manifests.id = tags.manifest_id
         WHERE manifests.repository_id <> tags.repository_id OR manifests.trash_id IS NOT NULL
    """,
    "a manifest has its bytes": """
        SELECT manifests.digest FROM manifests
         WHERE NOT EXISTS (SELECT 1 FROM manifest_contents AS kept WHERE kept.digest = manifests.digest)
    """,
    "bytes of manifests belong to one": """
        SELECT kept.digest FROM manifest_contents AS kept
         WHERE NOT EXISTS (SELECT 1 FROM manifests WHERE manifests.digest = kept.digest)
    """,
    "a key that a blob has is not doomed": """
        SELECT blobs.digest FROM blobs JOIN doomed_keys ON doomed_keys.key = blobs.key
    """,
    "an entry of the trash that is past belongs to no manifest, tag or repository": """
        SELECT trash_id FROM manifests WHERE trash_id IS NOT NULL
           AND NOT EXISTS (SELECT 1 FROM trash WHERE trash.id = manifests.trash_id)
    """,
}


async def broken(tx: Transaction) -> list[str]:
    """The sentences that are not true, each with an example."""
    found = []
    for sentence, sql in SENTENCES.items():
        rows = await tx.fetch_all(f"{sql} LIMIT 3")
        if rows:
            found.append(f"not so: {sentence}: {rows}")
    return found


LEFTOVERS = (
    "blobs",
    "blob_contents",
    "repository_blobs",
    "unreferenced_blobs",
    "doomed_keys",
    "manifests",
    "manifest_contents",
    "manifest_references",
    "tags",
    "trash",
    "trash_tags",
    "owed_marks",
)


async def left_over(tx: Transaction) -> list[str]:
    """What is still there once everything was deleted, purged and collected."""
    found = []
    for table in LEFTOVERS:
        rows = await tx.fetch_all(f"SELECT * FROM {table} LIMIT 3")
        if rows:
            found.append(f"{table}: {rows}")
    return found
