"""Numbering events and chaining them, signing how far the chain goes, and letting go of old ones.

Any number of processes may do so at once: whoever goes on with the chain holds its row.
"""

# ruff: noqa: PLC0415

import asyncio
import itertools
import time
from typing import TYPE_CHECKING

from pierhead.metadata import clock, seals, secrets
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.seals import Chain
from pierhead.registry.audit import chain as chains
from pierhead.registry.audit.chain import Statement

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_AT_ONCE = 200  # events of a transaction: pushes wait for it where one writes after another
BEHIND = 5000  # events that wait
_REST = 9  # times as long as sealing some took
_PRUNED_AT_ONCE = 500
_HEAD_EVENTS = 10_000
_SECOND = 1_000_000
_DAY = 86_400 * _SECOND
_KEY = "audit"
_COUNTED = 100_000


class Sealing:
    def __init__(self, database: Database, *, head_seconds: float, keep_days: float) -> None:
        self._database = database
        self._head_age = int(head_seconds * _SECOND)
        self._keep = int(keep_days * _DAY)
        self._key: Ed25519PrivateKey | None = None

    async def wanted(self) -> bool:
        return await self._database.read(self._wanted)

    async def waiting(self) -> int:
        """How many events are not sealed yet; at most 100,000 are counted."""
        return await self._database.read(lambda tx: seals.count_unsealed(tx, limit=_COUNTED))

    async def behind(self) -> bool:
        """Whether so many wait that not all of them are looked at where events are shown."""
        return await self._database.read(lambda tx: seals.count_unsealed(tx, limit=BEHIND)) == BEHIND

    async def run(self) -> None:
        """Seals what waits, and signs where the chain stands, if that is due."""
        while True:
            began = time.monotonic()
            if not await self.seal():
                break
            await self.sign()
            # Others write too, and nobody waits for a seal: a tenth of the time is enough for 1,000 events a second
            # beside pushes, and what is more is sealed after them. But what is not sealed can be altered unseen.
            took = time.monotonic() - began
            await asyncio.sleep(min(1.0, took * (1 if await self.behind() else _REST)))
        await self.sign()

    async def seal(self) -> int:
        """Seals some, and returns how many."""

        async def seal(tx: Transaction) -> int:
            chain = await seals.hold_chain(tx)
            waiting = await seals.unsealed(tx, limit=_AT_ONCE)
            if waiting:
                chain, made = chains.sealed(chain, waiting)
                await seals.seal(tx, made)
                await seals.put_chain(tx, chain)
            return len(waiting)

        return await self._database.write(seal, durable=False)

    async def sign(self, *, now: bool = False) -> None:
        """Where a head is due, or at once. What it says is durable before anybody is told of it."""
        if not now and not await self._database.read(self._head_due):
            return
        key = await self._signing_key()

        async def sign(tx: Transaction) -> None:
            chain = await seals.hold_chain(tx)
            if now or await self._head_due(tx):
                await _add_head(tx, chain, key)

        await self._database.write(sign)

    async def any_old(self, upto: int) -> bool:
        return self._keep > 0 and await self._database.read(lambda tx: self._any_old(tx, upto))

    async def prune_all(self, upto: int) -> None:
        """Lets go of all that are too old, up to a number."""
        began = time.monotonic()
        while await self.prune(upto):
            await asyncio.sleep(min(1.0, time.monotonic() - began))
            began = time.monotonic()

    async def prune(self, upto: int) -> int:
        """Lets go of some events that are too old, up to a number; returns how many it looked at.

        Those that others need stay, and a signed head says which of them there are. Raises TrailBroken where the next
        one is not as it was sealed: nobody shall have his changes forgotten, or signed, by waiting.
        """
        if not self._keep:
            return 0
        key = await self._signing_key()

        async def prune(tx: Transaction) -> int:
            chain = await seals.hold_chain(tx)
            oldest = await clock.read(tx) - self._keep
            found = await seals.walk(tx, after=chain.pruned + 1, limit=_PRUNED_AT_ONCE)
            last = min(upto, chain.sequence)
            old = itertools.takewhile(lambda one: one.columns["at"] < oldest and one.sequence <= last, found)
            going = chains.unbroken(chain, old)
            if not going:
                return 0
            lasting = await seals.lasting(tx, going)
            await seals.remove(tx, [one.columns["id"] for one in going if one.columns["id"] not in lasting])
            chain = chains.pruned(chain, going, lasting)
            await seals.put_chain(tx, chain)
            await _add_head(tx, chain, key)
            return len(going)

        return await self._database.write(prune)

    async def _wanted(self, tx: Transaction) -> bool:
        return await seals.any_unsealed(tx) or await self._head_due(tx)

    async def _any_old(self, tx: Transaction, upto: int) -> bool:
        chain = await seals.chain(tx)
        first = await seals.walk(tx, after=chain.pruned + 1, limit=1)
        oldest = await clock.read(tx) - self._keep
        return bool(first) and first[0].columns["at"] < oldest and first[0].sequence <= upto

    async def _head_due(self, tx: Transaction) -> bool:
        chain, last = await seals.chain(tx), await seals.last_head(tx)
        if last is None:
            return chain.sequence > 0
        if chain.sequence == last.sequence:
            return False
        if chain.sequence - last.sequence >= _HEAD_EVENTS:
            return True
        return await clock.read(tx) - Statement.read(last.said, last.signature).at >= self._head_age

    async def _signing_key(self) -> "Ed25519PrivateKey":
        if self._key is None:
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

            self._key = Ed25519PrivateKey.from_private_bytes(await secrets.shared(self._database, _KEY))
        return self._key


async def _add_head(tx: Transaction, chain: Chain, key: "Ed25519PrivateKey") -> None:
    made = chains.state(chain, await clock.read(tx), key)
    await seals.add_head(tx, chain.sequence, made.said, made.signature)
