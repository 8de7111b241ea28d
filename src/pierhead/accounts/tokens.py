"""Personal tokens and the secrets of robots: made, shown once, rotated, revoked.

A token never gives more than its owner holds at the moment of a request; its verbs and places only take away. A place
is bound to the project that had the name when the token was made: one made anew under that name is not opened.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from pierhead.access_settings import TokenSettings
from pierhead.accounts import finding, names, secret
from pierhead.accounts.by import By
from pierhead.accounts.holding import require_no_less
from pierhead.accounts.scopes import WHOLE, Scope
from pierhead.errors import AccountInvalid, AlreadyThere, SecretUnknown, TooMany
from pierhead.metadata import events, locks
from pierhead.metadata import tokens as rows
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.principals import Principal
from pierhead.metadata.tokens import Kind, Places, Token
from pierhead.verbs import Verbs

_SECOND = 1_000_000  # microseconds
_DAY = 86_400 * _SECOND
_PLACES_MOST = 100
_NAME_MAX = 128


@dataclass(frozen=True, slots=True)
class Made:
    """A new token, and what its owner keeps of it."""

    token: Token
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Listed:
    """A token, with its places by the names of today; None where the project is gone."""

    token: Token
    places: tuple[str | None, ...] | None


@dataclass(frozen=True, slots=True)
class Asked:
    """What a token shall be."""

    name: str
    verbs: Verbs | None = None  # None: all that its owner has
    places: tuple[Scope, ...] | None = None  # None: everywhere
    seconds: int | None = None  # that it lasts; None: as long as may be

    def require(self) -> None:
        """Raises AccountInvalid."""
        names.line(self.name)
        if not self.name.strip() or len(self.name) > _NAME_MAX:
            raise AccountInvalid(f"a token needs a name of at most {_NAME_MAX} characters, to be told from others")
        if self.verbs is not None and not self.verbs:
            raise AccountInvalid("a token without verbs is good for nothing")
        if self.places is not None and not 0 < len(self.places) <= _PLACES_MOST:
            raise AccountInvalid(f"a token has 1 to {_PLACES_MOST} places")
        if any(place.project is None for place in self.places or ()):
            raise AccountInvalid("a place is a project, or a pattern in one")
        if self.seconds is not None and self.seconds <= 0:
            raise AccountInvalid("a token that has expired already is good for nothing")


class Tokens:
    def __init__(self, database: Database, settings: TokenSettings) -> None:
        self._database = database
        self._settings = settings

    async def create(self, owner: str, asked: Asked, *, by: By) -> Made:
        """For a user or a robot. Raises PrincipalUnknown, ProjectUnknown, AccountInvalid, AlreadyThere, TooMany."""
        asked.require()

        async def create(tx: Transaction) -> Made:
            await tx.lock(locks.accounts())
            return await self.add(tx, await finding.find(tx, owner, "user", "robot"), asked, by=by)

        return await self._database.write(create)

    async def add(self, tx: Transaction, owner: Principal, asked: Asked, *, by: By) -> Made:
        """In the transaction of whoever holds the lock of accounts, and after `asked.require`."""
        await require_no_less(tx, owner, by)
        kind = _kind(owner)
        if await rows.live_named(tx, owner.id, asked.name) is not None:
            raise AlreadyThere(f"{owner.name} has a token {asked.name}; rotate it, or choose another name")
        await self._require_room(tx, owner, kind)
        places = None if asked.places is None else await _bound(tx, asked.places)
        verbs = None if asked.verbs is None else sorted(asked.verbs)
        made = await self._make(tx, owner, asked.name, verbs=verbs, places=places, seconds=asked.seconds)
        await _record(tx, "created", made.token, by)
        return made

    async def rotate(self, token_id: int, *, overlap_seconds: int = 0, by: By) -> Made:
        """A new one like it, for as long. The old one goes on to work for the overlap. Raises SecretUnknown."""

        async def rotate(tx: Transaction) -> Made:
            await tx.lock(locks.accounts())
            old = await _live(tx, token_id)
            if old.kind == "refresh":
                raise SecretUnknown(f"{token_id} was made by a sign-in; sign in again")
            owner = await finding.find(tx, old.owner)
            await require_no_less(tx, owner, by)
            lasts = None if old.expires_at is None else (old.expires_at - old.made_at) // _SECOND
            made = await self._make(tx, owner, old.name, verbs=old.verbs, places=old.places, seconds=lasts)
            if overlap_seconds > 0:
                await rows.end_in(tx, old.id, overlap_seconds * _SECOND)
            else:
                await rows.revoke(tx, old.id)
            await _record(tx, "rotated", made.token, by, before=old.id, overlap_seconds=overlap_seconds)
            return made

        return await self._database.write(rotate)

    async def revoke(self, token_id: int, *, by: By) -> Token:
        """It is refused from the next request on. Raises SecretUnknown."""

        async def revoke(tx: Transaction) -> Token:
            await tx.lock(locks.accounts())
            token = await _live(tx, token_id)
            await require_no_less(tx, await finding.find(tx, token.owner), by)
            await rows.revoke(tx, token_id)
            await _record(tx, "revoked", token, by)
            return token

        return await self._database.write(revoke)

    async def find(self, token_id: int) -> Token:
        """Raises SecretUnknown."""
        found = await self._database.read(partial(rows.find, token_id=token_id))
        if found is None:
            raise SecretUnknown(f"{token_id}")
        return found

    async def page(self, owner: str | None = None, *, over: bool = False, after: int = 0, size: int) -> list[Listed]:
        """With greater ids than `after`, of one owner or of all; `over`: also what signs in no more.

        Raises PrincipalUnknown.
        """

        async def page(tx: Transaction) -> list[Listed]:
            found = await finding.find(tx, owner, "user", "robot") if owner is not None else None
            owner_id = None if found is None else found.id
            tokens = await rows.page(tx, principal_id=owner_id, over=over, after=after, limit=size)
            ids = sorted({project for token in tokens for project, _ in token.places or ()})
            projects = await rows.projects(tx, ids)
            return [Listed(token, _shown(token.places, projects)) for token in tokens]

        return await self._database.read(page)

    async def _require_room(self, tx: Transaction, owner: Principal, kind: Kind) -> None:
        most = self._settings.max_robot if kind == "robot" else self._settings.max_personal
        if await rows.count_live(tx, owner.id, kind) >= most:
            raise TooMany(f"{owner.name} has {most} tokens (setting tokens.max_{kind}); revoke one")

    def _lasts(self, kind: Kind, seconds: int | None) -> int | None:
        """Microseconds, within what the settings allow."""
        most = int((self._settings.robot_days if kind == "robot" else self._settings.personal_days) * _DAY)
        if seconds is None:
            return most or None
        return min(seconds * _SECOND, most) if most else seconds * _SECOND

    async def _make(
        self,
        tx: Transaction,
        owner: Principal,
        name: str,
        *,
        verbs: Sequence[str] | None,
        places: Places | None,
        seconds: int | None,
    ) -> Made:
        kind, drawn = _kind(owner), secret.draw()
        made = await rows.add(
            tx,
            kind,
            owner.id,
            name,
            hashed=secret.hashed(drawn),
            verbs=verbs,
            places=places,
            lasts=self._lasts(kind, seconds),
        )
        return Made(await _live(tx, made), secret.show(kind, made, drawn))


async def _live(tx: Transaction, token_id: int) -> Token:
    """Raises SecretUnknown."""
    found = await rows.find(tx, token_id)
    if found is None or found.over:
        raise SecretUnknown(f"{token_id}" if found is None else f"{token_id} has ended")
    return found


def _kind(owner: Principal) -> Kind:
    return "robot" if owner.kind == "robot" else "personal"


async def _bound(tx: Transaction, places: Sequence[Scope]) -> Places:
    """Raises ProjectUnknown."""
    bound = [(await place.project_id(tx), place.pattern or WHOLE) for place in places]
    return tuple((project, pattern) for project, pattern in bound if project is not None)


def _shown(places: Places | None, projects: dict[int, str]) -> tuple[str | None, ...] | None:
    if places is None:
        return None
    return tuple(
        str(Scope(projects[project], None if pattern == WHOLE else pattern)) if project in projects else None
        for project, pattern in places
    )


async def _record(tx: Transaction, what: str, token: Token, by: By, **more: int) -> None:
    details = {"owner": token.owner, "name": token.name, "verbs": token.verbs, "places": token.places, **more}
    await events.record_change(
        tx, f"token.{what}", f"token:{token.id}", by.actor, project_id=token.project_id, details=details
    )
