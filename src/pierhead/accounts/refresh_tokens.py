"""Refresh tokens: what a client keeps after a sign-in, so that it need not keep the password.

One ends when it was not used for long, when it is revoked, and with the password that it was given for: what its owner
proved then is in its row, and has to count still.
"""

from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from hmac import compare_digest

import orjson

from pierhead.accounts import secret
from pierhead.errors import TokenUnknown, Unavailable
from pierhead.metadata import refresh_tokens as rows
from pierhead.metadata.database import Database, Transaction

_DAY = 86_400_000_000  # microseconds
_WRITTEN_EVERY = _DAY
_FORGOTTEN_AT_ONCE = 1000
_NAME_MAX = 128


@dataclass(frozen=True, slots=True)
class Proof:
    """What somebody proved: where, and which version of the password."""

    source: str = ""
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom a refresh token stands for, by a proof that may count no more."""

    id: int
    name: str
    token: int
    proof: Proof


class RefreshTokens:
    def __init__(self, database: Database, *, days: float, most: int) -> None:
        """`most` for each owner."""
        self._database = database
        self._lasts = int(days * _DAY)
        self._most = most

    async def give(self, principal_id: int, proof: Proof, *, client: str, address: str) -> str:
        """A new one. `client` is what its program calls itself."""
        drawn = secret.draw()
        made = await self._database.write(
            partial(
                self._add,
                principal_id=principal_id,
                name=_printable(client),
                hashed=secret.hashed(drawn),
                proof=orjson.dumps(asdict(proof)).decode(),
                address=address,
            )
        )
        return secret.show("refresh", made, drawn)

    async def take(self, text: str, *, address: str) -> Owner:
        """Whose it is. Raises TokenUnknown where it is none, or is over."""
        told = secret.read(text)
        if told is None or told.kind != "refresh":
            raise TokenUnknown("this is no refresh token")
        found = await self._database.read(partial(rows.find, token_id=told.id))
        if found is None or not compare_digest(told.hashed, found.hashed) or found.over:
            raise TokenUnknown("this refresh token has ended, or was revoked")
        if found.unused > _WRITTEN_EVERY:
            await self._note(found.id, address)
        proved = orjson.loads(found.proof or "{}")
        proof = Proof(proved.get("source", ""), proved.get("version"))
        return Owner(found.principal_id, found.owner, found.id, proof)

    async def _note(self, token_id: int, address: str) -> None:
        use = partial(rows.use, token_id=token_id, lasts=self._lasts, address=address)
        with suppress(Unavailable):  # the next use will be written down; this one need not fail for it
            await self._database.write(use, durable=False)

    async def _add(
        self, tx: Transaction, *, principal_id: int, name: str, hashed: bytes, proof: str, address: str
    ) -> int:
        made = await rows.add(
            tx, principal_id=principal_id, name=name, hashed=hashed, proof=proof, lasts=self._lasts, address=address
        )
        await rows.trim(tx, principal_id, most=self._most)
        return made

    async def any_over(self) -> bool:
        return await self._database.read(partial(rows.any_over, age=_DAY))

    async def forget(self) -> bool:
        """Removes some that ended; whether there may be more."""
        gone = await self._database.write(partial(rows.forget, age=_DAY, limit=_FORGOTTEN_AT_ONCE), durable=False)
        return gone == _FORGOTTEN_AT_ONCE


def _printable(text: str) -> str:
    return "".join(character for character in text[:_NAME_MAX] if character.isprintable())
