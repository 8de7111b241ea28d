"""Rows of events: who did what, written in the transaction that did it."""

from collections.abc import Sequence
from typing import Literal

from pierhead.metadata.database import Transaction
from pierhead.metadata.portions import among
from pierhead.models import Actor, Digest, TagName

Action = Literal[
    "manifest.pushed",
    "manifest.deleted",
    "manifest.restored",
    "manifest.purged",
    "tag.moved",
    "tag.deleted",
    "tag.restored",
    "tag.purged",
    "repository.deleted",
    "repository.restored",
    "repository.purged",
    "pin.added",
    "pin.removed",
    "blob.pushed",
    "blob.mounted",
    "blob.deleted",
]


async def record(
    tx: Transaction,
    action: Action,
    repository_id: int,
    actor: Actor,
    *,
    tag: TagName | None = None,
    before: Digest | None = None,
    after: Digest | None = None,
    reason: str | None = None,
) -> int:
    """Writes an event and returns its id."""
    row = await tx.fetch_one(
        """
        INSERT INTO events
               (at, action, repository_id, tag, before, after, actor, credential, address, agent, request_id, reason)
        VALUES
               (clock_us(), :action, :repository_id, :tag, :before, :after, :actor, :credential, :address, :agent,
               :request_id, :reason)
        RETURNING id
        """,
        action=action,
        repository_id=repository_id,
        tag=tag,
        before=before,
        after=after,
        reason=reason,
        **_who(actor),
    )
    assert row is not None  # noqa: S101  an INSERT that returns has a row
    made: int = row[0]
    return made


async def record_deleted(
    tx: Transaction, trash_id: int, actor: Actor, *, reason: str | None, root: Digest
) -> dict[Digest, int]:
    """Writes that each manifest of an entry of the trash was deleted, `root` first; returns the ids of the events."""
    rows = await tx.fetch_all(
        """
        INSERT INTO events
               (at, action, repository_id, before, actor, credential, address, agent, request_id, reason)
        SELECT clock_us(), 'manifest.deleted', repository_id, digest, CAST(:actor AS TEXT), CAST(:credential AS TEXT),
               CAST(:address AS TEXT), CAST(:agent AS TEXT), CAST(:request_id AS TEXT),
               CASE WHEN digest = :root THEN CAST(:reason AS TEXT) ELSE 'belongs to ' || CAST(:root AS TEXT) END
          FROM manifests WHERE trash_id = :trash_id
         ORDER BY CASE WHEN digest = :root THEN 0 ELSE 1 END, id
        RETURNING before, id
        """,
        trash_id=trash_id,
        reason=reason,
        root=root,
        **_who(actor),
    )
    return {Digest(digest): event_id for digest, event_id in rows}


async def record_restored(tx: Transaction, trash_id: int, actor: Actor, *, reason: str | None) -> None:
    """Writes that each manifest of an entry of the trash was restored."""
    await tx.execute(
        """
        INSERT INTO events
               (at, action, repository_id, after, actor, credential, address, agent, request_id, reason)
        SELECT clock_us(), 'manifest.restored', repository_id, digest, CAST(:actor AS TEXT),
               CAST(:credential AS TEXT), CAST(:address AS TEXT), CAST(:agent AS TEXT), CAST(:request_id AS TEXT),
               CAST(:reason AS TEXT)
          FROM manifests WHERE trash_id = :trash_id ORDER BY id
        """,
        trash_id=trash_id,
        reason=reason,
        **_who(actor),
    )


async def record_repositories(
    tx: Transaction,
    action: Literal["repository.deleted", "repository.restored"],
    trash_id: int,
    actor: Actor,
    *,
    reason: str | None,
) -> int:
    """Writes what happened to each repository of an entry of the trash; returns how many there are."""
    return await tx.execute(
        """
        INSERT INTO events (at, action, repository_id, actor, credential, address, agent, request_id, reason)
        SELECT clock_us(), CAST(:action AS TEXT), id, CAST(:actor AS TEXT), CAST(:credential AS TEXT),
               CAST(:address AS TEXT), CAST(:agent AS TEXT), CAST(:request_id AS TEXT), CAST(:reason AS TEXT)
          FROM repositories WHERE trash_id = :trash_id ORDER BY id
        """,
        action=action,
        trash_id=trash_id,
        reason=reason,
        **_who(actor),
    )


async def record_purged(
    tx: Transaction, repository_id: int, actor: Actor, manifest_ids: Sequence[int]
) -> dict[Digest, int]:
    """Writes that manifests go for good; returns the ids of the events."""
    rows = await among(
        tx,
        """
        INSERT INTO events
               (at, action, repository_id, before, actor, credential, address, agent, request_id)
        SELECT clock_us(), 'manifest.purged', repository_id, digest, CAST(:actor AS TEXT),
               CAST(:credential AS TEXT), CAST(:address AS TEXT), CAST(:agent AS TEXT), CAST(:request_id AS TEXT)
          FROM manifests WHERE repository_id = :repository_id AND id IN ?
        RETURNING before, id
        """,
        manifest_ids,
        repository_id=repository_id,
        **_who(actor),
    )
    return {Digest(digest): event_id for digest, event_id in rows}


async def last_purge(tx: Transaction, repository_id: int, digest: Digest) -> int | None:
    """When the bytes of a manifest went for good, microseconds since 1970. For a refusal: it reads all events."""
    row = await tx.fetch_one(
        """
        SELECT max(at) FROM events
         WHERE repository_id = :repository_id AND action = 'manifest.purged' AND before = :digest
        """,
        repository_id=repository_id,
        digest=digest,
    )
    return row[0] if row else None


def _who(actor: Actor) -> dict[str, str]:
    return {
        "actor": actor.name,
        "credential": actor.credential,
        "address": actor.address,
        "agent": actor.agent,
        "request_id": actor.request_id,
    }
