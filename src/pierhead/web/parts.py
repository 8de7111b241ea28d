"""What the pages are made with, as one frozen value."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from pierhead.access.authenticator import Access
from pierhead.access.backoff import Backoff
from pierhead.access.limits import Buckets
from pierhead.access.opening import Doors
from pierhead.access.proxy import Proxies
from pierhead.access.sessions import Sessions
from pierhead.accounts.first import FirstAdministrator
from pierhead.accounts.second_factors import SecondFactors
from pierhead.accounts.tokens import Tokens
from pierhead.accounts.users import Users
from pierhead.issuer_settings import OidcSettings
from pierhead.registry.audit import Audit
from pierhead.settings import Settings

if TYPE_CHECKING:
    from pierhead.access.oidc.people import Provider


@dataclass(frozen=True, slots=True)
class Parts:
    access: Access
    sessions: Sessions
    first: FirstAdministrator
    users: Users
    tokens: Tokens
    second_factors: SecondFactors
    audit: Audit
    proxies: Proxies
    attempts: Buckets  # to sign in, by address
    wrong_codes: Backoff
    public_url: str  # "" where the settings name none
    issuers: Mapping[str, OidcSettings]
    providers: "Mapping[str, Provider]"

    @classmethod
    def of(cls, doors: Doors, settings: Settings, audit: Audit) -> Self:
        database, pages, given = doors.database, settings.pages, settings.access
        return cls(
            access=doors.access,
            sessions=doors.sessions,
            first=FirstAdministrator(database, settings.passwords),
            users=Users(database, settings.passwords),
            tokens=Tokens(database, settings.tokens),
            second_factors=SecondFactors(database),
            audit=audit,
            proxies=Proxies(settings.server.trusted_proxies),
            attempts=Buckets(rate=pages.sign_in_rate, burst=pages.sign_in_burst),
            wrong_codes=Backoff(failures=given.wrong_passwords, longest=given.longest_wait_seconds),
            public_url=settings.server.public_url or "",
            issuers={table.name: table for table in settings.oidc},
            providers={provider.settings.name: provider for provider in doors.providers},
        )
