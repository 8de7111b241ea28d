"""Rows of projects and repositories."""

from pierhead.errors import Busy
from pierhead.metadata.database import Transaction
from pierhead.models import RepositoryName

_TRIES = 3


async def identify(tx: Transaction, name: RepositoryName) -> int | None:
    """The id of a repository, None where there is none of this name."""
    row = await tx.fetch_one("SELECT id FROM repositories WHERE name = :name", name=name)
    return row[0] if row else None


async def identify_project(tx: Transaction, name: str) -> int | None:
    row = await tx.fetch_one("SELECT id FROM projects WHERE name = :name", name=name)
    return row[0] if row else None


async def ensure(tx: Transaction, name: RepositoryName) -> int:
    """The id of a repository, made with its project where they are missing."""
    for _ in range(_TRIES):
        found = await identify(tx, name)
        if found is not None:
            return found
        await _make(tx, name)
    raise Busy(f"{name} is being deleted")


async def _make(tx: Transaction, name: RepositoryName) -> None:
    """Makes a repository, unless its project is deleted meanwhile, and gives its name back."""
    await tx.execute(
        "INSERT INTO projects (name, created_at) VALUES (:name, clock_us()) ON CONFLICT (name) DO NOTHING",
        name=name.project,
    )
    await tx.execute(
        """
        INSERT INTO repositories (project_id, name, created_at)
        SELECT id, :name, clock_us() FROM projects WHERE name = :project /*! FOR SHARE */
            ON CONFLICT (name) DO NOTHING
        """,
        name=name,
        project=name.project,
    )


async def names_after(tx: Transaction, after: str, *, limit: int) -> list[RepositoryName]:
    """Up to `limit` names past `after`, in order, of repositories that hold a manifest."""
    rows = await tx.fetch_all(
        """
        SELECT name
          FROM repositories
         WHERE name > :after
           AND trash_id IS NULL
           AND EXISTS (SELECT 1 FROM manifests WHERE manifests.repository_id = repositories.id
                                                 AND manifests.trash_id IS NULL)
         ORDER BY name
         LIMIT :limit
        """,
        after=after,
        limit=limit,
    )
    return [RepositoryName(name) for (name,) in rows]
