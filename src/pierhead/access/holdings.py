"""What somebody was granted, in words that people read."""

from collections.abc import Iterable
from dataclasses import dataclass

from pierhead.access.rights import Grant
from pierhead.metadata import tokens
from pierhead.metadata.database import Transaction


@dataclass(frozen=True, slots=True)
class Holding:
    role: str
    where: str  # "everywhere", a project, or a pattern in one
    through: str


async def holdings(tx: Transaction, grants: Iterable[Grant]) -> list[Holding]:
    """Those of roles: what a setting gives to all users is no role. Projects by their names of today."""
    told = [grant for grant in grants if grant.role != "-"]
    names = await tokens.projects(tx, sorted({grant.project_id for grant in told if grant.project_id is not None}))
    return [
        Holding(grant.role, _where(grant, names), grant.through)
        for grant in told
        if grant.project_id is None or grant.project_id in names
    ]


def _where(grant: Grant, names: dict[int, str]) -> str:
    if grant.project_id is None:
        return "everywhere"
    project = names[grant.project_id]
    return f"{project}/{grant.pattern.text}" if grant.pattern else project
