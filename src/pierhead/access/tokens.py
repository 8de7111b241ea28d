"""Personal tokens and the secrets of robots, as passwords or as bearer tokens: a look-up and one SHA-256."""

import hmac
import logging
import time
from collections import OrderedDict

from pierhead.access.principal import Principal
from pierhead.access.rights import TokenBounds
from pierhead.accounts import secret
from pierhead.errors import Unauthenticated, Unavailable
from pierhead.metadata import rights as rows
from pierhead.metadata import sign_ins
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.rights import Holder, Ticket
from pierhead.patterns import Pattern
from pierhead.verbs import known

_KINDS = frozenset(("personal", "robot"))
# So often is it written that a token was used.
_USED_SECONDS = 60.0
_REMEMBERED = 10_000

log = logging.getLogger(__name__)


class Tokens:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._used: OrderedDict[tuple[int, str], float] = OrderedDict()

    def suits(self, text: bytes) -> bool:
        """Whether it looks like one."""
        return text.startswith(b"phd_")

    async def check(self, text: bytes, address: str) -> Principal:
        """Whose it is. That it was used is written down now and then. Raises Unauthenticated."""
        told = secret.read(text.decode("ascii", "replace"))
        if told is None:
            raise Unauthenticated("this token is not whole")
        found = await self._database.read(lambda tx: _find(tx, told.id))
        if found is None or not hmac.compare_digest(found[0].hashed, told.hashed):
            raise Unauthenticated("no such token")
        ticket, holder = found
        if ticket.kind not in _KINDS or ticket.kind != told.kind:
            raise Unauthenticated("a token of this kind does not sign in")
        if ticket.revoked_at is not None:
            raise Unauthenticated("this token was revoked")
        if ticket.expires_at is not None and ticket.expires_at < time.time() * 1e6:
            raise Unauthenticated("this token has expired")
        await self._note(told.id, address)
        return Principal(
            holder.name, "token", holder.id, token=told.id, source=holder.source, narrowed=bounds_of(ticket)
        )

    async def _note(self, token_id: int, address: str) -> None:
        key, now = (token_id, address), time.monotonic()
        if self._used.get(key, -_USED_SECONDS) + _USED_SECONDS > now:
            return
        self._used[key] = now
        self._used.move_to_end(key)
        while len(self._used) > _REMEMBERED:
            self._used.popitem(last=False)
        try:
            await self._database.write(lambda tx: sign_ins.used(tx, token_id, address), durable=False)
        except Unavailable as error:  # a registry that takes no writes now still lets it in
            log.info("the use of a token was not written down", extra={"reason": str(error)})


async def _find(tx: Transaction, token_id: int) -> tuple[Ticket, Holder] | None:
    ticket = await rows.ticket(tx, token_id)
    holder = await rows.holder(tx, ticket.principal_id) if ticket else None
    return (ticket, holder) if ticket and holder else None


def bounds_of(ticket: Ticket) -> TokenBounds | None:
    """What a token takes away of what its owner holds."""
    if ticket.verbs is None and ticket.places is None:
        return None
    verbs = None if ticket.verbs is None else known(ticket.verbs)
    places = None if ticket.places is None else tuple((pid, Pattern.parse(text)) for pid, text in ticket.places)
    return TokenBounds(verbs, places)
