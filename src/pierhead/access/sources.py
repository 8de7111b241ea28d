"""Where people sign in: what a source says of somebody, and what it may be asked."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a source says that somebody is."""

    source: str  # local, htpasswd, ldap:<name> or oidc:<name>
    name: str
    subject: str  # what stays when the name changes
    display: str = ""
    email: str = ""
    groups: tuple[str, ...] = ()


class WrongPassword(Exception):
    """The source knows the name, and the password is another one."""


class SourceUnavailable(Exception):
    """The source gave no answer. It locks nobody out who signs in elsewhere."""


class PasswordSource(Protocol):
    name: str

    async def check(self, name: str, password: bytes) -> Identity | None:
        """None where it knows no such name. Raises WrongPassword, SourceUnavailable."""
        ...
