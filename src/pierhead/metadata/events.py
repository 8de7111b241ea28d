"""Rows of events: who did what, written in the transaction that did it."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pierhead.metadata import clock
from pierhead.metadata.database import Transaction, Value
from pierhead.metadata.portions import among
from pierhead.models import Actor, Digest, RepositoryName, TagName

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
# What only a buffer writes, some at once.
Noted = Literal["manifest.pulled", "blob.pulled", "signed-in", "refused", "audit.dropped"]


# Where an event is made of rows, whose types PostgreSQL cannot tell from a column that takes them.
_WHO_COLUMNS = "actor, credential, address, agent, request_id, credential_id"
_WHO = """
               CAST(:actor AS TEXT), CAST(:credential AS TEXT), CAST(:address AS TEXT), CAST(:agent AS TEXT),
               CAST(:request_id AS TEXT), CAST(:credential_id AS BIGINT)
"""
_DETAILS_LENGTH = 4096  # characters
_SECRET = ("password", "secret", "hashed", "private")


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
               (at, action, repository_id, tag, before, after, actor, credential, address, agent, request_id,
               credential_id, reason)
        VALUES
               (clock_us(), :action, :repository_id, :tag, :before, :after, :actor, :credential, :address, :agent,
               :request_id, :credential_id, :reason)
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


async def record_change(
    tx: Transaction,
    action: str,
    subject: str,
    actor: Actor,
    *,
    project_id: int | None = None,
    repository_id: int | None = None,
    details: Mapping[str, Any] | None = None,
    reason: str | None = None,
) -> int:
    """Writes what was done to something outside repositories, such as `grant:12`, or to what a repository is called and
    who sees it; returns the event's id.

    Details are before and after, in words of JSON; never a secret. Raises ValueError for a key that sounds like one.
    """
    row = await tx.fetch_one(
        """
        INSERT INTO events
               (at, action, project_id, repository_id, subject, details, actor, credential, address, agent, request_id,
               credential_id, reason)
        VALUES
               (clock_us(), :action, :project_id, :repository_id, :subject, :details, :actor, :credential, :address,
               :agent, :request_id, :credential_id, :reason)
        RETURNING id
        """,
        action=action,
        project_id=project_id,
        repository_id=repository_id,
        subject=subject,
        details=told(details),
        reason=reason,
        **_who(actor),
    )
    assert row is not None  # noqa: S101  an INSERT that returns has a row
    made: int = row[0]
    return made


def told(details: Mapping[str, Any] | None) -> str | None:
    """Details as they are kept: a few KiB at most, what is longer is told by its length."""
    if details is None:
        return None
    _refuse_secrets(details)
    text = json.dumps(details, sort_keys=True, separators=(",", ":"))
    return text if len(text) <= _DETAILS_LENGTH else json.dumps({"too_long": len(text)})


def _refuse_secrets(details: Mapping[str, Any]) -> None:
    for key, value in details.items():
        if any(word in key for word in _SECRET):
            raise ValueError(f"{key} does not belong into an event")
        if isinstance(value, Mapping):
            _refuse_secrets(value)


@dataclass(frozen=True, slots=True)
class Note:
    """What happened a while ago, and is written with others."""

    action: Noted
    actor: Actor
    noted: int  # when, in microseconds of `monotonic`
    repository: RepositoryName | None = None
    tag: TagName | None = None
    digest: Digest | None = None
    subject: str | None = None
    outcome: Literal["done", "refused"] = "done"
    reason: str | None = None
    details: Mapping[str, Any] | None = None


def monotonic() -> int:
    """Microseconds of a count that nobody sets."""
    return time.monotonic_ns() // 1000


async def record_notes(tx: Transaction, notes: Sequence[Note]) -> None:
    """Writes what was noted. A repository that is there no more is told by its name."""
    names = {note.repository for note in notes if note.repository is not None}
    found = await among(tx, "SELECT name, id FROM repositories WHERE name IN ?", list(names))
    known: dict[str, int] = dict(found)
    began = await clock.read(tx) - monotonic()  # for all of them: they stay in their order
    await tx.execute_many(
        """
        INSERT INTO events
               (at, action, repository_id, tag, after, subject, outcome, details, actor, credential, address, agent,
               request_id, credential_id, reason)
        VALUES
               (:at, :action, :repository_id, :tag, :after, :subject, :outcome, :details,
               :actor, :credential, :address, :agent, :request_id, :credential_id, :reason)
        """,
        [_noted(note, known) | {"at": began + note.noted} for note in notes],
    )


def _noted(note: Note, known: Mapping[str, int]) -> dict[str, Value]:
    repository_id = known.get(note.repository) if note.repository is not None else None
    lost = note.repository is not None and repository_id is None
    return {
        "action": note.action,
        "repository_id": repository_id,
        "tag": note.tag,
        "after": note.digest,
        "subject": f"repository:{note.repository}" if lost else note.subject,
        "outcome": note.outcome,
        "details": told(note.details),
        "reason": note.reason,
        **_who(note.actor),
    }


async def record_deleted(
    tx: Transaction, trash_id: int, actor: Actor, *, reason: str | None, root: Digest
) -> dict[Digest, int]:
    """Writes that each manifest of an entry of the trash was deleted, `root` first; returns the ids of the events."""
    rows = await tx.fetch_all(
        f"""
        INSERT INTO events
               (at, action, repository_id, before, {_WHO_COLUMNS}, reason)
        SELECT clock_us(), 'manifest.deleted', repository_id, digest, {_WHO},
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
        f"""
        INSERT INTO events
               (at, action, repository_id, after, {_WHO_COLUMNS}, reason)
        SELECT clock_us(), 'manifest.restored', repository_id, digest, {_WHO},
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
        f"""
        INSERT INTO events (at, action, repository_id, {_WHO_COLUMNS}, reason)
        SELECT clock_us(), CAST(:action AS TEXT), id, {_WHO}, CAST(:reason AS TEXT)
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
        f"""
        INSERT INTO events
               (at, action, repository_id, before, {_WHO_COLUMNS})
        SELECT clock_us(), 'manifest.purged', repository_id, digest, {_WHO}
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


def _who(actor: Actor) -> dict[str, Value]:
    return {
        "actor": actor.name,
        "credential": actor.credential,
        "address": actor.address,
        "agent": actor.agent,
        "request_id": actor.request_id,
        "credential_id": actor.credential_id,
    }
