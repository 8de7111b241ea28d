"""Manifests that no tag points to any more: into the trash after a time, where the settings ask for that."""

from dataclasses import dataclass
from functools import partial

from pierhead.errors import ManifestUnknown, Pinned, StillNeeded
from pierhead.metadata import locks, manifests, repositories
from pierhead.metadata import untagged as rows
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.untagged import Position, Untagged
from pierhead.registry.deleting import Deleting
from pierhead.registry.purging import JOB

_HOUR = 3_600_000_000  # microseconds
_LOOKED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Expiry:
    """`keep_hours`: since the last tag left; None keeps them for ever."""

    database: Database
    deleting: Deleting
    keep_hours: float | None

    @property
    def _age(self) -> int:
        return int((self.keep_hours or 0) * _HOUR)

    async def any_old(self) -> bool:
        return self.keep_hours is not None and await self.database.read(partial(rows.any_old, age=self._age))

    async def expire(self) -> int:
        """One look at all that are old enough, each once; returns how many went into the trash."""
        count = 0
        position: Position | None = Position(0, 0) if self.keep_hours is not None else None
        while position is not None:
            page = await self.database.read(partial(rows.page, age=self._age, after=position, limit=_LOOKED_AT_ONCE))
            for one in page.unwanted:
                count += await self._throw_away(one)
            position = page.last
        return count

    async def _throw_away(self, one: Untagged) -> bool:
        async def throw_away(tx: Transaction) -> bool:
            await tx.lock(locks.repository(one.repository))
            repository_id = await repositories.identify(tx, one.repository)
            if repository_id is None or not await rows.is_unwanted(tx, repository_id, one.id, age=self._age):
                return False
            manifest = await manifests.find(tx, repository_id, one.digest)
            if manifest is None:
                raise ManifestUnknown(one.digest)
            reason = f"no tag for {self.keep_hours:g} hours"
            await self.deleting.manifest(tx, one.repository, repository_id, manifest, actor=JOB, reason=reason)
            return True

        try:
            return await self.database.write(throw_away, durable=False)
        except (StillNeeded, Pinned):  # since it was looked at
            return False
