"""Rows that tell why content is there: who holds it, and what needs it. Some of each, and how many there are."""

from dataclasses import dataclass

from pierhead.metadata.database import Row, Transaction
from pierhead.models import Digest, TagName

_COUNTED_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Stored:
    """A blob's row."""

    size: int  # bytes
    created_at: int  # microseconds since 1970
    damage: str | None


@dataclass(frozen=True, slots=True)
class Holder:
    """A repository that holds a blob; `since` when none of its manifests may need it, None where one does."""

    repository: str  # without the id that the name of a deleted one carries
    deleted: bool
    repository_id: int
    since: int | None
    leased_until: int | None


@dataclass(frozen=True, slots=True)
class Place:
    """A manifest in a repository. In the trash: until when it is kept there."""

    manifest_id: int
    repository_id: int
    repository: str
    deleted: bool  # the whole repository
    digest: Digest
    media_type: str
    kept_until: int | None


async def stored(tx: Transaction, digest: Digest) -> Stored | None:
    row = await tx.fetch_one("SELECT size, created_at, damage FROM blobs WHERE digest = :digest", digest=digest)
    return Stored(*row) if row else None


async def holders(tx: Transaction, digest: Digest, *, after: int, limit: int) -> list[Holder]:
    rows = await tx.fetch_all(
        """
        SELECT repositories.name, repositories.trash_id IS NOT NULL, held.repository_id, noted.since, noted.leased_until
          FROM repository_blobs AS held
          JOIN repositories ON repositories.id = held.repository_id
          LEFT JOIN unreferenced_blobs AS noted
            ON noted.repository_id = held.repository_id AND noted.digest = held.digest
         WHERE held.digest = :digest AND held.repository_id > :after
         ORDER BY held.repository_id LIMIT :limit
        """,
        digest=digest,
        after=after,
        limit=limit,
    )
    return [Holder(_shown(row[0]), bool(row[1]), *row[2:]) for row in rows]


async def count_holders(tx: Transaction, digest: Digest) -> int:
    return await _count(tx, "repository_blobs WHERE digest = :digest", digest)


async def count_listing(tx: Transaction, digest: Digest) -> int:
    """How many manifests list a digest, those in the trash too; at most 10,000."""
    return await _count(tx, "manifest_references WHERE digest = :digest", digest)


async def count_places(tx: Transaction, digest: Digest) -> int:
    """How many repositories have a manifest."""
    return await _count(tx, "manifests WHERE digest = :digest", digest)


async def _count(tx: Transaction, source: str, digest: Digest) -> int:
    row = await tx.fetch_one(
        f"SELECT count(*) FROM (SELECT 1 FROM {source} LIMIT {_COUNTED_MAX}) AS found", digest=digest
    )
    return row[0] if row else 0


_PLACE = """
manifests.id, repositories.id, repositories.name, repositories.trash_id IS NOT NULL,
manifests.digest, manifests.media_type, trash.goes_at
"""
_WITH_TRASH = """
JOIN repositories ON repositories.id = manifests.repository_id
LEFT JOIN trash ON trash.id = coalesce(repositories.trash_id, manifests.trash_id)
"""


async def listing(tx: Transaction, digest: Digest, *, after: int, limit: int) -> list[Place]:
    """Manifests with ids past `after` that list a digest, in order."""
    rows = await tx.fetch_all(
        f"""
        SELECT {_PLACE}
          FROM manifest_references AS listed JOIN manifests ON manifests.id = listed.manifest_id {_WITH_TRASH}
         WHERE listed.digest = :digest AND listed.manifest_id > :after
         ORDER BY listed.manifest_id LIMIT :limit
        """,
        digest=digest,
        after=after,
        limit=limit,
    )
    return list(map(_place, rows))


async def places(tx: Transaction, digest: Digest, *, after: int, limit: int) -> list[Place]:
    """The manifest in every repository that has it, in the order of their ids."""
    rows = await tx.fetch_all(
        f"""
        SELECT {_PLACE} FROM manifests {_WITH_TRASH}
         WHERE manifests.digest = :digest AND manifests.id > :after ORDER BY manifests.id LIMIT :limit
        """,
        digest=digest,
        after=after,
        limit=limit,
    )
    return list(map(_place, rows))


async def listing_in(tx: Transaction, repository_id: int, digest: Digest, *, limit: int) -> list[Place]:
    """Manifests of a repository that list a digest, those that are not in the trash first."""
    rows = await tx.fetch_all(
        f"""
        SELECT {_PLACE}
          FROM manifest_references AS listed JOIN manifests ON manifests.id = listed.manifest_id {_WITH_TRASH}
         WHERE listed.digest = :digest AND manifests.repository_id = :repository_id
         ORDER BY CASE WHEN manifests.trash_id IS NULL THEN 0 ELSE 1 END, manifests.id LIMIT :limit
        """,
        digest=digest,
        repository_id=repository_id,
        limit=limit,
    )
    return list(map(_place, rows))


async def place(tx: Transaction, repository_id: int, digest: Digest) -> Place | None:
    """A manifest in one repository."""
    row = await tx.fetch_one(
        f"""
        SELECT {_PLACE} FROM manifests {_WITH_TRASH}
         WHERE manifests.repository_id = :repository_id AND manifests.digest = :digest
        """,
        repository_id=repository_id,
        digest=digest,
    )
    return _place(row) if row else None


async def size(tx: Transaction, digest: Digest) -> int | None:
    """Of a manifest's bytes."""
    row = await tx.fetch_one("SELECT size FROM manifests WHERE digest = :digest LIMIT 1", digest=digest)
    return row[0] if row else None


async def tags(tx: Transaction, manifest_id: int, *, limit: int) -> list[TagName]:
    rows = await tx.fetch_all(
        "SELECT name FROM tags WHERE manifest_id = :id ORDER BY name LIMIT :limit", id=manifest_id, limit=limit
    )
    return [TagName(name) for (name,) in rows]


async def subject(tx: Transaction, manifest_id: int) -> Digest | None:
    """What a manifest refers to as what it is about."""
    row = await tx.fetch_one("SELECT subject FROM manifests WHERE id = :id", id=manifest_id)
    return Digest(row[0]) if row and row[0] else None


async def last_note(tx: Transaction, digest: Digest, *, grace: int) -> int | None:
    """When the last repository that noted a blob lets go of it, so long after it did and after its lease."""
    row = await tx.fetch_one(
        """
        SELECT max(CASE WHEN since + CAST(:grace AS BIGINT) > leased_until
                        THEN since + CAST(:grace AS BIGINT) ELSE leased_until END)
          FROM unreferenced_blobs WHERE digest = :digest
        """,
        digest=digest,
        grace=grace,
    )
    return row[0] if row else None


async def count_doomed(tx: Transaction, digest: Digest) -> int:
    """Bytes of a digest that are still to be removed: it was replaced or collected."""
    row = await tx.fetch_one("SELECT count(*) FROM doomed_keys WHERE digest = :digest", digest=digest)
    return row[0] if row else 0


def _place(row: Row) -> Place:
    manifest_id, repository_id, name, deleted, digest, media_type, kept_until = row
    return Place(manifest_id, repository_id, _shown(name), bool(deleted), Digest(digest), media_type, kept_until)


def _shown(name: str) -> str:
    return name.partition("@")[0]
