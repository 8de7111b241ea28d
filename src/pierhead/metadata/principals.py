"""Rows of users, teams and robots."""

from dataclasses import dataclass, replace
from typing import Literal

from pierhead.metadata.database import Row, Transaction

Kind = Literal["user", "team", "robot"]

_SELECT = """
    SELECT principals.id, kind, principals.name, source, subject, principals.project_id, projects.name, display, email,
           made_at, seen_at, disabled_at, gone_at,
           EXISTS (SELECT 1 FROM passwords WHERE principal_id = principals.id),
           EXISTS (SELECT 1 FROM second_factors WHERE principal_id = principals.id AND proven_at IS NOT NULL)
      FROM principals LEFT JOIN projects ON projects.id = principals.project_id
"""


@dataclass(frozen=True, slots=True)
class Principal:
    id: int
    kind: Kind
    name: str
    source: str
    subject: str
    project_id: int | None  # of a robot that belongs to a project
    project: str | None
    display: str
    email: str
    made_at: int
    seen_at: int | None
    disabled_at: int | None  # by an administrator
    gone_at: int | None  # its source knows it no more
    has_password: bool
    has_second_factor: bool


def _principal(row: Row) -> Principal:
    return replace(Principal(*row), has_password=bool(row[-2]), has_second_factor=bool(row[-1]))


async def find(tx: Transaction, name: str) -> Principal | None:
    row = await tx.fetch_one(f"{_SELECT} WHERE principals.name = :name", name=name)
    return _principal(row) if row else None


async def page(
    tx: Transaction, kind: Kind, *, after: str = "", project_id: int | None = None, limit: int
) -> list[Principal]:
    """Up to `limit` of a kind past a name, in order; of one project, or of all."""
    rows = await tx.fetch_all(
        f"""
        {_SELECT}
         WHERE kind = :kind AND principals.name > :after
           AND (CAST(:project_id AS BIGINT) IS NULL OR principals.project_id = :project_id)
         ORDER BY principals.name LIMIT :limit
        """,
        kind=kind,
        after=after,
        project_id=project_id,
        limit=limit,
    )
    return [_principal(row) for row in rows]


async def add(
    tx: Transaction,
    kind: Kind,
    name: str,
    *,
    source: str = "local",
    subject: str | None = None,
    project_id: int | None = None,
    display: str = "",
    email: str = "",
) -> int | None:
    """The id of a new one; None where the name is taken."""
    row = await tx.fetch_one(
        """
        INSERT INTO principals (kind, name, source, subject, project_id, display, email, groups, made_at)
        VALUES (:kind, :name, :source, :subject, :project_id, :display, :email, '[]', clock_us())
            ON CONFLICT (name) DO NOTHING
        RETURNING id
        """,
        kind=kind,
        name=name,
        source=source,
        subject=name if subject is None else subject,
        project_id=project_id,
        display=display,
        email=email,
    )
    return row[0] if row else None


async def describe(tx: Transaction, principal_id: int, *, display: str, email: str) -> None:
    await tx.execute(
        "UPDATE principals SET display = :display, email = :email WHERE id = :id",
        id=principal_id,
        display=display,
        email=email,
    )


async def disable(tx: Transaction, principal_id: int) -> None:
    await tx.execute("UPDATE principals SET disabled_at = clock_us() WHERE id = :id", id=principal_id)


async def enable(tx: Transaction, principal_id: int) -> None:
    await tx.execute("UPDATE principals SET disabled_at = NULL, gone_at = NULL WHERE id = :id", id=principal_id)


async def remove(tx: Transaction, principal_id: int) -> None:
    """With all that it holds. Events keep its name."""
    await tx.execute("DELETE FROM principals WHERE id = :id", id=principal_id)


async def robots_in(tx: Transaction, trash_id: int) -> list[tuple[int, str, int]]:
    """Id, name and project of the robots of a project in an entry of the trash."""
    rows = await tx.fetch_all(
        """
        SELECT principals.id, principals.name, projects.id
          FROM principals JOIN projects ON projects.id = principals.project_id
         WHERE projects.trash_id = :trash_id ORDER BY principals.id
        """,
        trash_id=trash_id,
    )
    return [(found, name, project_id) for found, name, project_id in rows]


async def rename_robots(tx: Transaction, project_id: int, *, length: int, name: str) -> bool:
    """Robots of a project are called as it is; `length` is that of its name before. False where a name is taken."""
    taken = await tx.fetch_one(
        """
        SELECT 1 FROM principals AS robot JOIN principals AS other
            ON other.name = CAST(:name AS TEXT) || substr(robot.name, CAST(:length AS INTEGER) + 1)
         WHERE robot.project_id = :id AND robot.kind = 'robot' LIMIT 1
        """,
        id=project_id,
        length=length,
        name=name,
    )
    if taken is not None:
        return False
    await tx.execute(
        """
        UPDATE principals SET name = CAST(:name AS TEXT) || substr(name, CAST(:length AS INTEGER) + 1)
         WHERE project_id = :id AND kind = 'robot'
        """,
        id=project_id,
        length=length,
        name=name,
    )
    return True
