"""Rows of pins: what nobody may remove, why, and until when."""

from dataclasses import dataclass

from pierhead.metadata.database import Row, Transaction
from pierhead.models import Digest, RepositoryName, TagName

_COLUMNS = "pins.id, pins.tag, pins.digest, pins.reason, pins.actor, pins.made_at, pins.until"
IN_FORCE = "(pins.until IS NULL OR pins.until > clock_us())"


@dataclass(frozen=True, slots=True)
class Pin:
    id: int
    tag: TagName | None  # one of both
    digest: Digest | None
    reason: str
    actor: str
    made_at: int  # microseconds since 1970
    until: int | None  # None: for ever


def pin(row: Row) -> Pin:
    identity, tag, digest, *rest = row
    return Pin(identity, TagName(tag) if tag else None, Digest(digest) if digest else None, *rest)


async def of_tag(tx: Transaction, repository_id: int, tag: TagName) -> Pin | None:
    """The pin in force on a tag."""
    row = await tx.fetch_one(
        f"SELECT {_COLUMNS} FROM pins WHERE repository_id = :repository_id AND tag = :tag AND {IN_FORCE}",
        repository_id=repository_id,
        tag=tag,
    )
    return pin(row) if row else None


async def of_manifest(tx: Transaction, repository_id: int, manifest_id: int, digest: Digest) -> Pin | None:
    """A pin in force on a manifest, or on a tag that points to it."""
    row = await tx.fetch_one(
        f"""
        SELECT {_COLUMNS} FROM pins
         WHERE repository_id = :repository_id AND digest = :digest AND {IN_FORCE}
        UNION ALL
        SELECT {_COLUMNS} FROM tags
          JOIN pins ON pins.repository_id = tags.repository_id AND pins.tag = tags.name
         WHERE tags.manifest_id = :manifest_id AND {IN_FORCE}
         LIMIT 1
        """,
        repository_id=repository_id,
        digest=digest,
        manifest_id=manifest_id,
    )
    return pin(row) if row else None


async def any_of(tx: Transaction, repository_id: int) -> Pin | None:
    """A pin in force in a repository."""
    row = await tx.fetch_one(
        f"SELECT {_COLUMNS} FROM pins WHERE repository_id = :repository_id AND {IN_FORCE} LIMIT 1",
        repository_id=repository_id,
    )
    return pin(row) if row else None


async def put(
    tx: Transaction, repository_id: int, target: TagName | Digest, *, reason: str, actor: str, until: int | None
) -> int:
    """Pins a tag or a digest, or says anew why, by whom and until when it is; returns the pin's id."""
    column = "digest" if isinstance(target, Digest) else "tag"
    row = await tx.fetch_one(
        f"""
        INSERT INTO pins (repository_id, {column}, reason, actor, made_at, until)
        VALUES (:repository_id, :target, :reason, :actor, clock_us(), :until)
            ON CONFLICT (repository_id, {column}) WHERE {column} IS NOT NULL
            DO UPDATE SET reason = excluded.reason, actor = excluded.actor, made_at = excluded.made_at,
                          until = excluded.until
        RETURNING id
        """,
        repository_id=repository_id,
        target=target,
        reason=reason,
        actor=actor,
        until=until,
    )
    assert row is not None  # noqa: S101  it was written or was there
    made: int = row[0]
    return made


async def find(tx: Transaction, pin_id: int) -> Pin | None:
    row = await tx.fetch_one(f"SELECT {_COLUMNS} FROM pins WHERE id = :id", id=pin_id)
    return pin(row) if row else None


async def remove(tx: Transaction, repository_id: int, target: TagName | Digest) -> bool:
    """Whether there was such a pin, in force or not."""
    column = "digest" if isinstance(target, Digest) else "tag"
    return bool(
        await tx.execute(
            f"DELETE FROM pins WHERE repository_id = :repository_id AND {column} = :target",
            repository_id=repository_id,
            target=target,
        )
    )


async def page(
    tx: Transaction, repository: RepositoryName | None, *, after: int, limit: int
) -> list[tuple[RepositoryName, Pin]]:
    """Up to `limit` pins with greater ids than `after`, in order; of one repository, or of all that are not deleted."""
    rows = await tx.fetch_all(
        f"""
        SELECT repositories.name, {_COLUMNS}
          FROM pins JOIN repositories ON repositories.id = pins.repository_id
         WHERE pins.id > :after AND repositories.trash_id IS NULL
           AND (CAST(:repository AS TEXT) IS NULL OR repositories.name = :repository)
         ORDER BY pins.id LIMIT :limit
        """,
        after=after,
        repository=repository,
        limit=limit,
    )
    return [(RepositoryName(name), pin(tuple(row))) for name, *row in rows]
