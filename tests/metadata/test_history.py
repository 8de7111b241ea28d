"""How the statements of the history find their rows: by an index, in its order, however many there are."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from pierhead.metadata import history, repositories
from pierhead.metadata.database import Row, Transaction, Value
from pierhead.models import RepositoryName, TagName
from tests.metadata.rows import APP, OTHER

pytestmark = pytest.mark.anyio

ENTRIES = 20_000
TAGS = 500
LAST = (1 << 63) - 1

# Half of the entries are of another repository, and one tag has half of what is left.
_FILL = f"""
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {ENTRIES})
INSERT INTO events (at, action, repository_id, actor, credential, address, agent, request_id)
SELECT n, 'manifest.pushed', CASE n % 2 WHEN 0 THEN CAST(:one AS BIGINT) ELSE CAST(:other AS BIGINT) END,
       'alice', 'basic', '', '', ''
  FROM numbers
"""
_MOVES = f"""
INSERT INTO tag_history (repository_id, name, action, before, after, event_id)
SELECT repository_id, 't' || CASE WHEN at % 4 < 2 THEN 0 ELSE at % {TAGS} END, 'moved', 'sha256:a', 'sha256:b', id
  FROM events ORDER BY id
"""


class Planned:
    """A transaction that keeps the plan of each statement that it is asked."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self.plans: list[str] = []

    async def lock(self, *locks: Any) -> None:
        raise NotImplementedError

    async def fetch_all(self, sql: str, **parameters: Value) -> list[Row]:
        await self._plan(sql, **parameters)
        return await self._tx.fetch_all(sql, **parameters)

    async def fetch_one(self, sql: str, **parameters: Value) -> Row | None:
        await self._plan(sql, **parameters)
        return await self._tx.fetch_one(sql, **parameters)

    async def execute(self, sql: str, **parameters: Value) -> int:
        raise NotImplementedError

    async def execute_many(self, sql: str, rows: Any) -> None:
        raise NotImplementedError

    async def _plan(self, sql: str, **parameters: Value) -> None:
        embedded = "Sqlite" in type(self._tx).__name__
        rows = await self._tx.fetch_all(f"EXPLAIN {'QUERY PLAN' * embedded} {sql}", **parameters)
        self.plans.append("\n".join(str(row[-1]) for row in rows))


@pytest.fixture
async def filled(tx: Transaction) -> Transaction:
    one, other = await repositories.ensure(tx, APP), await repositories.ensure(tx, OTHER)
    for number in range(300):
        await repositories.ensure(tx, RepositoryName(f"team/r{number}"))
    await tx.execute(_FILL, one=one, other=other)
    await tx.execute(_MOVES)
    await tx.execute("ANALYZE")
    return tx


def wasteful(plan: str) -> list[str]:
    """The steps that read more of what grows than an index has of what is asked for."""
    growing = "moves|tag_history|events|repositories"
    steps = re.split(r"\n *(?:->|CORRELATED|SCALAR)", plan)
    whole = re.compile(
        rf"Seq Scan on ({growing})|SCAN (tag_history|events|repositories)\b|USE TEMP B-TREE FOR (GROUP|DISTINCT|LAST)"
    )
    passing = re.compile(r" on (tag_history|events).*Filter: .*(repository_id|name) =", re.DOTALL)
    return [step for step in steps if whole.search(step) or passing.search(step)]


ASKED: list[tuple[str, Callable[[Transaction, int], Any]]] = [
    ("repository", lambda tx, one: history.of_repository(tx, one, before=LAST, limit=50)),
    ("tag", lambda tx, one: history.of_tag(tx, one, TagName("t0"), before=LAST, limit=50)),
    ("last", lambda tx, one: history.last(tx, one, before=LAST)),
    ("tags at", lambda tx, one: history.tags_at(tx, one, LAST - 1, after="t3", limit=50)),
    ("tag at", lambda tx, one: history.tag_at(tx, one, LAST - 1, TagName("t0"))),
    ("incarnation", lambda tx, one: history.incarnation(tx, APP, one)),
    ("incarnation at", lambda tx, one: history.incarnation_at(tx, APP, LAST)),
]


@pytest.mark.parametrize(("name", "ask"), ASKED, ids=[name for name, _ in ASKED])
async def test_nothing_is_read_but_what_is_shown(
    filled: Transaction, name: str, ask: Callable[[Transaction, int], Any]
) -> None:
    one = await repositories.identify(filled, APP)
    assert one
    planned = Planned(filled)
    found = await ask(planned, one)

    assert found
    assert len(planned.plans) == 1
    assert wasteful(planned.plans[0]) == [], planned.plans[0]


async def test_a_page_of_a_moment_steps_from_name_to_name(filled: Transaction) -> None:
    one = await repositories.identify(filled, APP)
    assert one

    names = sorted(
        {name for (name,) in await filled.fetch_all("SELECT name FROM tag_history WHERE repository_id = :one", one=one)}
    )
    found = await history.tags_at(filled, one, ENTRIES, after="", limit=1000)
    assert [pointing.tag for pointing in found] == names
    assert [pointing.tag for pointing in await history.tags_at(filled, one, ENTRIES, after=names[9], limit=3)] == names[
        10:13
    ]
    assert await history.tags_at(filled, one, ENTRIES, after=names[-1], limit=3) == []
