"""What a source of accounts is: it says who a name and a password belong to, and decides nothing else.

What an identity may do, which principal it becomes, and in which order sources are asked is the caller's. The two
exceptions are between a source and that caller, and no part of the tree in `errors`: the wire never sees them.
"""

from dataclasses import dataclass
from typing import Protocol


class WrongPassword(Exception):
    """the source knows this name, and the password is not its password"""


class SourceUnavailable(Exception):
    """a source of accounts cannot be asked now"""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a source says that somebody is, at the moment of signing in."""

    source: str  # the source's name: a principal is bound to it
    name: str  # what they sign in with, as the source spells it
    subject: str  # does not change when the person is renamed, and is never given out again
    display: str = ""
    email: str = ""
    groups: tuple[str, ...] = ()  # by the source's own names, sorted; teams are the caller's


class PasswordSource(Protocol):
    """Accounts whose passwords something can check: a file, a table, a directory."""

    @property
    def name(self) -> str:
        """Unlike that of every other source: principals are bound to it."""

    async def check(self, name: str, password: bytes) -> Identity | None:
        """Who that is; None where no such name is known. Blocks no event loop, and answers within a bounded time.

        Raises WrongPassword where the name is known, SourceUnavailable where the source cannot tell.
        An empty password is never right.
        """
