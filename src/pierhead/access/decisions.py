"""What is held by whom, from rows, and remembered until any of them changes.

Each answer is of today: the database counts every change of accounts, grants and names (`access_epoch`), and its
number is read before anything that is remembered counts. While the database is away nobody can know it; who was let in
lately still is, for as long as what he asks for may be served from memory (setting `database.serve_stale`).
"""

import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from pierhead.access.htpasswd import AccountsFile
from pierhead.access.principal import Principal
from pierhead.access.rights import Grant, Rights, verbs_of
from pierhead.access.tokens import bounds_of
from pierhead.errors import Busy, MetadataUnavailable, Unauthenticated
from pierhead.issuer_settings import OidcSettings
from pierhead.metadata import rights as rows
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.rights import Epoch, Granted, Holder, Ticket
from pierhead.models import Place, RepositoryName
from pierhead.patterns import Pattern
from pierhead.settings import Settings
from pierhead.source_settings import LdapSettings
from pierhead.verbs import ROLES, Verb

_REMEMBERED = 65_536
_STANDINGS = 8192
_DAY = 86_400_000_000  # microseconds


@dataclass(frozen=True, slots=True)
class Given:
    """What the settings give, by where somebody signed in and by name."""

    anonymous_pulls: bool = False
    users_create_projects: bool = True
    htpasswd_role: str = "maintainer"
    htpasswd_admins: frozenset[str] = frozenset()
    # source -> group -> role on the system
    group_roles: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    # source -> group -> name of a team
    group_teams: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    # name of a rule -> role and scope that it gives to workflows
    rules: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    # source -> days after which whoever signs in there has to do so again
    renew_days: Mapping[str, int] = field(default_factory=dict)
    sign_in: str = "/sign-in"  # where that is

    @classmethod
    def by(cls, settings: Settings) -> Self:
        directories: dict[str, LdapSettings | OidcSettings] = {f"ldap:{told.name}": told for told in settings.ldap}
        directories |= {f"oidc:{told.name}": told for told in settings.oidc}
        return cls(
            anonymous_pulls=settings.access.allow_anonymous,
            users_create_projects=settings.projects.create == "users",
            htpasswd_role=settings.htpasswd.role,
            htpasswd_admins=frozenset(settings.htpasswd.admins),
            group_roles={
                source: dict.fromkeys(told.auditor_groups, "auditor") | dict.fromkeys(told.admin_groups, "admin")
                for source, told in directories.items()
            },
            group_teams={source: told.teams for source, told in directories.items()},
            rules={rule.name: (rule.role, rule.scope) for rule in settings.keyless},
            renew_days={f"oidc:{told.name}": told.renew_days for told in settings.oidc if told.renew_days},
            sign_in=f"{settings.server.public_url or ''}/sign-in",
        )

    def renewal(self, holder: Holder) -> int | None:
        """When somebody has to sign in again, in microseconds since 1970."""
        days = self.renew_days.get(holder.source) if holder.kind == "user" else None
        return holder.seen_at + days * _DAY if days else None

    def to(self, name: str, source: str, groups: tuple[str, ...]) -> list[Grant]:
        """To a user."""
        given = []
        if source == "htpasswd":
            role = "admin" if name in self.htpasswd_admins else self.htpasswd_role
            given.append(_by_setting(role, "the settings [htpasswd]"))
        roles = self.group_roles.get(source, {})
        given += [_by_setting(roles[group], f"the group {group} of {source}") for group in groups if group in roles]
        if self.users_create_projects:
            given.append(Grant("-", frozenset({Verb.CREATE_PROJECT}), "the setting projects.create"))
        return given


def has_sources(settings: Settings) -> bool:
    """Whether the settings name anything that people sign in with."""
    return bool(
        settings.access.htpasswd or settings.ldap or settings.oidc or settings.keyless or settings.certificates.header
    )


def _by_setting(role: str, through: str) -> Grant:
    return Grant(role, ROLES.get(role, frozenset()), through)


class Decisions:
    def __init__(
        self, database: Database, given: Given, file: AccountsFile | None = None, *, stale_seconds: float = 0
    ) -> None:
        self._database = database
        self.given = given
        self._file = file
        self._stale_seconds = stale_seconds
        self._last: tuple[Epoch, float] | None = None  # and when it was read
        self._told: Epoch | None = None
        self._told_at: Hashable = None  # version of the whole database, before the epoch was read
        self._number = 0
        self._forgotten = 0  # how often what was remembered was let go of
        self._rights: dict[tuple[int | None, int | None, int | None, str | None], Rights] = {}
        self._places: dict[RepositoryName, Place] = {}
        self._open = Rights(everything=True)
        # What `Access` made of all that for one principal at one place, while the epoch lasts.
        self.standings: dict[tuple[int, RepositoryName], Any] = {}

    def still(self) -> Epoch | None:
        """What `epoch` told last, where it is plain at once that nothing was committed since."""
        try:
            version = self._database.version()
        except (Busy, MetadataUnavailable):
            return None
        return self._told if version == self._told_at and version is not None else None

    async def epoch(self) -> Epoch:
        """The state of this moment; what is of another one is forgotten."""
        try:
            version = self._database.version()
            epoch = await self._database.recall("access epoch", rows.epoch)
        except (Busy, MetadataUnavailable):
            if self._last is None or time.monotonic() - self._last[1] > self._stale_seconds:
                raise
            return self._last[0]
        if self._stale_seconds:
            self._last = epoch, time.monotonic()
        if epoch.number != self._number:
            self.forget()
            self._number = epoch.number
        self._told, self._told_at = epoch, version
        return epoch

    @property
    def state(self) -> tuple[int, int]:
        """Another one after everything that was remembered was let go of."""
        return self._number, self._forgotten

    def stand(self, key: tuple[int, RepositoryName], admitted: object) -> None:
        if len(self.standings) >= _STANDINGS:
            self.standings.clear()
        self.standings[key] = admitted

    def forget(self) -> None:
        self.standings.clear()
        self._forgotten += 1
        self._rights.clear()
        self._places.clear()

    async def rights(self, principal: Principal, *, open_mode: bool = False) -> Rights:
        """After `epoch`. Raises Unauthenticated where what was proven counts no more."""
        if open_mode:
            return self._open
        key = (principal.id, principal.token, principal.version, principal.rule)
        found = self._rights.get(key)
        # A sign-in changes no right and so no epoch, but it may have been renewed.
        if found is None or _over(found.renewal):
            forgotten = self._forgotten
            found = await self._read(principal)
            if forgotten == self._forgotten:  # else it may be of before
                if len(self._rights) >= _REMEMBERED:
                    self._rights.clear()
                self._rights[key] = found
        if _over(found.until):
            raise Unauthenticated("this token has expired")
        if _over(found.renewal):
            raise Unauthenticated(f"too long since your last sign-in at the pages: sign in at {self.given.sign_in}")
        return found

    async def place(self, name: RepositoryName, *, anew: bool = False) -> Place:
        """After `epoch`. What a name leads to. `anew`: of a repository that was made nobody is told, so look."""
        found = None if anew else self._places.get(name)
        if found is None:
            forgotten = self._forgotten
            found = await self._database.read(lambda tx: rows.place(tx, name))
            if forgotten == self._forgotten:
                if len(self._places) >= _REMEMBERED:
                    self._places.clear()
                self._places[name] = found
        return found

    async def _read(self, principal: Principal) -> Rights:
        if principal.rule is not None:
            names = principal.rule.split(",")
            return Rights(tuple(await self._database.read(lambda tx: self._by_rules(tx, names))))
        if principal.id is None:
            return Rights(pulls_everything=self.given.anonymous_pulls)
        return await self._database.read(lambda tx: self._of(tx, principal))

    async def _of(self, tx: Transaction, principal: Principal) -> Rights:
        assert principal.id is not None  # noqa: S101  the caller looked
        holder = await rows.holder(tx, principal.id)
        if holder is None or holder.disabled:
            raise Unauthenticated("this account is disabled")
        if holder.gone:
            raise Unauthenticated(f"this account is suspended: {holder.source} knows it no more")
        version = self._version(holder)
        if principal.version is not None and principal.version != version:
            raise Unauthenticated("the password was changed")
        ticket = await _ticket(tx, principal)
        grants = [_counted(found) for found in await self._granted(tx, holder)]
        if holder.kind == "user":
            grants += self.given.to(holder.name, holder.source, holder.groups)
        return Rights(
            tuple(grants),
            pulls_everything=self.given.anonymous_pulls,
            until=ticket.expires_at if ticket else None,
            renewal=self.given.renewal(holder),
            bounds=bounds_of(ticket) if ticket else None,
        )

    async def _by_rules(self, tx: Transaction, names: list[str]) -> list[Grant]:
        """What workflows have by the rules that let them in, as far as these are in the settings still."""
        grants = []
        for name in names:
            if name in self.given.rules:
                role, scope = self.given.rules[name]
                grant = await _ruled(tx, role, scope, f"the rule {name}")
                grants += [grant] if grant else []
        return grants

    def _version(self, holder: Holder) -> int:
        """Of the password that counts now. Raises Unauthenticated where the htpasswd file has him no more."""
        if holder.source != "htpasswd":
            return holder.version
        account = self._file.current().by_name.get(holder.name) if self._file else None
        if account is None:
            raise Unauthenticated("this account is no more in the htpasswd file")
        return account.version

    async def _granted(self, tx: Transaction, holder: Holder) -> list[Granted]:
        found = await rows.granted(tx, holder.id)
        by_setting = self.given.group_teams.get(holder.source, {})
        names = [f"@{by_setting[group].removeprefix('@')}" for group in holder.groups if group in by_setting]
        for team in await rows.teams(tx, holder, also=names):
            found += await rows.granted(tx, team)
        if holder.kind == "user":
            found += await rows.granted(tx, None)
        return found


def _over(moment: int | None) -> bool:
    return moment is not None and moment < time.time() * 1e6


async def _ruled(tx: Transaction, role: str, scope: str, through: str) -> Grant | None:
    """None while the project of the scope is not there."""
    verbs = verbs_of(role, await rows.custom_role(tx, role))
    if scope == "*":
        return Grant(role, verbs, through)
    project, _, pattern = scope.partition("/")
    place = await rows.place(tx, RepositoryName(project))
    if place.project_id is None:
        return None
    return Grant(role, verbs, through, place.project_id, Pattern.parse(pattern) if pattern else None)


async def _ticket(tx: Transaction, principal: Principal) -> Ticket | None:
    """The token that was signed in with. Raises Unauthenticated where it was revoked."""
    if principal.token is None:
        return None
    ticket = await rows.ticket(tx, principal.token)
    if ticket is None or ticket.revoked_at is not None:
        raise Unauthenticated("this token was revoked")
    return ticket


def _counted(granted: Granted) -> Grant:
    pattern = Pattern.parse(granted.pattern) if granted.pattern is not None else None
    verbs = verbs_of(granted.role, granted.verbs)
    return Grant(granted.role, verbs, granted.through or "everybody", granted.project_id, pattern)
