"""Rows of what was deleted and can come back.

A trashed manifest keeps its row, marked with the entry that it went with, and so keeps what it needs. A trashed
repository or project keeps everything as it was, and gives its name back: from then on it is called `<name>@<its id>`,
which no client may ask for.
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
    goes_at: int  # from then on it may be purged, and does not come back
    actor: str

    def __str__(self) -> str:
        if self.kind == "manifest":
            return f"{self.name}@{self.digest}"
        return f"{self.name}:{self.tag}" if self.tag else self.name


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


async def add_project(tx: Transaction, project_id: int, *, actor: str, keep: int) -> int | None:
    """Begins the entry of a whole project; None where it was deleted meanwhile."""
    row = await tx.fetch_one(
        """
        INSERT INTO trash (kind, project_id, name, deleted_at, goes_at, actor)
        SELECT 'project', id, name, clock_us(),
               clock_us() + coalesce(trash_seconds * 1000000, CAST(:keep AS BIGINT)), CAST(:actor AS TEXT)
          FROM projects WHERE id = :project_id AND trash_id IS NULL /*! FOR UPDATE */
        RETURNING id
        """,
        project_id=project_id,
        actor=actor,
        keep=keep,
    )
    return row[0] if row else None


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


async def take(tx: Transaction, trash_id: int) -> Entry | None:
    """An entry for whoever restores or purges it: alone, to the end of the transaction."""
    row = await tx.fetch_one(
        f"SELECT {_COLUMNS} FROM trash WHERE id = :id /*! FOR NO KEY UPDATE */",
        id=trash_id,
    )
    return entry(row) if row else None


async def is_over(tx: Transaction, trash_id: int) -> bool:
    """Whether its time is over, so that parts of it may be gone."""
    return await tx.fetch_one("SELECT 1 FROM trash WHERE id = :id AND goes_at <= clock_us()", id=trash_id) is not None


async def end(tx: Transaction, trash_id: int) -> None:
    """Lets the time of an entry be over now."""
    await tx.execute("UPDATE trash SET goes_at = clock_us() WHERE id = :id AND goes_at > clock_us()", id=trash_id)


async def postpone(tx: Transaction, trash_id: int, *, until: int | None, otherwise: int) -> None:
    """Keeps an entry until a moment, or for `otherwise` microseconds from now."""
    await tx.execute(
        """
        UPDATE trash SET goes_at = coalesce(CAST(:until AS BIGINT), clock_us() + CAST(:otherwise AS BIGINT))
         WHERE id = :id
        """,
        id=trash_id,
        until=until,
        otherwise=otherwise,
    )


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


async def with_project(tx: Transaction, name: str) -> Entry | None:
    """The entry of the project that was deleted last under a name."""
    row = await tx.fetch_one(
        f"SELECT {_COLUMNS} FROM trash WHERE name = :name AND kind = 'project' ORDER BY id DESC LIMIT 1", name=name
    )
    return entry(row) if row else None


async def with_repository(tx: Transaction, name: RepositoryName) -> Entry | None:
    """The entry that a repository of this name went with last: its own, or its project's."""
    row = await tx.fetch_one(
        """
        SELECT trash_id FROM repositories
         WHERE name > :first AND name < :past AND trash_id IS NOT NULL ORDER BY trash_id DESC LIMIT 1
        """,
        first=f"{name}@",
        past=f"{name}A",  # comes after `@`
    )
    return await find(tx, row[0]) if row else None


async def tags(tx: Transaction, trash_id: int) -> list[TagName]:
    """The tags that went with an entry."""
    rows = await tx.fetch_all("SELECT name FROM trash_tags WHERE trash_id = :trash_id ORDER BY name", trash_id=trash_id)
    return [TagName(name) for (name,) in rows]


async def manifests(tx: Transaction, trash_id: int) -> list[Digest]:
    rows = await tx.fetch_all(
        "SELECT digest FROM manifests WHERE trash_id = :trash_id ORDER BY digest", trash_id=trash_id
    )
    return [Digest(digest) for (digest,) in rows]


async def remove(tx: Transaction, trash_id: int) -> None:
    """Ends an entry that holds no manifest and hides no repository any more."""
    await tx.execute("DELETE FROM trash WHERE id = :id", id=trash_id)


async def any_due(tx: Transaction) -> bool:
    return await tx.fetch_one("SELECT 1 FROM trash WHERE goes_at <= clock_us() LIMIT 1") is not None


async def count_due(tx: Transaction) -> int:
    row = await tx.fetch_one("SELECT count(*) FROM trash WHERE goes_at <= clock_us()")
    return row[0] if row else 0


async def due(tx: Transaction, *, limit: int) -> list[Entry]:
    """Some whose time is over, the oldest first."""
    rows = await tx.fetch_all(
        f"SELECT {_COLUMNS} FROM trash WHERE goes_at <= clock_us() ORDER BY goes_at, id LIMIT :limit", limit=limit
    )
    return [entry(row) for row in rows]


async def of_repository(tx: Transaction, name: RepositoryName) -> list[Entry]:
    """All entries of a name, the oldest first, but a project's."""
    rows = await tx.fetch_all(
        f"SELECT {_COLUMNS} FROM trash WHERE name = :name AND kind <> 'project' ORDER BY id", name=name
    )
    return [entry(row) for row in rows]


async def page(tx: Transaction, name: str | None, *, before: int | None, limit: int) -> list[Entry]:
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
