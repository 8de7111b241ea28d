"""Rows of names that projects and repositories had: they lead to what these are called now, and are nobody else's."""

from dataclasses import dataclass
from typing import Literal

from pierhead.metadata.database import Transaction
from pierhead.models import RepositoryName


@dataclass(frozen=True, slots=True)
class Alias:
    name: str
    kind: Literal["project", "repository"]
    target_id: int
    target: str  # what it is called now
    made_at: int

    @property
    def is_live(self) -> bool:
        """Whether it leads to something that is not deleted."""
        return "@" not in self.target


_ALL = """
    SELECT project_aliases.name AS name, 'project' AS kind, projects.id AS target_id, projects.name AS target, made_at
      FROM project_aliases JOIN projects ON projects.id = project_id
     UNION ALL
    SELECT repository_aliases.name, 'repository', repositories.id, repositories.name, made_at
      FROM repository_aliases JOIN repositories ON repositories.id = repository_id
"""


async def reserving(tx: Transaction, name: RepositoryName) -> Alias | None:
    """What a name, or its project's, leads to that is called otherwise now."""
    return await find(tx, "repository", name) or await find(tx, "project", name.project)


async def find(tx: Transaction, kind: Literal["project", "repository"], name: str) -> Alias | None:
    row = await tx.fetch_one(
        f"SELECT name, kind, target_id, target, made_at FROM ({_ALL}) AS aliases WHERE name = :name AND kind = :kind",
        name=name,
        kind=kind,
    )
    return Alias(*row) if row else None


async def page(tx: Transaction, *, after: str = "", limit: int) -> list[Alias]:
    """Up to `limit` past a name, in order; a repository's where it is a project's too."""
    rows = await tx.fetch_all(
        f"""
        SELECT name, kind, target_id, target, made_at FROM ({_ALL}) AS aliases
         WHERE name > :after ORDER BY name, kind LIMIT :limit
        """,
        after=after,
        limit=limit,
    )
    return [Alias(*row) for row in rows]


async def add_project(tx: Transaction, name: str, project_id: int) -> None:
    await tx.execute(
        "INSERT INTO project_aliases (name, project_id, made_at) VALUES (:name, :id, clock_us())",
        name=name,
        id=project_id,
    )


async def add_repository(tx: Transaction, name: RepositoryName, repository_id: int) -> None:
    await tx.execute(
        "INSERT INTO repository_aliases (name, repository_id, made_at) VALUES (:name, :id, clock_us())",
        name=name,
        id=repository_id,
    )


async def remove(tx: Transaction, alias: Alias) -> None:
    await tx.execute(f"DELETE FROM {alias.kind}_aliases WHERE name = :name", name=alias.name)


async def remove_of_repository(tx: Transaction, repository_id: int) -> None:
    await tx.execute("DELETE FROM repository_aliases WHERE repository_id = :id", id=repository_id)


async def remove_of_projects(tx: Transaction, trash_id: int) -> None:
    """Of those in an entry of the trash."""
    await tx.execute(
        "DELETE FROM project_aliases WHERE project_id IN (SELECT id FROM projects WHERE trash_id = :trash_id)",
        trash_id=trash_id,
    )


async def in_the_way(tx: Transaction, project_id: int, *, before: str, after: str) -> str | None:
    """A name that a repository of a project would get with it, and that leads to another one."""
    row = await tx.fetch_one(
        """
        SELECT repository_aliases.name
          FROM repositories JOIN repository_aliases
            ON repository_aliases.name = CAST(:after AS TEXT) || substr(repositories.name, CAST(:start AS INTEGER))
         WHERE project_id = :id AND repository_id <> repositories.id LIMIT 1
        """,
        id=project_id,
        after=after,
        start=len(before) + 1,
    )
    return row[0] if row else None


async def drop_own(tx: Transaction, project_id: int) -> None:
    """Those of repositories that have the name itself again."""
    await tx.execute(
        """
        DELETE FROM repository_aliases
         WHERE name IN (SELECT name FROM repositories WHERE project_id = :id AND id = repository_aliases.repository_id)
        """,
        id=project_id,
    )
