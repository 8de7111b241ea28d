"""Rows of events: who did what, written in the transaction that did it."""

from typing import Literal

from pierhead.metadata.database import Transaction
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
        actor=actor.name,
        credential=actor.credential,
        address=actor.address,
        agent=actor.agent,
        request_id=actor.request_id,
        reason=reason,
    )
    assert row is not None  # noqa: S101  an INSERT that returns has a row
    made: int = row[0]
    return made
