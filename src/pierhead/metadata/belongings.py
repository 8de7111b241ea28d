"""What goes into the trash with a manifest, and what comes out of it again with one, found by the database itself.

What an entry of the trash has is marked by its id. So each step asks for what belongs to all that is marked already,
and marks it: as many statements as things are nested, however many things there are.

What belongs to a manifest:

- The manifests of an index that no tag names and that no other manifest of the repository lists.
- Its referrers, unless a tag names them or another manifest lists them.
- What tags of the cosign kind name (`sha256-<hex>.sig`, `.att`, `.sbom`) and the fallback tag of referrers.

What is pinned never goes along.
"""

from pierhead.metadata.database import Transaction
from pierhead.metadata.pins import IN_FORCE
from pierhead.models import Digest, TagName

_SUFFIXES = "(VALUES (''), ('.sig'), ('.att'), ('.sbom'))"


def _stem(digest: str) -> str:
    """How the tags begin under which clients keep what belongs to a digest; see `referrers.fallback_tag`."""
    return f"substr(replace({digest}, ':', '-'), 1, 71)"


# The manifest in entry :trash_id that a tag is attached to by its name. The range of digests is for the index.
_OWNER = f"""
SELECT 1 FROM manifests AS owner
 WHERE owner.repository_id = :repository_id AND owner.trash_id = :trash_id
   AND owner.digest >= substr(tags.name, 1, 6) || ':' || substr(tags.name, 8, 64)
   AND owner.digest < substr(tags.name, 1, 6) || ':' || substr(tags.name, 8, 64) || 'g'
   AND {_stem("owner.digest")} = substr(tags.name, 1, 71)
   AND substr(tags.name, 72) IN ('', '.sig', '.att', '.sbom')
"""


async def follow(tx: Transaction, repository_id: int, trash_id: int) -> int:
    """Adds to an entry what belongs to what it has and what nobody else wants; to be asked again until it is 0.

    The repository is locked.
    """
    return await tx.execute(
        f"""
        WITH suffixes (suffix) AS {_SUFFIXES}, belonging (id) AS (
            SELECT child.id
              FROM manifests AS owner
              JOIN manifest_references AS listed ON listed.manifest_id = owner.id
              JOIN manifests AS child ON child.repository_id = :repository_id AND child.digest = listed.digest
             WHERE owner.trash_id = :trash_id
             UNION
            SELECT referrer.id
              FROM manifests AS owner
              JOIN manifests AS referrer
                ON referrer.repository_id = :repository_id AND referrer.subject = owner.digest
             WHERE owner.trash_id = :trash_id
             UNION
            SELECT tags.manifest_id
              FROM manifests AS owner
             CROSS JOIN suffixes
              JOIN tags ON tags.repository_id = :repository_id AND tags.name = {_stem("owner.digest")} || suffix
             WHERE owner.trash_id = :trash_id
        )
        UPDATE manifests SET trash_id = :trash_id
         WHERE id IN (SELECT id FROM belonging)
           AND trash_id IS NULL
           AND NOT EXISTS (SELECT 1 FROM tags WHERE tags.manifest_id = manifests.id AND NOT EXISTS ({_OWNER}))
           AND NOT EXISTS (SELECT 1 FROM manifest_references AS listed
                             JOIN manifests AS parent ON parent.id = listed.manifest_id
                            WHERE listed.digest = manifests.digest AND parent.repository_id = :repository_id
                              AND parent.trash_id IS NULL)
           AND NOT EXISTS (SELECT 1 FROM pins
                            WHERE pins.repository_id = :repository_id AND pins.digest = manifests.digest
                              AND {IN_FORCE})
           AND NOT EXISTS (SELECT 1 FROM tags
                             JOIN pins ON pins.repository_id = tags.repository_id AND pins.tag = tags.name
                            WHERE tags.manifest_id = manifests.id AND {IN_FORCE})
        """,
        repository_id=repository_id,
        trash_id=trash_id,
    )


async def take_tags(tx: Transaction, trash_id: int) -> list[tuple[TagName, Digest]]:
    """Moves the tags of what an entry has into it; returns each with what it pointed to."""
    rows = await tx.fetch_all(
        """
        SELECT tags.name, manifests.digest FROM manifests JOIN tags ON tags.manifest_id = manifests.id
         WHERE manifests.trash_id = :trash_id ORDER BY tags.name
        """,
        trash_id=trash_id,
    )
    if not rows:
        return []
    await tx.execute(
        """
        INSERT INTO trash_tags (trash_id, repository_id, name, manifest_id)
        SELECT manifests.trash_id, tags.repository_id, tags.name, tags.manifest_id
          FROM manifests JOIN tags ON tags.manifest_id = manifests.id
         WHERE manifests.trash_id = :trash_id
        """,
        trash_id=trash_id,
    )
    await tx.execute(
        "DELETE FROM tags WHERE manifest_id IN (SELECT id FROM manifests WHERE trash_id = :trash_id)", trash_id=trash_id
    )
    await tx.execute(
        "UPDATE manifests SET untagged_at = clock_us() WHERE trash_id = :trash_id AND untagged_at IS NULL",
        trash_id=trash_id,
    )
    return [(TagName(name), Digest(digest)) for name, digest in rows]


async def bring_targets(tx: Transaction, trash_id: int) -> int:
    """Moves manifests from other entries into one whose tags point to them, where these tags are free."""
    return await tx.execute(
        """
        UPDATE manifests SET trash_id = :trash_id
         WHERE trash_id IS NOT NULL AND trash_id <> :trash_id
           AND id IN (SELECT manifest_id FROM trash_tags
                       WHERE trash_id = :trash_id
                         AND NOT EXISTS (SELECT 1 FROM tags WHERE tags.repository_id = trash_tags.repository_id
                                                              AND tags.name = trash_tags.name))
        """,
        trash_id=trash_id,
    )


async def bring_needed(tx: Transaction, repository_id: int, trash_id: int) -> int:
    """Moves from other entries into one what its manifests list; to be asked again until it is 0."""
    return await tx.execute(
        """
        UPDATE manifests SET trash_id = :trash_id
         WHERE trash_id IS NOT NULL AND trash_id <> :trash_id
           AND id IN (SELECT child.id
                        FROM manifests AS owner
                        JOIN manifest_references AS listed ON listed.manifest_id = owner.id
                        JOIN manifests AS child
                          ON child.repository_id = :repository_id AND child.digest = listed.digest
                       WHERE owner.trash_id = :trash_id)
        """,
        repository_id=repository_id,
        trash_id=trash_id,
    )


async def bring_along(tx: Transaction, repository_id: int, trash_id: int) -> int:
    """Moves from other entries into one what went along with what it has now; to be asked again until it is 0.

    A referrer that somebody deleted by itself stays deleted: it is what its entry is about.
    """
    return await tx.execute(
        f"""
        WITH suffixes (suffix) AS {_SUFFIXES}, belonging (id) AS (
            SELECT referrer.id
              FROM manifests AS owner
              JOIN manifests AS referrer
                ON referrer.repository_id = :repository_id AND referrer.subject = owner.digest
             WHERE owner.trash_id = :trash_id
             UNION
            SELECT gone.manifest_id
              FROM manifests AS owner
             CROSS JOIN suffixes
              JOIN trash_tags AS gone
                ON gone.repository_id = :repository_id AND gone.name = {_stem("owner.digest")} || suffix
             WHERE owner.trash_id = :trash_id
        )
        UPDATE manifests SET trash_id = :trash_id
         WHERE id IN (SELECT id FROM belonging)
           AND trash_id IS NOT NULL AND trash_id <> :trash_id
           AND NOT EXISTS (SELECT 1 FROM trash WHERE trash.id = manifests.trash_id AND trash.digest = manifests.digest)
        """,
        repository_id=repository_id,
        trash_id=trash_id,
    )


async def bring_attached_tags(tx: Transaction, repository_id: int, trash_id: int) -> None:
    """Moves from other entries into one the tags that are attached to what it has, and point to what it has."""
    await tx.execute(
        f"""
        WITH suffixes (suffix) AS {_SUFFIXES}
        INSERT INTO trash_tags (trash_id, repository_id, name, manifest_id)
        SELECT owner.trash_id, gone.repository_id, gone.name, max(gone.manifest_id)
          FROM manifests AS owner
         CROSS JOIN suffixes
          JOIN trash_tags AS gone
            ON gone.repository_id = :repository_id AND gone.name = {_stem("owner.digest")} || suffix
          JOIN trash ON trash.id = gone.trash_id AND trash.kind = 'manifest'
          JOIN manifests AS target ON target.id = gone.manifest_id AND target.trash_id = :trash_id
         WHERE owner.trash_id = :trash_id AND gone.trash_id <> :trash_id
         GROUP BY owner.trash_id, gone.repository_id, gone.name
            ON CONFLICT (trash_id, name) DO NOTHING
        """,
        repository_id=repository_id,
        trash_id=trash_id,
    )
    await tx.execute(
        """
        DELETE FROM trash_tags
         WHERE repository_id = :repository_id AND trash_id <> :trash_id
           AND (name, manifest_id) IN (SELECT name, manifest_id FROM trash_tags WHERE trash_id = :trash_id)
           AND EXISTS (SELECT 1 FROM trash WHERE trash.id = trash_tags.trash_id AND trash.kind = 'manifest')
        """,
        repository_id=repository_id,
        trash_id=trash_id,
    )


async def take_back_tags(tx: Transaction, trash_id: int) -> list[tuple[TagName, Digest]]:
    """Points the tags of an entry again to what they pointed to, but those that exist again; returns which did."""
    rows = await tx.fetch_all(
        """
        INSERT INTO tags (repository_id, name, manifest_id, moved_at)
        SELECT repository_id, name, manifest_id, clock_us() FROM trash_tags WHERE trash_id = :trash_id
            ON CONFLICT (repository_id, name) DO NOTHING
        RETURNING name, (SELECT digest FROM manifests WHERE manifests.id = manifest_id)
        """,
        trash_id=trash_id,
    )
    await tx.execute(
        """
        UPDATE manifests SET untagged_at = NULL
         WHERE untagged_at IS NOT NULL
           AND id IN (SELECT tags.manifest_id FROM trash_tags
                        JOIN tags ON tags.repository_id = trash_tags.repository_id AND tags.name = trash_tags.name
                       WHERE trash_tags.trash_id = :trash_id AND tags.manifest_id = trash_tags.manifest_id)
        """,
        trash_id=trash_id,
    )
    return sorted((TagName(name), Digest(digest)) for name, digest in rows)


async def take_back_blobs(tx: Transaction, trash_id: int) -> None:
    """Lets the repository hold again what the manifests of an entry need, and what was deleted while they were in it.

    Only what it held: a manifest may name content of other repositories that nobody who pushed it could read.
    """
    await tx.execute(
        """
        INSERT INTO repository_blobs (repository_id, digest, created_at)
        SELECT DISTINCT manifests.repository_id, blobs.digest, clock_us()
          FROM manifests
          JOIN manifest_references ON manifest_references.manifest_id = manifests.id
          JOIN blobs ON blobs.digest = manifest_references.digest
         WHERE manifests.trash_id = :trash_id
           AND EXISTS (SELECT 1 FROM events
                        WHERE events.repository_id = manifests.repository_id AND events.before = blobs.digest
                          AND events.action = 'blob.deleted')
            ON CONFLICT (repository_id, digest) DO NOTHING
        """,
        trash_id=trash_id,
    )


async def take_back_manifests(tx: Transaction, trash_id: int) -> list[Digest]:
    """Takes all manifests of an entry out of the trash; those without a tag have none from now on."""
    rows = await tx.fetch_all(
        """
        UPDATE manifests SET trash_id = NULL, untagged_at = CASE WHEN untagged_at IS NOT NULL THEN clock_us() END
         WHERE trash_id = :trash_id
        RETURNING digest
        """,
        trash_id=trash_id,
    )
    return sorted(Digest(digest) for (digest,) in rows)


async def drop_emptied(tx: Transaction, repository_id: int) -> None:
    """Ends the entries of manifests all of which came back with others."""
    await tx.execute(
        """
        DELETE FROM trash
         WHERE repository_id = :repository_id AND kind = 'manifest'
           AND NOT EXISTS (SELECT 1 FROM manifests WHERE manifests.trash_id = trash.id)
           AND NOT EXISTS (SELECT 1 FROM trash_tags WHERE trash_tags.trash_id = trash.id)
        """,
        repository_id=repository_id,
    )
