"""Rows of projects, and what is kept under their names and those of their repositories: changed where they change."""

import json
from dataclasses import dataclass
from typing import Literal

from pierhead.metadata.database import Row, Transaction
from pierhead.models import RepositoryName

Visibility = Literal["private", "public"]

_SELECT = """
    SELECT projects.id, projects.name, visibility, principals.name, trash_seconds, created_at
      FROM projects LEFT JOIN principals ON principals.id = owner_id
"""


@dataclass(frozen=True, slots=True)
class Project:
    id: int
    name: str
    visibility: Visibility
    owner: str | None  # whose own it is
    trash_seconds: int | None
    created_at: int


def _project(row: Row) -> Project:
    return Project(*row)


async def find(tx: Transaction, name: str) -> Project | None:
    row = await tx.fetch_one(f"{_SELECT} WHERE projects.name = :name", name=name)
    return _project(row) if row else None


async def page(tx: Transaction, *, after: str = "", limit: int) -> list[Project]:
    """Up to `limit` past a name, in order, without those that were deleted."""
    rows = await tx.fetch_all(
        f"{_SELECT} WHERE projects.name > :after AND projects.name NOT LIKE '%@%' ORDER BY projects.name LIMIT :limit",
        after=after,
        limit=limit,
    )
    return [_project(row) for row in rows]


async def add(tx: Transaction, name: str, *, visibility: Visibility = "private", owner_id: int | None = None) -> int:
    """The id of a new one; 0 where the name is taken."""
    row = await tx.fetch_one(
        """
        INSERT INTO projects (name, created_at, visibility, owner_id)
        VALUES (:name, clock_us(), :visibility, :owner_id) ON CONFLICT (name) DO NOTHING
        RETURNING id
        """,
        name=name,
        visibility=visibility,
        owner_id=owner_id,
    )
    return row[0] if row else 0


async def owned_by(tx: Transaction, principal_id: int) -> int | None:
    """One in the trash counts, as it may come back; one that was purged does not."""
    row = await tx.fetch_one(
        """
        SELECT id FROM projects
         WHERE owner_id = :id AND (trash_id IS NOT NULL OR name NOT LIKE '%@%') ORDER BY id LIMIT 1
        """,
        id=principal_id,
    )
    return row[0] if row else None


async def set_visibility(tx: Transaction, project_id: int, visibility: Visibility) -> None:
    await tx.execute(
        "UPDATE projects SET visibility = :visibility WHERE id = :id", id=project_id, visibility=visibility
    )


async def visibility_of_repository(tx: Transaction, repository_id: int) -> Visibility | None:
    """None: as its project."""
    row = await tx.fetch_one("SELECT visibility FROM repositories WHERE id = :id", id=repository_id)
    return row[0] if row else None


async def set_visibility_of_repository(tx: Transaction, repository_id: int, visibility: Visibility | None) -> None:
    await tx.execute(
        "UPDATE repositories SET visibility = CAST(:visibility AS TEXT) WHERE id = :id",
        id=repository_id,
        visibility=visibility,
    )


async def repositories(tx: Transaction, project_id: int, *, limit: int) -> list[RepositoryName]:
    """Names of its repositories that are not deleted."""
    rows = await tx.fetch_all(
        "SELECT name FROM repositories WHERE project_id = :id AND name NOT LIKE '%@%' ORDER BY name LIMIT :limit",
        id=project_id,
        limit=limit,
    )
    return [RepositoryName(name) for (name,) in rows]


async def count_repositories(tx: Transaction, project_id: int) -> int:
    row = await tx.fetch_one(
        "SELECT count(*) FROM repositories WHERE project_id = :id AND name NOT LIKE '%@%'", id=project_id
    )
    return row[0] if row else 0


async def hold(tx: Transaction, name: str) -> int | None:
    """The id of a project, in which nobody makes a repository, and which nobody deletes, to the end of the transaction.

    Whoever does more than one of these begins with it: the count of changes is a row that all of them come to later.
    """
    row = await tx.fetch_one("SELECT id FROM projects WHERE name = :name /*! FOR UPDATE */", name=name)
    return row[0] if row else None


async def keep(tx: Transaction, *names: str) -> dict[str, int]:
    """The ids of projects that are neither deleted nor renamed before the end of the transaction."""
    found = {}
    for name in sorted(set(names)):
        row = await tx.fetch_one("SELECT id FROM projects WHERE name = :name /*! FOR SHARE */", name=name)
        if row is not None:
            found[name] = row[0]
    return found


async def rename(tx: Transaction, project_id: int, *, before: str, after: str) -> bool:
    """False where another one has the name, or the project was deleted meanwhile.

    Its repositories are renamed with it, those in the trash as well.
    """
    # Whoever makes a project of this name meanwhile waits for this row, and finds the name taken.
    if not await add(tx, after):
        return False
    await tx.execute("DELETE FROM projects WHERE name = :name", name=after)
    # The project first: whoever makes a repository in it is done then, or finds the project renamed.
    renamed = await tx.execute(
        "UPDATE projects SET name = :after WHERE id = :id AND name = :before", id=project_id, before=before, after=after
    )
    if not renamed:
        return False
    await tx.execute(
        """
        UPDATE repositories SET name = CAST(:after AS TEXT) || substr(name, CAST(:start AS INTEGER))
         WHERE project_id = :id
        """,
        id=project_id,
        after=after,
        start=len(before) + 1,
    )
    await tx.execute(
        """
        UPDATE trash SET name = CAST(:after AS TEXT) || substr(name, CAST(:start AS INTEGER))
         WHERE project_id = :id AND (name = :before OR (name > :first AND name < :past))
        """,
        id=project_id,
        after=after,
        start=len(before) + 1,
        before=before,
        first=f"{before}/",
        past=f"{before}0",  # comes after `/`
    )
    return True


async def move_uploads(tx: Transaction, *, before: str, after: str, whole_project: bool = False) -> None:
    """Sessions that were begun under a name go on under the next one."""
    await tx.execute(
        """
        UPDATE uploads SET repository = CAST(:after AS TEXT) || substr(repository, CAST(:start AS INTEGER))
         WHERE repository = :before OR (CAST(:whole AS BIGINT) = 1 AND repository > :first AND repository < :past)
        """,
        after=after,
        start=len(before) + 1,
        before=before,
        whole=int(whole_project),
        first=f"{before}/",
        past=f"{before}0",
    )


async def move_trash(tx: Transaction, repository_id: int, *, after: RepositoryName, project_id: int) -> None:
    """What was deleted in a repository comes back into it, whatever it is called."""
    await tx.execute(
        "UPDATE trash SET name = :name, project_id = :project_id WHERE repository_id = :id",
        id=repository_id,
        name=after,
        project_id=project_id,
    )


async def move_grants(tx: Transaction, *, before: tuple[int, str], after: tuple[int, str]) -> None:
    """Grants on one repository by its very name go with it; both are ids of projects, with the name below."""
    await tx.execute(
        """
        INSERT INTO grants (principal_id, role, project_id, pattern, made_at, actor)
        SELECT principal_id, role, CAST(:to_project AS BIGINT), CAST(:to_rest AS TEXT), made_at, actor
          FROM grants WHERE project_id = :project AND pattern = :rest
            ON CONFLICT DO NOTHING
        """,
        project=before[0],
        rest=before[1],
        to_project=after[0],
        to_rest=after[1],
    )
    await tx.execute(
        "DELETE FROM grants WHERE project_id = :project AND pattern = :rest", project=before[0], rest=before[1]
    )


async def move_tokens(tx: Transaction, *, before: tuple[int, str], after: tuple[int, str]) -> None:
    """So do places of tokens."""
    rows = await tx.fetch_all(
        "SELECT id, places FROM tokens WHERE places LIKE :like", like=f"%{json.dumps(before)[1:-1]}%"
    )
    for token_id, text in rows:
        places = [after if tuple(place) == before else place for place in json.loads(text)]
        await tx.execute("UPDATE tokens SET places = :places WHERE id = :id", id=token_id, places=json.dumps(places))
