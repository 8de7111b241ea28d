"""The choke point's two questions: who asks, and what may they do here."""

import base64
import binascii
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Protocol, Self

from pierhead.access.certificates import Certificates
from pierhead.access.decisions import Decisions, Given, has_sources
from pierhead.access.holdings import Holding, holdings
from pierhead.access.htpasswd import AccountsFile
from pierhead.access.limits import Buckets
from pierhead.access.loopback import Headers, LoopbackGuard
from pierhead.access.machines import Machines
from pierhead.access.passwords import Passwords
from pierhead.access.principal import ANONYMOUS, Principal
from pierhead.access.rights import Rights
from pierhead.access.sources import PasswordSource
from pierhead.access.tokens import Tokens
from pierhead.access.users import Users
from pierhead.access.verified import Verified
from pierhead.addresses import countable
from pierhead.errors import Unauthenticated, Unavailable
from pierhead.metadata import rights as rows
from pierhead.metadata.database import Database
from pierhead.models import Place, RepositoryName, Visible
from pierhead.settings import Settings
from pierhead.verbs import Verb, Verbs

_LONGEST_HEADER = 16 * 1024  # bytes; a name and a password of 4 KiB each, in base64
_BEARER = b"Bearer "
_NOWHERE = Place(RepositoryName())


class Bearer(Protocol):
    """Whoever knows bearer tokens, and remembers those that were verified."""

    def remembered(self, token: bytes) -> Principal | None: ...

    async def read(self, token: bytes) -> Principal:
        """For whom it is good. Raises Unauthenticated."""
        ...


@dataclass(frozen=True, slots=True)
class Admitted:
    """Who asks, and what is held where it was asked for. What the registry is handed of it are plain values."""

    principal: Principal
    rights: Rights
    place: Place
    verbs: Verbs
    fresh: bool = False  # its credential was verified for this request, and not remembered

    def may_pull(self, place: Place) -> bool:
        """From another repository, by its name of today."""
        held = self.rights.held(place)
        if self.principal.narrowed is not None:
            held &= self.principal.narrowed.at(place.name, place)
        return Verb.PULL in held

    @property
    def visible(self) -> Visible:
        bounds = self.principal.narrowed.within if self.principal.narrowed is not None else None
        return self.rights.visible if bounds is None else replace(self.rights.visible, within=bounds)

    @property
    def founds(self) -> bool:
        """Whether pushing is held here only because there is no such project yet."""
        return self.place.project_id is None and not self.rights.pushes_everywhere

    @property
    def anonymous(self) -> bool:
        """Whether nobody said who it is, so that signing in may help."""
        return self.principal.id is None and self.principal.rule is None

    @property
    def unsigned(self) -> bool:
        """Whether it came without any credential, and has to ask for one: a client learns how by the refusal."""
        return self.principal.credential == "none" and not self.rights.everything

    @property
    def too_narrow(self) -> bool:
        """Whether the credential was narrowed, so that another one of the same owner may do more."""
        return self.principal.narrowed is not None


class Access:
    """Who may do what. Until it has accounts a registry is open to local clients, or by a setting to all."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        *,
        directories: Iterable[PasswordSource] = (),
        observe: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """Raises ConfigurationError where the htpasswd file is missing or has mistakes."""
        access, limits = settings.access, settings.limits
        self._database = database
        self._guard = None if access.allow_anonymous else LoopbackGuard()
        # Whether nobody at all is let in while there are no accounts.
        self.needs_setup = access.setup and not access.allow_anonymous
        self._has_sources = has_sources(settings)
        self._file = file = AccountsFile(access.htpasswd) if access.htpasswd else None
        self._accounts = file.current() if file else None  # by which what is remembered was verified
        self.users = Users(database, settings.projects, file)
        self.passwords = Passwords(
            database, self.users, file, directories=directories, settings=access, observe=observe
        )
        self._verified = Verified[Principal](seconds=access.verified_seconds, entries=access.verified_entries)
        self._tokens = Tokens(database)
        self._certificates = Certificates(settings.certificates)
        self._of_accounts = Buckets(rate=limits.account_rate, burst=limits.account_burst)
        self._of_addresses = Buckets(rate=limits.address_rate, burst=limits.address_burst)
        self.bearer: Bearer | None = None
        self.machines: Machines | None = None
        stale_seconds = settings.database.stale_seconds if settings.database.serve_stale else 0
        self.decisions = Decisions(database, Given.by(settings), file, stale_seconds=stale_seconds)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.callback(self.passwords.close)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    async def close_for_good(self) -> None:
        """Where the settings name a source: writes down that the registry has accounts, from now on."""
        if self._has_sources and (await self._database.read(rows.epoch)).closed is None:
            await self._database.write(rows.close)

    async def is_open(self) -> bool:
        """Whether nobody has to sign in, as there are no accounts."""
        epoch = self.decisions.still() or await self.decisions.epoch()
        return not self._has_sources and epoch.closed is None

    async def admit(self, headers: Headers, address: str, asked: RepositoryName, *, by_proxy: bool = False) -> Admitted:
        """Who asks, and what is held at a repository; of no name: in the system.

        `headers` are those of the ASGI scope, in lower case; `address` is the client's. `by_proxy`: the headers came
        from a trusted proxy, whose word on client certificates counts.
        Raises OpenModeRefused, Unauthenticated, TooManyRequests, Unavailable.
        """
        epoch = self.decisions.still() or await self.decisions.epoch()
        if epoch.closed is None and not self._has_sources:
            if self.needs_setup:
                raise Unauthenticated(
                    "this registry has no accounts yet; its operator has the address of the setup page"
                )
            if self._guard is not None:
                self._guard.check(headers, address)
            return await self._standing(ANONYMOUS, asked, open_mode=True)
        self._look_at_the_file()
        try:
            principal, fresh = await self._who(headers, address, by_proxy=by_proxy)
        except Unauthenticated:
            self.count(ANONYMOUS, address)
            raise
        self.count(principal, address)
        if fresh:  # which took its time: what is held may have changed meanwhile
            await self.decisions.epoch()
        return await self._standing(principal, asked, fresh=fresh)

    async def again(self, admitted: Admitted, asked: RepositoryName) -> Admitted:
        """What somebody holds by now who was let in a while ago. Raises as `admit` does."""
        if not admitted.rights.everything:
            self._look_at_the_file()
            return await self.standing(admitted.principal, asked)
        if not await self.is_open():
            raise Unauthenticated("this registry has accounts by now")
        return admitted

    def count(self, principal: Principal, address: str) -> None:
        """One request more of somebody. Raises TooManyRequests."""
        if principal.id is None and principal.rule is None:  # nobody, with or without a token that says so
            self._of_addresses.take(countable(address))
        else:
            self._of_accounts.take(principal.name)

    async def of_session(self, principal: Principal) -> Admitted:
        """What somebody holds in the system who signed in to the pages. Raises Unauthenticated as `standing` does."""
        self._look_at_the_file()
        return await self.standing(principal, RepositoryName())

    async def holdings(self, rights: Rights) -> list[Holding]:
        """What was granted, in words."""
        return await self._database.read(lambda tx: holdings(tx, rights.grants))

    def _look_at_the_file(self) -> None:
        """What was verified by an earlier state of the htpasswd file counts no more."""
        if self._file is not None and self._file.current() is not self._accounts:
            self._accounts = self._file.current()
            self._verified.clear()
            self.decisions.forget()

    async def standing(self, principal: Principal, asked: RepositoryName, *, fresh: bool = False) -> Admitted:
        """What a principal holds now. Raises Unauthenticated where what it proved counts no more."""
        await self.decisions.epoch()
        return await self._standing(principal, asked, fresh=fresh)

    async def _standing(
        self, principal: Principal, asked: RepositoryName, *, open_mode: bool = False, fresh: bool = False
    ) -> Admitted:
        """The same, right after the epoch was read. Remembered while it lasts: clients ask for the same few places."""
        key = id(principal), asked
        known: Admitted | None = self.decisions.standings.get(key)
        # Of what ends by itself nothing is remembered, and a principal is the same while its credential is.
        if known is not None and known.principal is principal and not fresh:
            return known
        state = self.decisions.state  # before rights are read, which may take long enough for another one to come
        rights = await self.decisions.rights(principal, open_mode=open_mode)
        if not asked:
            return Admitted(principal, rights, _NOWHERE, _narrow(rights.system, principal, "", _NOWHERE), fresh)
        place = await self.decisions.place(asked)
        if Verb.PULL not in rights.held(place):
            # It may have been made, and be public. Asked for what there is too: else the time it takes would tell.
            with suppress(Unavailable):
                place = await self.decisions.place(asked, anew=True)
        admitted = Admitted(principal, rights, place, _narrow(rights.held(place), principal, asked, place), fresh)
        lasts = rights.until is None and rights.renewal is None
        if lasts and not fresh and state == self.decisions.state and Verb.PULL in rights.held(place):
            self.decisions.stand(key, admitted)
        return admitted

    async def _who(self, headers: Headers, address: str, *, by_proxy: bool) -> tuple[Principal, bool]:
        """And whether it was verified just now."""
        header = self._certificates.header if by_proxy else None
        certificate = b""
        for name, value in headers:
            if name == b"authorization":
                found = self._remembered(value)
                return (found, False) if found else (await self._check(value, address), True)
            if name == header:
                certificate = value
        if certificate and (identity := self._certificates.identify(certificate)) is not None:
            return await self.users.signed_in(identity, credential="certificate"), False
        return ANONYMOUS, False

    def _remembered(self, header: bytes) -> Principal | None:
        if self.bearer is not None and header.startswith(_BEARER):
            found = self.bearer.remembered(header[len(_BEARER) :])
            if found is not None:
                return found
        return self._verified.get(self._verified.mac(header))

    async def _check(self, header: bytes, address: str) -> Principal:
        """The slow way. Raises Unauthenticated, TooManyRequests, SignInUnavailable."""
        mac = self._verified.mac(header)
        scheme, _, rest = header.strip().partition(b" ")
        if len(header) > _LONGEST_HEADER:
            raise Unauthenticated("the credentials are too long")
        if scheme.lower() == b"bearer":
            principal, seconds = await self._by_bearer(rest.strip(), address)
        else:
            name, password = basic_credentials(header)
            principal, seconds = await self._by_password(mac, name, password, address)
        self._verified.keep(mac, principal, seconds=seconds)
        return principal

    async def _by_bearer(self, token: bytes, address: str) -> tuple[Principal, float | None]:
        if self._tokens.suits(token):
            return await self._tokens.check(token, address), None
        if self.bearer is None:
            raise Unauthenticated("this bearer token is not of this registry")
        return await self.bearer.read(token), 0.0  # remembered there

    async def _by_password(
        self, mac: bytes, name: str, password: bytes, address: str
    ) -> tuple[Principal, float | None]:
        if self._tokens.suits(password):
            return await self._tokens.check(password, address), None
        if self.machines is not None and self.machines.suits(password):
            return await self.machines.check(password)
        return await self.passwords.check(mac, name, password, address), None


def _narrow(held: Verbs, principal: Principal, asked: str, place: Place) -> Verbs:
    return held if principal.narrowed is None else held & principal.narrowed.at(asked, place)


def basic_credentials(authorization: bytes) -> tuple[str, bytes]:
    """Name and password of a Basic Authorization header (RFC 7617). Raises Unauthenticated."""
    scheme, _, encoded = authorization.strip().partition(b" ")
    if scheme.lower() != b"basic":
        raise Unauthenticated("only Basic and Bearer authentication are supported")
    if len(encoded) > _LONGEST_HEADER:
        raise Unauthenticated("the credentials are too long")
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        password.decode("utf-8")
        if colon:
            return name.decode("utf-8"), password
    except (binascii.Error, UnicodeDecodeError):
        pass
    raise Unauthenticated("the Authorization header is malformed")
