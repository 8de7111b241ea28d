"""Bearer tokens (RFC 7519): signed by this registry, for this registry, and good for a few minutes.

A token says who somebody is and narrows what he may do. It never grants: each request is decided by what is held
today, and what it has to be is fixed here: one algorithm, our own keys by their names, no other header than these.

    {"alg": "EdDSA", "kid": <RFC 7638>, "typ": "JWT"}
    {"iss", "aud": the service, "sub": a name, "iat", "nbf", "exp", "jti",
     "who": {"id", "token", "version", "source", "rule"},
     "access": [{"type", "name", "actions", "project", "local"}, {"type", "name", "actions", "within"}]}
"""

# ruff: noqa: PLC0415  the library is imported by the first token

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from pierhead.access.principal import Principal
from pierhead.access.verified import Verified
from pierhead.access_settings import TokenSettings
from pierhead.accounts.signing_keys import ALGORITHM, Key, SigningKeys
from pierhead.errors import ScopeInvalid, TokenInvalid
from pierhead.models import Place, RepositoryName
from pierhead.verbs import ACTIONS, NONE, Verbs

LONGEST = 8192  # bytes of a token: it has to fit into a header
_HEADERS = {"alg", "kid", "typ"}
_CLAIMS = ["iss", "aud", "sub", "iat", "nbf", "exp", "jti", "access"]
_SECOND = 1_000_000
_ID_BYTES = 16
_SHORT = 2048  # bytes of a token that is remembered as it is; memory is bounded


@dataclass(frozen=True, slots=True)
class Opened:
    """What a token opens: some actions in a repository."""

    name: RepositoryName  # that requests ask for
    actions: frozenset[str]
    project_id: int | None  # that it was in when the token was made; None where there was none
    asked: str = ""  # what the client called it, where that is not its name


@dataclass(frozen=True, slots=True)
class BearerBounds:
    """The narrowing of a bearer token."""

    opened: dict[str, tuple[Verbs, int | None]]
    issued_at: int  # seconds since 1970
    catalog: bool = False
    listed: tuple[tuple[int, str], ...] | None = None  # what the catalog shows at most

    def at(self, asked: str, place: Place) -> Verbs:
        found = self.opened.get(asked)
        return found[0] if found and self._is_same(found[1], place) else NONE

    @property
    def within(self) -> tuple[tuple[int, str], ...] | None:
        return self.listed if self.catalog else ()

    def _is_same(self, project_id: int | None, place: Place) -> bool:
        """Whether it is the project that was meant. Where there was none, one that came since: a push makes it."""
        if project_id is not None:
            return project_id == place.project_id
        return place.project_id is None or place.since >= self.issued_at * _SECOND


@dataclass(frozen=True, slots=True)
class Minted:
    token: str = field(repr=False)
    issued_at: int  # seconds since 1970
    seconds: int  # that it lives


class Bearers:
    """Makes tokens, and knows its own."""

    def __init__(self, keys: SigningKeys, settings: TokenSettings) -> None:
        self._keys = keys
        self._settings = settings
        # With the name of the key: a token ends with the key that signed it.
        self._verified = Verified[tuple[str, Principal]](
            seconds=settings.life_seconds, entries=settings.verified_entries
        )

    async def mint(self, principal: Principal, opened: Iterable[Opened], *, catalog: bool = False) -> Minted:
        """Raises ScopeInvalid where it would be longer than a header may be."""
        import jwt

        key = await self._keys.signing()
        now = self._keys.now() // _SECOND
        life = self._settings.life_seconds
        identity = secrets.token_urlsafe(_ID_BYTES)
        claims = {
            "iss": self._settings.service,
            "aud": self._settings.service,
            "sub": "" if principal.credential == "none" else principal.name,
            "iat": now,
            "nbf": now,
            "exp": now + life,
            "jti": identity,
            "who": _who(principal, _mask(key, identity)),
            "access": [_entry(one) for one in opened] + ([_catalog(principal)] if catalog else []),
        }
        token = jwt.encode(claims, key.private, algorithm=ALGORITHM, headers={"kid": key.kid})
        if len(token) > LONGEST:
            raise ScopeInvalid("these scopes are too many for one token")
        return Minted(token, now, life)

    def remembered(self, token: bytes) -> Principal | None:
        """Whose it is, where that was verified lately.

        Hot, so that a token is its own key: it lives for minutes, and Python's keyed hash (SipHash) of all of it comes
        before any byte is compared. A MAC of one this long costs a tenth of a whole request.
        """
        if not self._keys.fresh:
            return None  # `read` looks whether its key is still there
        found = self._verified.get(self._key(token))
        return found[1] if found and self._keys.has(found[0]) else None

    def _key(self, token: bytes) -> bytes:
        return token if len(token) <= _SHORT else self._verified.mac(token)

    async def read(self, token: bytes) -> Principal:
        """Whose it is. Raises TokenInvalid."""
        if len(token) > LONGEST:
            raise TokenInvalid("it is too long")
        await self._keys.look()
        known = self.remembered(token)
        if known is not None:
            return known
        key, claims = await self._verify(token)
        principal = _principal(claims, key)
        left = claims["exp"] - self._keys.now() / _SECOND
        self._verified.keep(self._key(token), (key.kid, principal), seconds=left)
        return principal

    async def _verify(self, token: bytes) -> tuple[Key, dict[str, Any]]:
        import jwt

        service = self._settings.service
        try:
            kid = _kid(jwt.get_unverified_header(token))
            key = await self._keys.find(kid)
            if key is None:
                raise TokenInvalid("its key is not known here")
            claims: dict[str, Any] = jwt.decode(
                token, key.public, algorithms=[ALGORITHM], audience=service, issuer=service, options=_OPTIONS
            )
        # What else comes of nonsense: a nesting without end, letters where there may be none.
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise TokenInvalid("it is not signed by this registry, or not for it") from error
        self._require_in_time(claims)
        return key, claims

    def _require_in_time(self, claims: dict[str, Any]) -> None:
        """By the database's clock, which all nodes share; the library knows this machine's only."""
        begins, ends, issued = claims["nbf"], claims["exp"], claims["iat"]
        if not all(type(moment) is int for moment in (begins, ends, issued)):
            raise TokenInvalid("its times are no whole numbers")
        now, leeway = self._keys.now() / _SECOND, self._settings.leeway_seconds
        if ends <= now:
            raise TokenInvalid("it has expired")
        if max(begins, issued) > now + leeway:
            raise TokenInvalid("it begins in the future")


_OPTIONS: Any = {
    "require": _CLAIMS, "strict_aud": True, "verify_exp": False, "verify_nbf": False, "verify_iat": False,
}  # fmt: skip


def _kid(header: dict[str, Any]) -> str:
    """The name of the key. A header that says where to find one is refused, like all that ours do not have."""
    if header.keys() != _HEADERS or header["alg"] != ALGORITHM or header["typ"] != "JWT":
        raise TokenInvalid("its header is not one of this registry")
    kid: str = header["kid"]
    return kid


def _mask(key: Key, identity: str) -> int:
    """Hides a version in a token: that of a line of the htpasswd file would let its reader try passwords."""
    return int.from_bytes(blake2b(identity.encode(), key=key.secret, digest_size=8).digest())


def _who(principal: Principal, mask: int) -> dict[str, Any]:
    told = {
        "id": principal.id,
        "token": principal.token,
        "version": None if principal.version is None else principal.version ^ mask,
        "source": principal.source or None,
        "rule": principal.rule,
    }
    return {name: value for name, value in told.items() if value is not None}


def _entry(opened: Opened) -> dict[str, Any]:
    actions = [action for action in ACTIONS if action in opened.actions]
    entry = {"type": "repository", "name": opened.asked or opened.name, "actions": actions}
    if opened.asked and opened.asked != opened.name:
        entry["local"] = opened.name
    return {**entry, "project": opened.project_id}


def _principal(claims: dict[str, Any], key: Key) -> Principal:
    """Raises TokenInvalid where a later version of the program wrote what this one cannot read."""
    try:
        who = claims.get("who", {})
        version = who.get("version")
        return Principal(
            name=claims["sub"] or "anonymous",
            credential="bearer",
            id=who.get("id"),
            token=who.get("token"),
            version=None if version is None else version ^ _mask(key, claims["jti"]),
            source=who.get("source", ""),
            rule=who.get("rule"),
            narrowed=_bounds(claims),
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise TokenInvalid("it was made by another version of the program") from error


def _catalog(principal: Principal) -> dict[str, Any]:
    """A credential that shows a part of the catalog gets no token that shows more."""
    entry = {"type": "registry", "name": "catalog", "actions": ["*"]}
    within = principal.narrowed.within if principal.narrowed else None
    return entry if within is None else {**entry, "within": within}


def _bounds(claims: dict[str, Any]) -> BearerBounds:
    opened: dict[str, tuple[Verbs, int | None]] = {}
    catalog, listed = False, None
    for entry in claims["access"]:
        if entry["type"] == "repository":
            verbs = NONE.union(*(ACTIONS.get(action, NONE) for action in entry["actions"]))
            opened[entry.get("local", entry["name"])] = (verbs, entry["project"])
        elif (entry["type"], entry["name"]) == ("registry", "catalog"):
            catalog, within = "*" in entry["actions"], entry.get("within")
            listed = None if within is None else tuple((project, pattern) for project, pattern in within)
    return BearerBounds(opened, claims["iat"], catalog, listed)
