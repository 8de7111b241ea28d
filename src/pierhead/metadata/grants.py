"""Rows of grants: which role somebody has, and where."""

from dataclasses import dataclass

from pierhead.metadata.database import Row, Transaction

_SELECT = """
    SELECT grants.id, grants.principal_id, principals.name, role, grants.project_id, projects.name, pattern,
           grants.made_at, grants.actor
      FROM grants
      LEFT JOIN principals ON principals.id = grants.principal_id
      LEFT JOIN projects ON projects.id = grants.project_id
"""


@dataclass(frozen=True, slots=True)
class Grant:
    id: int
    principal_id: int | None
    principal: str | None  # None: everybody who signed in
    role: str
    project_id: int | None
    project: str | None  # None: the system
    pattern: str | None
    made_at: int
    actor: str


def _grant(row: Row) -> Grant:
    return Grant(*row)


async def add(
    tx: Transaction, principal_id: int | None, role: str, project_id: int | None, pattern: str | None, *, actor: str
) -> int | None:
    """The id of a new grant; None where there is one like it."""
    row = await tx.fetch_one(
        """
        INSERT INTO grants (principal_id, role, project_id, pattern, made_at, actor)
        VALUES (:principal_id, :role, :project_id, :pattern, clock_us(), :actor)
            ON CONFLICT DO NOTHING
        RETURNING id
        """,
        principal_id=principal_id,
        role=role,
        project_id=project_id,
        pattern=pattern,
        actor=actor,
    )
    return row[0] if row else None


async def find(tx: Transaction, grant_id: int) -> Grant | None:
    row = await tx.fetch_one(f"{_SELECT} WHERE grants.id = :id", id=grant_id)
    return _grant(row) if row else None


async def like(
    tx: Transaction, principal_id: int | None, role: str, project_id: int | None, pattern: str | None
) -> Grant | None:
    row = await tx.fetch_one(
        f"""
        {_SELECT}
         WHERE coalesce(grants.principal_id, 0) = :principal_id AND role = :role
           AND coalesce(grants.project_id, 0) = :project_id AND coalesce(pattern, '') = :pattern
        """,
        principal_id=principal_id or 0,
        role=role,
        project_id=project_id or 0,
        pattern=pattern or "",
    )
    return _grant(row) if row else None


async def remove(tx: Transaction, grant_id: int) -> None:
    await tx.execute("DELETE FROM grants WHERE id = :id", id=grant_id)


async def page(
    tx: Transaction,
    *,
    principal_id: int | None = None,
    project_id: int | None = None,
    role: str | None = None,
    after: int = 0,
    limit: int,
) -> list[Grant]:
    """Up to `limit` with greater ids than `after`: those of one principal, on one project, of one role, or all."""
    rows = await tx.fetch_all(
        f"""
        {_SELECT}
         WHERE grants.id > :after
           AND (CAST(:principal_id AS BIGINT) IS NULL OR grants.principal_id = :principal_id)
           AND (CAST(:project_id AS BIGINT) IS NULL OR grants.project_id = :project_id)
           AND (CAST(:role AS TEXT) IS NULL OR role = :role)
         ORDER BY grants.id LIMIT :limit
        """,
        after=after,
        principal_id=principal_id,
        project_id=project_id,
        role=role,
        limit=limit,
    )
    return [_grant(row) for row in rows]
