"""Rows of events as somebody looks for them: by who, what, where, through what and when, the latest first.

Sealed events are found by an index that begins with what is asked for and goes on in the order of time. Those that are
not sealed yet are few, and are looked through.
"""

from dataclasses import dataclass
from typing import Any

from pierhead.metadata.database import Row, Transaction, Value
from pierhead.models import Actor, Digest, RepositoryName, TagName

PAST_ALL = ((1 << 63) - 1, (1 << 63) - 1)
Place = tuple[int, int]  # time and id: where a page goes on


@dataclass(frozen=True, slots=True)
class Event:
    id: int
    at: int  # microseconds since 1970, by the database's clock
    action: str
    outcome: str
    actor: Actor
    repository: RepositoryName | None  # as it is called now
    repository_id: int | None
    project_id: int | None
    tag: TagName | None
    before: Digest | None
    after: Digest | None
    subject: str | None
    reason: str | None
    details: str | None  # JSON
    sequence: int | None  # None: not sealed yet

    @property
    def place(self) -> Place:
        return self.at, self.id


@dataclass(frozen=True, slots=True)
class Filters:
    """What is looked for; all of it must fit. `since` is the first moment, `until` is past the last."""

    actor: str | None = None
    action: str | None = None
    repository_id: int | None = None
    address: str | None = None
    subject: str | None = None
    credential_id: int | None = None
    request_id: str | None = None
    outcome: str | None = None
    since: int | None = None
    until: int | None = None

    def fits(self, event: Event) -> bool:
        return (
            self.actor in (None, event.actor.name)
            and self.action in (None, event.action)
            and self.repository_id in (None, event.repository_id)
            and self.address in (None, event.actor.address)
            and self.subject in (None, event.subject)
            and self.credential_id in (None, event.actor.credential_id)
            and self.request_id in (None, event.actor.request_id)
            and self.outcome in (None, event.outcome)
        )

    @property
    def by_index(self) -> bool:
        """Whether what leads is all that is asked for, besides times."""
        return self.outcome is None and sum(getattr(self, column) is not None for column in _LEADING) <= 1

    def led(self) -> tuple[str, Value] | None:
        """The column by whose index it is looked for: that which leaves the fewest, as far as one can tell."""
        for column in _LEADING:
            value: Value = getattr(self, column)
            if value is not None:
                return column, value
        return None


_LEADING = ("request_id", "credential_id", "subject", "address", "repository_id", "actor", "action")
_COLUMNS = """
       found.id, found.at, found.action, found.outcome, found.actor, found.credential, found.address, found.agent,
       found.request_id, found.credential_id, repositories.name, found.repository_id, found.project_id, found.tag,
       found.before, found.after, found.subject, found.reason, found.details, found.sequence
"""


def _event(row: Row) -> Event:
    identity, at, action, outcome, name, credential, address, agent, request_id, credential_id, *rest = row
    actor = Actor(name, credential, address, agent, request_id, credential_id=credential_id)
    repository, repository_id, project_id, tag, before, after, *words = rest
    return Event(
        identity,
        at,
        action,
        outcome,
        actor,
        RepositoryName(repository) if repository else None,
        repository_id,
        project_id,
        TagName(tag) if tag else None,
        Digest(before) if before else None,
        Digest(after) if after else None,
        *words,
    )


async def sealed(tx: Transaction, filters: Filters, *, before: Place, limit: int) -> list[Event]:
    """Up to `limit` past a place, the latest first, that fit what leads and the times; the rest is not looked at.

    PostgreSQL is kept from the order of time alone, in which it would walk past everybody else: where rows are compared
    as wholes, no other index than theirs gives that order.
    """
    led = filters.led()
    where, order = _BY_TIME, "at DESC, id DESC"
    given: dict[str, Any] = {"at": before[0], "id": before[1], "since": filters.since or 0}
    if led is not None:
        column, given["value"] = led
        where, order = _BY_COLUMN.format(column=column), f"/*! {column} DESC, */ at DESC, id DESC"
    rows = await tx.fetch_all(
        f"""
        SELECT {_COLUMNS}
          FROM (SELECT * FROM events WHERE sequence IS NOT NULL AND {where} ORDER BY {order} LIMIT :limit) AS found
          LEFT JOIN repositories ON repositories.id = found.repository_id
         ORDER BY found.at DESC, found.id DESC
        """,
        limit=limit,
        **given,
    )
    return [_event(row) for row in rows]


_BY_TIME = "at >= :since AND (at, id) < (:at, :id)"
_BY_COLUMN = """
    {column} IS NOT NULL AND (/*! TRUE OR */ {column} = :value AND at >= :since AND (at, id) < (:at, :id))
    /*! AND ({column}, at, id) < (:value, :at, :id) AND ({column}, at) >= (:value, :since) */
"""


async def unsealed(tx: Transaction, *, limit: int) -> list[Event]:
    """The youngest of those that are not sealed yet; there are seldom more."""
    rows = await tx.fetch_all(
        f"""
        SELECT {_COLUMNS}
          FROM (SELECT * FROM events WHERE sequence IS NULL ORDER BY id DESC LIMIT :limit) AS found
          LEFT JOIN repositories ON repositories.id = found.repository_id
        """,
        limit=limit,
    )
    return [_event(row) for row in rows]


async def after(tx: Transaction, sequence: int, *, limit: int) -> list[Event]:
    """Events past one, in the order of the chain, which has no gaps: so nothing comes in between later on."""
    rows = await tx.fetch_all(
        f"""
        SELECT {_COLUMNS}
          FROM (SELECT * FROM events WHERE sequence IS NOT NULL AND sequence > :sequence
                 ORDER BY sequence LIMIT :limit) AS found
          LEFT JOIN repositories ON repositories.id = found.repository_id
         ORDER BY found.sequence
        """,
        sequence=sequence,
        limit=limit,
    )
    return [_event(row) for row in rows]
