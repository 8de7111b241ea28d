"""Rows of who is in which team. Who is in one by a group of the source has none."""

from pierhead.metadata.database import Transaction


async def add(tx: Transaction, team_id: int, member_id: int) -> bool:
    """False where it was one already."""
    return bool(
        await tx.execute(
            """
            INSERT INTO memberships (team_id, member_id, made_at) VALUES (:team, :member, clock_us())
                ON CONFLICT (team_id, member_id) DO NOTHING
            """,
            team=team_id,
            member=member_id,
        )
    )


async def remove(tx: Transaction, team_id: int, member_id: int) -> bool:
    return bool(
        await tx.execute(
            "DELETE FROM memberships WHERE team_id = :team AND member_id = :member", team=team_id, member=member_id
        )
    )


async def of_team(tx: Transaction, team_id: int, *, limit: int) -> list[str]:
    """Names of some members, in order."""
    rows = await tx.fetch_all(
        """
        SELECT name FROM memberships JOIN principals ON principals.id = member_id
         WHERE team_id = :id ORDER BY name LIMIT :limit
        """,
        id=team_id,
        limit=limit,
    )
    return [name for (name,) in rows]
