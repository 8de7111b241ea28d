"""Accounts on a database of either kind, and short words for what tests ask of them."""

from pierhead.access.explaining import explain
from pierhead.accounts.accounts import Accounts
from pierhead.accounts.by import By
from pierhead.accounts.scopes import SYSTEM, Scope
from pierhead.metadata import rights
from pierhead.metadata.database import Database
from pierhead.models import Actor, RepositoryName
from pierhead.settings import Settings
from pierhead.verbs import ALL, Verb

OPERATOR = By(Actor("operator", credential="local"), ALL)
PASSWORD = "a longer sentence"


def by(*verbs: Verb, id: int | None = None, token: int | None = None) -> By:  # noqa: A002  as the field is called
    """Somebody who holds these where he acts, and nothing else."""
    return By(Actor("ann", id=id, credential_id=token), frozenset(verbs))


class Changing(Accounts):
    def __init__(self, database: Database, settings: Settings | None = None, *, copied: bool = False) -> None:
        super().__init__(database, settings or Settings(), copied=copied)
        self.database = database

    async def user(self, name: str = "ann", *, admin: bool = False) -> int:
        return (await self.users.create(name, None, admin=admin, by=OPERATOR)).id

    async def project(self, name: str = "team") -> int:
        return (await self.projects.create(name, by=OPERATOR)).id

    async def grant(self, name: str | None, role: str, on: str | None = None) -> int:
        scope = SYSTEM if on is None else Scope.parse(on)
        return (await self.grants.add(name, role, scope, by=OPERATOR))[0].id

    async def may(self, name: str, verb: Verb, repository: str) -> bool:
        """As a request would be decided now."""
        found = await explain(self.database, Settings(), name, verb, RepositoryName(repository))
        return found.allowed

    async def events(self) -> list[tuple[str, str]]:
        """What was done to what, in order."""
        rows = await self.database.read(
            lambda tx: tx.fetch_all("SELECT action, subject FROM events WHERE subject IS NOT NULL ORDER BY id")
        )
        return [(action, subject) for action, subject in rows]

    async def is_closed(self) -> bool:
        return (await self.database.read(rights.epoch)).closed is not None

    async def everything_told(self) -> str:
        """All of the audit trail, as one text."""
        rows = await self.database.read(lambda tx: tx.fetch_all("SELECT action, subject, details, reason FROM events"))
        return repr(rows)
