"""Repositories: the catalog."""

from dataclasses import dataclass

from pierhead.metadata import visible as rows
from pierhead.metadata.database import Database
from pierhead.models import EVERYTHING, RepositoryName, Visible


@dataclass(frozen=True, slots=True)
class RepositoryPage:
    names: list[RepositoryName]
    more: bool


class Repositories:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, *, after: str, size: int, visible: Visible = EVERYTHING) -> RepositoryPage:
        """Repositories that hold a manifest and may be seen, in order."""
        names = await self._database.read(lambda tx: rows.names_after(tx, after, visible, limit=size + 1))
        return RepositoryPage(names[:size], more=len(names) > size)
