"""Rows of pins: what nobody may remove, why, and until when."""

from dataclasses import dataclass

from pierhead.metadata.database import Row, Transaction
from pierhead.models import Digest, TagName

_COLUMNS = "pins.id, pins.tag, pins.digest, pins.reason, pins.actor, pins.made_at, pins.until"
_IN_FORCE = "(pins.until IS NULL OR pins.until > clock_us())"


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
        f"SELECT {_COLUMNS} FROM pins WHERE repository_id = :repository_id AND tag = :tag AND {_IN_FORCE}",
        repository_id=repository_id,
        tag=tag,
    )
    return pin(row) if row else None


async def of_manifest(tx: Transaction, repository_id: int, manifest_id: int, digest: Digest) -> Pin | None:
    """A pin in force on a manifest, or on a tag that points to it."""
    row = await tx.fetch_one(
        f"""
        SELECT {_COLUMNS} FROM pins
         WHERE repository_id = :repository_id AND digest = :digest AND {_IN_FORCE}
        UNION ALL
        SELECT {_COLUMNS} FROM tags
          JOIN pins ON pins.repository_id = tags.repository_id AND pins.tag = tags.name
         WHERE tags.manifest_id = :manifest_id AND {_IN_FORCE}
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
        f"SELECT {_COLUMNS} FROM pins WHERE repository_id = :repository_id AND {_IN_FORCE} LIMIT 1",
        repository_id=repository_id,
    )
    return pin(row) if row else None
