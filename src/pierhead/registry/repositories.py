"""Repositories: the catalog."""

from dataclasses import dataclass

from pierhead.metadata import repositories as rows
from pierhead.metadata.database import Database
from pierhead.models import RepositoryName


@dataclass(frozen=True, slots=True)
class RepositoryPage:
    names: list[RepositoryName]
    more: bool


class Repositories:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, *, after: str, size: int) -> RepositoryPage:
        """Repositories that hold a manifest, in order."""
        names = await self._database.read(lambda tx: rows.names_after(tx, after, limit=size + 1))
        return RepositoryPage(names[:size], more=len(names) > size)
