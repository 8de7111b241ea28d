"""The keys that bearer tokens are signed with: Ed25519 (RFC 8037), shared by all nodes, and changed now and then.

    made, published  →  signs, from `signs_from` on  →  is followed, and honoured to its end  →  removed

A key is published `LEAD` before it signs, so that whoever verifies tokens has it by then. It ends once no token can
live that it signed. Only the row of a key tells what it is good for, at the database's time.
"""

# ruff: noqa: PLC0415  the libraries are imported by the first token

import asyncio
import base64
import hashlib
import time
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import orjson

from pierhead.accounts.by import By
from pierhead.errors import Unavailable
from pierhead.metadata import clock, events
from pierhead.metadata import signing_keys as rows
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.locks import signing_keys as lock
from pierhead.metadata.signing_keys import SigningKey
from pierhead.verbs import Verb

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ALGORITHM = "EdDSA"
_SECOND = 1_000_000
_DAY = 86400 * _SECOND
LEAD = 3600 * _SECOND
# The longest life that a token can be given (setting tokens.life_seconds), and a moment for nodes that look up late.
_LONGEST_LIFE = _DAY + 60 * _SECOND
# What was read counts for so long. A key that nobody here knows is looked up at once, but no more often than this.
_FRESH = _SECOND


@dataclass(frozen=True, slots=True)
class Key:
    """A key, ready for use."""

    kid: str
    private: "Ed25519PrivateKey" = field(repr=False)
    public: "Ed25519PublicKey" = field(repr=False)
    document: dict[str, str]  # its public part (RFC 7517)
    secret: bytes = field(repr=False)  # for what is to be read by this registry alone


@dataclass(frozen=True, slots=True)
class _Seen:
    """The rows as they were, and how this machine's count stands to the database's clock."""

    rows: tuple[SigningKey, ...] = ()
    at: int = -_FRESH - 1  # this machine's count
    offset: int = 0
    kids: frozenset[str] = frozenset()

    def good(self, now: int) -> list[SigningKey]:
        return [row for row in self.rows if _is_good(row, now)]


class SigningKeys:
    def __init__(self, database: Database, *, days: float) -> None:
        self._database = database
        self._period = int(days * _DAY)
        self._seen = _Seen()
        self._missed_at = -_FRESH - 1
        self._missing = asyncio.Lock()

    def now(self) -> int:
        """Microseconds since 1970, by the database's clock; after any of those below."""
        return self._seen.offset + _count()

    @property
    def fresh(self) -> bool:
        """Whether what is known of keys is of this moment."""
        return _count() - self._seen.at < _FRESH

    def has(self, kid: str) -> bool:
        """Whether a key is among those that were read last."""
        return kid in self._seen.kids

    async def look(self) -> None:
        """While the database is away, keys that are known count on: whether anything is served, others decide."""
        if self.fresh:
            return
        try:
            await self._read()
        except Unavailable:
            if not self._seen.rows:
                raise
            self._seen = replace(self._seen, at=_count())

    async def signing(self) -> Key:
        """The one to sign with now; the first that is ever asked for is made."""
        await self.look()
        found = self._signing()
        if found is None:
            made = make()
            await self._database.write(partial(_begin, made=made))
            await self._read()
            found = self._signing()
        assert found is not None  # noqa: S101  it was just made
        return opened(found.private)

    async def find(self, kid: str) -> Key | None:
        """The key of a token, if tokens of it are still good."""
        if self.has(kid):
            await self.look()
        else:  # another node may have made it just now
            await self._look_for(kid)
        found = next((row for row in self._seen.good(self.now()) if row.kid == kid), None)
        return opened(found.private) if found else None

    async def _look_for(self, kid: str) -> None:
        """Those who ask at once are all answered by what the first of them reads."""
        async with self._missing:
            if not self.has(kid) and _count() - self._missed_at >= _FRESH:
                self._missed_at = _count()
                await self._read()

    async def published(self) -> list[dict[str, str]]:
        """What others verify tokens with, the next key among them."""
        await self.look()
        return [opened(row.private).document for row in self._seen.good(self.now())]

    # Changing them

    async def wants_change(self) -> bool:
        await self._read()
        now = self.now()
        ended = any(row.ends_at is not None and row.ends_at < now for row in self._seen.rows)
        return ended or self._is_due(self._seen.rows, now)

    async def change(self) -> None:
        """Publishes the next key where its time has come, and removes those that ended."""
        made = make()
        await self._database.write(partial(self._change, made=made))

    async def replace(self, *, by: By) -> str:
        """For when a key became known: a new one signs at once, and what any other signed is worth nothing.

        Returns its name. Raises GivesTooMuch.
        """
        by.require(frozenset({Verb.WRITE_SYSTEM}))
        made = make()
        await self._database.write(partial(_replace, made=made, by=by))
        await self._read()
        return made.kid

    async def _change(self, tx: Transaction, *, made: SigningKey) -> None:
        await tx.lock(lock())
        now = await clock.read(tx)
        found = await rows.find_all(tx)
        if self._is_due(found, now):
            begins = max(found[0].signs_from + self._period, now + LEAD)
            await rows.end_all(tx, at=begins + _LONGEST_LIFE)
            await _add(tx, made, signs_from=begins)
        await rows.remove_ended(tx)

    def _is_due(self, found: "list[SigningKey] | tuple[SigningKey, ...]", now: int) -> bool:
        """Whether the last key is soon to be followed. The first one is made when somebody needs it."""
        return bool(found) and found[0].signs_from + self._period - LEAD <= now

    def _signing(self) -> SigningKey | None:
        now = self.now()
        return next((row for row in self._seen.good(now) if row.signs_from <= now), None)

    async def _read(self) -> None:
        at = _count()
        now, found = await self._database.read(_all)
        self._seen = _Seen(tuple(found), at, now - _count(), frozenset(row.kid for row in found))


async def _all(tx: Transaction) -> tuple[int, list[SigningKey]]:
    found = await rows.find_all(tx)
    return await clock.read(tx), found


async def _begin(tx: Transaction, *, made: SigningKey) -> None:
    """Makes the first key, unless another node has: then that one is it."""
    await tx.lock(lock())
    now = await clock.read(tx)
    found = await rows.find_all(tx)
    if not any(row.signs_from <= now and _is_good(row, now) for row in found):
        await _add(tx, made, signs_from=now)


def _is_good(row: SigningKey, now: int) -> bool:
    return row.algorithm == ALGORITHM and (row.ends_at is None or row.ends_at > now)


async def _replace(tx: Transaction, *, made: SigningKey, by: By) -> None:
    await tx.lock(lock())
    gone = [row.kid for row in await rows.find_all(tx)]
    await rows.remove_all(tx)
    await _add(tx, made, signs_from=await clock.read(tx))
    await events.record_change(tx, "signer.replaced", f"signer:{made.kid}", by.actor, details={"before": gone})


async def _add(tx: Transaction, made: SigningKey, *, signs_from: int) -> None:
    await rows.add(tx, kid=made.kid, algorithm=made.algorithm, private=made.private, signs_from=signs_from)


def make() -> SigningKey:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return SigningKey(opened(private).kid, ALGORITHM, private, signs_from=0, ends_at=None)


@lru_cache(maxsize=64)
def opened(private: bytes) -> Key:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = serialization.load_der_private_key(private, password=None)
    assert isinstance(key, Ed25519PrivateKey)  # noqa: S101  rows of another algorithm are left out
    public = key.public_key()
    named = {"crv": "Ed25519", "kty": "OKP", "x": _encoded(public.public_bytes_raw())}
    kid = _thumbprint(named)
    secret = hashlib.blake2b(key.private_bytes_raw(), digest_size=32, person=b"pierhead secret").digest()
    return Key(kid, key, public, {**named, "kid": kid, "alg": ALGORITHM, "use": "sig"}, secret)


def _thumbprint(named: dict[str, str]) -> str:
    """RFC 7638, of the members that RFC 8037 names, which are in order."""
    return _encoded(hashlib.sha256(orjson.dumps(named, option=orjson.OPT_SORT_KEYS)).digest())


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def _count() -> int:
    """Microseconds since this machine started, those included in which it slept."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
