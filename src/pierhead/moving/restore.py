"""Restoring a backup: the same copy as taking it, into a registry that holds nothing yet."""

from functools import partial

from pierhead.errors import ConfigurationError
from pierhead.metadata import copies, copying, moves
from pierhead.metadata.database import Database, Transaction
from pierhead.moving import backup
from pierhead.moving.progress import Progress
from pierhead.moving.side import Copied, Side


async def restore(
    source: Side, target: Side, place: str, progress: Progress, *, read: bool = False, copied: bool = False
) -> Copied:
    """`place` says where the backup is, `copied` whether the target's store keeps copies of rows.

    Until the end the target refuses to be served.
    """
    await claim(target.database, place)
    done = await backup.copy(source, target, progress, read=read)
    await target.database.write(partial(arrive, copied=copied))
    return done


async def arrive(tx: Transaction, *, copied: bool) -> None:
    """From now on the registry can be served. Harmless where it could already."""
    if copied and await moves.place(tx, "filling") is not None:
        await copies.owe_everything(tx)
    await moves.leave(tx, "filling")


async def claim(database: Database, place: str) -> None:
    """Raises ConfigurationError where the registry holds something already, and not of an earlier try."""

    async def claim(tx: Transaction) -> str | None:
        filling = await moves.place(tx, "filling")
        if filling is None and not await copying.is_empty(tx):
            return "the target holds content already; choose an empty database and an empty store"
        if filling not in (None, place):
            return f"the target is being filled from {filling}; finish that, or choose an empty one"
        await moves.enter(tx, "filling", place)
        return None

    mistake = await database.write(claim)
    if mistake is not None:
        raise ConfigurationError([mistake])
