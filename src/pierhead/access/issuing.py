"""What a client gets that asks for a token: what it asked for, as far as that is held, and nothing else."""

import base64
from dataclasses import dataclass, field

from pierhead.access import scopes
from pierhead.access.authenticator import Access, Admitted
from pierhead.access.bearer import Bearers, Minted, Opened
from pierhead.access.loopback import Headers
from pierhead.access.principal import ANONYMOUS, Principal
from pierhead.access.scopes import Asked, Wanted
from pierhead.access_settings import TokenSettings
from pierhead.accounts.refresh_tokens import Proof, RefreshTokens
from pierhead.errors import TokenUnknown, Unauthenticated
from pierhead.models import RepositoryName
from pierhead.verbs import ACTIONS

_SYSTEM = RepositoryName()
_KNOWN_HERE = frozenset(("local", "htpasswd"))


@dataclass(frozen=True, slots=True)
class Issued:
    minted: Minted
    scope: str  # what was given of what was asked
    refresh: str | None = field(default=None, repr=False)


class Issuer:
    def __init__(self, access: Access, bearers: Bearers, refresh: RefreshTokens, settings: TokenSettings) -> None:
        self._access = access
        self._bearers = bearers
        self._refresh = refresh
        self._gives_refresh = settings.refresh_days > 0

    async def who(self, headers: Headers, address: str, *, by_proxy: bool = False) -> Admitted:
        """Who asks, by the headers of a request. Raises as `Access.admit` does."""
        admitted = await self._access.admit(headers, address, _SYSTEM, by_proxy=by_proxy)
        if admitted.principal.credential == "bearer":
            # Else a token that got into wrong hands would live for ever.
            raise Unauthenticated("a bearer token is not a way to get another one")
        return admitted

    async def by_password(self, name: str, password: str, headers: Headers, address: str) -> Admitted:
        """Who that is. Raises as `Access.admit` does."""
        if ":" in name:
            raise Unauthenticated("wrong name or password")
        basic = b"Basic " + base64.b64encode(f"{name}:{password}".encode())
        others = [header for header in headers if header[0] != b"authorization"]
        return await self.who([*others, (b"authorization", basic)], address)

    async def by_refresh(self, token: str, address: str) -> Admitted:
        """Whom a refresh token stands for. Raises TokenUnknown, and Unauthenticated where that counts no more."""
        try:
            owner = await self._refresh.take(token, address=address)
        except TokenUnknown:
            self._access.count(ANONYMOUS, address)
            raise
        proof = owner.proof
        principal = Principal(
            owner.name, "token", owner.id, token=owner.token, version=proof.version, source=proof.source
        )
        self._access.count(principal, address)
        return await self._access.standing(principal, _SYSTEM, fresh=True)

    async def issue(self, principal: Principal, asked: Asked) -> Issued:
        """Raises ScopeInvalid, and Unauthenticated where what the principal proved counts no more."""
        opened = [found for wanted in asked.repositories if (found := await self._opened(principal, wanted))]
        minted = await self._bearers.mint(principal, opened, catalog=asked.catalog)
        given = [scopes.written(one.asked or one.name, one.actions) for one in opened]
        return Issued(minted, " ".join(given + [scopes.CATALOG] * asked.catalog))

    async def remember(self, principal: Principal, *, client: str, address: str) -> str | None:
        """A refresh token for one who signed in with a password of this registry; None for all others.

        Of those of other sources nobody would know here when they left or got another password. And who has a token
        gains nothing by another one.
        """
        if not self._gives_refresh or principal.credential != "password" or principal.source not in _KNOWN_HERE:
            return None
        if principal.id is None:
            return None
        proof = Proof(principal.source, principal.version)
        return await self._refresh.give(principal.id, proof, client=client, address=address)

    async def _opened(self, principal: Principal, wanted: Wanted) -> Opened | None:
        if wanted.literal:
            found = await self._held(principal, wanted.literal, wanted)
            if found and found.project_id is not None:
                return found
        return await self._held(principal, wanted.name, wanted)

    async def _held(self, principal: Principal, name: RepositoryName, wanted: Wanted) -> Opened | None:
        admitted = await self._access.standing(principal, name)
        actions = frozenset(action for action in wanted.actions if ACTIONS[action] & admitted.verbs)
        return Opened(name, actions, admitted.place.project_id, wanted.asked) if actions else None
