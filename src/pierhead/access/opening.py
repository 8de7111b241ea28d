"""Everything that lets people and machines in, opened for one process."""

# ruff: noqa: PLC0415  what speaks with issuers is loaded where the settings name any

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pierhead.access.authenticator import Access
from pierhead.access.bearer import Bearers
from pierhead.access.issuing import Issuer
from pierhead.access.ldap.directory import LdapDirectory
from pierhead.access.machines import Machines
from pierhead.access.sessions import Sessions
from pierhead.accounts.refresh_tokens import RefreshTokens
from pierhead.accounts.signing_keys import SigningKeys
from pierhead.metadata.database import Database
from pierhead.settings import Settings

if TYPE_CHECKING:
    from pierhead.access.oidc.issuers import Issuers
    from pierhead.access.oidc.people import Provider


@dataclass(frozen=True, slots=True)
class Doors:
    database: Database
    access: Access
    issuer: Issuer
    keys: SigningKeys
    sessions: Sessions
    providers: "list[Provider]"  # where people sign in elsewhere


@asynccontextmanager
async def opened(database: Database, settings: Settings, observe: Callable[[bool], None]) -> AsyncIterator[Doors]:
    """Raises ConfigurationError where a file that the settings name is missing or has mistakes."""
    async with AsyncExitStack() as stack:
        directories = [stack.enter_context(LdapDirectory(directory)) for directory in settings.ldap]
        access = stack.enter_context(Access(database, settings, directories=directories, observe=observe))
        await access.close_for_good()
        keys = SigningKeys(database, days=settings.tokens.key_days)
        access.bearer = bearers = Bearers(keys, settings.tokens)
        refresh = RefreshTokens(database, days=settings.tokens.refresh_days, most=settings.tokens.max_refresh)
        sessions = Sessions(database, settings.pages)
        providers: list[Provider] = []
        if settings.oidc or settings.keyless:
            issuers = await stack.enter_async_context(_issuers(settings))
            access.machines = _machines(settings, issuers)
            providers = await _providers(settings, issuers, sessions)
        yield Doors(database, access, Issuer(access, bearers, refresh, settings.tokens), keys, sessions, providers)


def _issuers(settings: Settings) -> "Issuers":
    from pierhead.access.oidc.issuers import Issuers
    from pierhead.access.oidc.trusts import trusts

    return Issuers(settings.issuers, settings.outbound, trusts(settings))


def _machines(settings: Settings, issuers: "Issuers") -> Machines | None:
    """Who knows the tokens of workflows."""
    from pierhead.access.oidc.federation import Rule

    if not settings.keyless:
        return None
    rules = tuple(Rule.of(rule) for rule in settings.keyless)
    return Machines(rules, issuers, max_bytes=settings.issuers.max_token_bytes)


async def _providers(settings: Settings, issuers: "Issuers", sessions: Sessions) -> "list[Provider]":
    """The issuers that people sign in at."""
    from pierhead.access.oidc.people import Provider
    from pierhead.access.oidc.state import Seal

    seal = Seal(await sessions.secret(), settings.issuers.sign_in_seconds)
    return [Provider(table, issuers.get(table.issuer), seal) for table in settings.oidc]
