"""Rows of what was deleted and can come back.

A trashed manifest keeps its row, marked with the entry that it went with, and so keeps what it needs. A trashed
repository or project keeps everything as it was, and gives its name back: see `hidden`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pierhead.metadata.database import Row, Transaction
from pierhead.models import Digest, RepositoryName, TagName

Kind = Literal["tag", "manifest", "repository", "project"]

_COLUMNS = "id, kind, project_id, repository_id, name, tag, digest, deleted_at, goes_at, actor"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that was deleted, with what went along."""

    id: int
    kind: Kind
    project_id: int
    repository_id: int | None  # None where it is a project
    name: str  # of the repository or project, when it was deleted
    tag: TagName | None
    digest: Digest | None
    deleted_at: int  # microseconds since 1970
    goes_at: int  # from then on it may be purged
    actor: str


@dataclass(frozen=True, slots=True)
class TrashedTag:
    """A tag that went, and the manifest that it pointed to."""

    name: TagName
    manifest_id: int
    digest: Digest


def entry(row: Row) -> Entry:
    identity, kind, project_id, repository_id, name, tag, digest, deleted_at, goes_at, actor = row
    return Entry(
        identity,
        kind,
        project_id,
        repository_id,
        name,
        TagName(tag) if tag else None,
        Digest(digest) if digest else None,
        deleted_at,
        goes_at,
        actor,
    )


def hidden(name: str, own_id: int) -> str:
    """What a repository or project of an id is called from its deletion on: no name that a client may ask for."""
    return f"{name}@{own_id}"


async def add(
    tx: Transaction,
    kind: Kind,
    repository_id: int,
    *,
    tag: TagName | None = None,
    digest: Digest | None = None,
    actor: str,
    keep: int,
) -> int:
    """Begins an entry and returns its id. It is kept as the project says, else for `keep` microseconds."""
    row = await tx.fetch_one(
        """
        INSERT INTO trash (kind, project_id, repository_id, name, tag, digest, deleted_at, goes_at, actor)
        SELECT CAST(:kind AS TEXT), projects.id, repositories.id, repositories.name, CAST(:tag AS TEXT),
               CAST(:digest AS TEXT), clock_us(),
               clock_us() + coalesce(projects.trash_seconds * 1000000, CAST(:keep AS BIGINT)), CAST(:actor AS TEXT)
          FROM repositories JOIN projects ON projects.id = repositories.project_id
         WHERE repositories.id = :repository_id
        RETURNING id
        """,
        kind=kind,
        repository_id=repository_id,
        tag=tag,
        digest=digest,
        actor=actor,
        keep=keep,
    )
    assert row is not None  # noqa: S101  the caller found the repository in this very transaction
    made: int = row[0]
    return made


async def add_project(tx: Transaction, project_id: int, *, actor: str, keep: int) -> int:
    """Begins the entry of a whole project."""
    row = await tx.fetch_one(
        """
        INSERT INTO trash (kind, project_id, name, deleted_at, goes_at, actor)
        SELECT 'project', id, name, clock_us(),
               clock_us() + coalesce(trash_seconds * 1000000, CAST(:keep AS BIGINT)), CAST(:actor AS TEXT)
          FROM projects WHERE id = :project_id
        RETURNING id
        """,
        project_id=project_id,
        actor=actor,
        keep=keep,
    )
    assert row is not None  # noqa: S101  the caller found the project in this very transaction
    made: int = row[0]
    return made


async def add_tags(tx: Transaction, trash_id: int, repository_id: int, tags: Iterable[tuple[TagName, int]]) -> None:
    """Keeps which tags went, each with the id of its manifest."""
    await tx.execute_many(
        """
        INSERT INTO trash_tags (trash_id, repository_id, name, manifest_id)
        VALUES (:trash_id, :repository_id, :name, :manifest_id)
        """,
        [
            {"trash_id": trash_id, "repository_id": repository_id, "name": name, "manifest_id": manifest_id}
            for name, manifest_id in tags
        ],
    )


async def find(tx: Transaction, trash_id: int) -> Entry | None:
    row = await tx.fetch_one(f"SELECT {_COLUMNS} FROM trash WHERE id = :id", id=trash_id)
    return entry(row) if row else None


async def with_tag(tx: Transaction, repository_id: int, tag: TagName) -> Entry | None:
    """The entry that a tag went with last."""
    row = await tx.fetch_one(
        """
        SELECT trash_id FROM trash_tags
         WHERE repository_id = :repository_id AND name = :name ORDER BY trash_id DESC LIMIT 1
        """,
        repository_id=repository_id,
        name=tag,
    )
    return await find(tx, row[0]) if row else None


async def with_manifest(tx: Transaction, repository_id: int, digest: Digest) -> Entry | None:
    """The entry that a manifest went with."""
    row = await tx.fetch_one(
        "SELECT trash_id FROM manifests WHERE repository_id = :repository_id AND digest = :digest",
        repository_id=repository_id,
        digest=digest,
    )
    return await find(tx, row[0]) if row and row[0] is not None else None


async def with_name(tx: Transaction, kind: Literal["repository", "project"], name: str) -> Entry | None:
    """The entry of the repository or project that was deleted last under a name."""
    row = await tx.fetch_one(
        f"SELECT {_COLUMNS} FROM trash WHERE name = :name AND kind = :kind ORDER BY id DESC LIMIT 1",
        name=name,
        kind=kind,
    )
    return entry(row) if row else None


async def tags(tx: Transaction, trash_id: int) -> list[TrashedTag]:
    rows = await tx.fetch_all(
        """
        SELECT trash_tags.name, trash_tags.manifest_id, manifests.digest
          FROM trash_tags JOIN manifests ON manifests.id = trash_tags.manifest_id
         WHERE trash_tags.trash_id = :trash_id ORDER BY trash_tags.name
        """,
        trash_id=trash_id,
    )
    return [TrashedTag(TagName(name), manifest_id, Digest(digest)) for name, manifest_id, digest in rows]


async def remove(tx: Transaction, trash_id: int) -> None:
    """Ends an entry that holds no manifest and hides no repository any more."""
    await tx.execute("DELETE FROM trash WHERE id = :id", id=trash_id)


async def due(tx: Transaction, *, limit: int) -> list[Entry]:
    """Some whose time is over, the oldest first."""
    rows = await tx.fetch_all(
        f"SELECT {_COLUMNS} FROM trash WHERE goes_at <= clock_us() ORDER BY goes_at LIMIT :limit", limit=limit
    )
    return [entry(row) for row in rows]


async def page(tx: Transaction, name: RepositoryName | None, *, before: int | None, limit: int) -> list[Entry]:
    """Up to `limit` entries older than the id `before`, the latest first; of one repository or project, or all."""
    rows = await tx.fetch_all(
        f"""
        SELECT {_COLUMNS} FROM trash
         WHERE (CAST(:name AS TEXT) IS NULL OR name = :name) AND (CAST(:before AS BIGINT) IS NULL OR id < :before)
         ORDER BY id DESC LIMIT :limit
        """,
        name=name,
        before=before,
        limit=limit,
    )
    return [entry(row) for row in rows]
