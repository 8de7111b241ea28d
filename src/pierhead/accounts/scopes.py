"""Where a grant counts: in the system, on a project, or on what in it fits a pattern."""

from dataclasses import dataclass
from typing import Self

from pierhead.accounts import names
from pierhead.errors import AccountInvalid, ProjectUnknown
from pierhead.metadata import aliases, repositories
from pierhead.metadata.database import Transaction
from pierhead.patterns import Pattern

WHOLE = "**"


@dataclass(frozen=True, slots=True)
class Scope:
    project: str | None = None  # None: the system
    pattern: str | None = None  # of names below the project; None: all of it

    @classmethod
    def parse(cls, text: str) -> Self:
        """`team`, `team/app`, `team/web/**`. Raises AccountInvalid."""
        project, _, rest = text.partition("/")
        try:
            pattern = Pattern.parse(rest).text if rest else None
        except ValueError as error:
            raise AccountInvalid(str(error)) from error
        return cls(names.parse_project(project), None if pattern == WHOLE else pattern)

    async def project_id(self, tx: Transaction) -> int | None:
        """Of the project as it is now; None in the system. Raises ProjectUnknown."""
        if self.project is None:
            return None
        found = await repositories.identify_project(tx, self.project)
        if found is None:
            alias = await aliases.find(tx, "project", self.project)
            way = f"make it first: pierhead project create {self.project}"
            raise ProjectUnknown(f"{self.project}; {way if alias is None else f'it is called {alias.target} now'}")
        return found

    def __str__(self) -> str:
        if self.project is None:
            return "the system"
        return f"{self.project}/{self.pattern}" if self.pattern else self.project


SYSTEM = Scope()
