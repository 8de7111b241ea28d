"""Who is signed in to the pages. What the browser holds has 256 random bits, and only its hash is kept.

A session says who somebody is and nothing of what they may do: that is decided at each request, so that whoever is
disabled, or gets another password, is out at once. The API knows no sessions.
"""

import hashlib
import json
import secrets
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Literal

from pierhead.access.principal import Principal
from pierhead.access_settings import PageSettings
from pierhead.errors import Unavailable
from pierhead.metadata import sessions as rows
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.secrets import shared

How = Literal["password", "oidc", "setup"]

_HOUR = 3_600_000_000  # microseconds
_AGENT_MAX = 256
_VALUE_MAX = 128


@dataclass(frozen=True, slots=True)
class Session:
    """`key` is the hash of what the browser holds; it shows nobody the way in."""

    key: bytes
    principal: Principal
    how: How
    made_at: int
    touched_at: int
    address: str
    agent: str

    @property
    def label(self) -> str:
        """What it is called in forms."""
        return self.key.hex()


class Sessions:
    def __init__(self, database: Database, settings: PageSettings) -> None:
        self._database = database
        self._limits = rows.Limits(int(settings.session_idle_hours * _HOUR), int(settings.session_hours * _HOUR))

    async def secret(self) -> bytes:
        """For the signatures of forms, and whatever else pages seal: the same in every process."""
        return await shared(self._database, "pages")

    async def open(
        self, principal: Principal, how: How, *, address: str, agent: str, instead: Session | None = None
    ) -> str:
        """What the browser shall hold: never what it held before, so that nobody can have planted it."""
        if principal.id is None:
            raise ValueError("a session is somebody's")
        owner, value = principal.id, secrets.token_urlsafe(32)
        proof = json.dumps({"how": how, "version": principal.version})

        async def open_(tx: Transaction) -> None:
            await rows.sweep(tx, self._limits)
            if instead is not None:
                await rows.end(tx, instead.key, instead.principal.id or 0)
            await rows.add(tx, _hashed(value), owner, proof, address=address, agent=_line(agent))

        await self._database.write(open_)
        return value

    async def find(self, value: str, address: str) -> Session | None:
        """Whose it is; None where it has ended. Whether they are still let in is asked of `Access.standing`."""
        if not 0 < len(value) <= _VALUE_MAX:
            return None
        found = await self._database.read(partial(rows.find, hashed=_hashed(value), limits=self._limits))
        if found is None:
            return None
        if found.stale:
            with suppress(Unavailable):  # a registry that takes no writes now still shows its pages
                touch = partial(rows.touch, hashed=found.hashed, address=address)
                await self._database.write(touch, durable=False)
        return _session(found)

    async def of(self, session: Session) -> list[Session]:
        """All of the same user, the one that was used last first."""
        found = await self._database.read(partial(rows.of, principal_id=session.principal.id or 0, limits=self._limits))
        return [_session(row) for row in found]

    async def end(self, session: Session) -> None:
        await self._database.write(partial(rows.end, hashed=session.key, principal_id=session.principal.id or 0))

    async def end_labelled(self, session: Session, label: str) -> bool:
        """Another one of the same user; False where there is none."""
        try:
            key = bytes.fromhex(label)
        except ValueError:
            return False
        return await self._database.write(partial(rows.end, hashed=key, principal_id=session.principal.id or 0))

    async def end_others(self, session: Session) -> int:
        return await self._database.write(
            partial(rows.end_others, hashed=session.key, principal_id=session.principal.id or 0)
        )


def _session(row: rows.Row) -> Session:
    proof = json.loads(row.proof)
    principal = Principal(row.name, "session", row.principal_id, version=proof.get("version"), source=row.source)
    return Session(row.hashed, principal, proof["how"], row.made_at, row.touched_at, row.address, row.agent)


def _hashed(value: str) -> bytes:
    return hashlib.sha256(value.encode()).digest()


def _line(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text[:_AGENT_MAX])
