"""How events are found: by an index that begins with what is asked for, in the order of time, however many."""

import re
from typing import Any

import pytest

from pierhead.metadata import repositories, trail
from pierhead.metadata.database import Transaction
from pierhead.metadata.trail import PAST_ALL, Filters
from tests.metadata.rows import APP, OTHER
from tests.metadata.test_history import Planned

pytestmark = pytest.mark.anyio

EVENTS = 20_000
# Nearly all of them are of somebody else, elsewhere; those that are asked for are the oldest.
_FILL = f"""
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {EVENTS})
INSERT INTO events (at, action, repository_id, actor, credential, address, agent, request_id, subject, credential_id,
                    sequence, seal)
SELECT n, CASE WHEN n < 30 THEN 'tag.deleted' ELSE 'manifest.pulled' END,
       CASE WHEN n < 30 THEN CAST(:one AS BIGINT) ELSE CAST(:other AS BIGINT) END,
       CASE WHEN n < 30 THEN 'alice' ELSE 'bob' END, 'basic', CASE WHEN n < 30 THEN '192.0.2.1' ELSE '192.0.2.2' END,
       '', CASE WHEN n < 30 THEN 'r1' ELSE 'r' || n END, CASE WHEN n < 30 THEN 'user:alice' ELSE 'user:bob' END,
       CASE WHEN n < 30 THEN 7 ELSE n END, CASE WHEN n <= {EVENTS} - 20 THEN n END, :seal
  FROM numbers
"""


@pytest.fixture
async def filled(tx: Transaction) -> Transaction:
    one, other = await repositories.ensure(tx, APP), await repositories.ensure(tx, OTHER)
    await tx.execute(_FILL, one=one, other=other, seal=bytes(32))
    await tx.execute("ANALYZE")
    return tx


ASKED: dict[str, dict[str, Any]] = {
    "time": {},
    "actor": {"actor": "alice"},
    "action": {"action": "tag.deleted"},
    "repository_id": {},
    "address": {"address": "192.0.2.1"},
    "subject": {"subject": "user:alice"},
    "credential_id": {"credential_id": 7},
    "request_id": {"request_id": "r1"},
}
_INDEX = re.compile(r"(?:using|USING) (?:COVERING )?(?:INDEX )?(\w+)")


@pytest.mark.parametrize("name", ASKED)
async def test_nothing_is_read_but_what_is_shown(filled: Transaction, name: str) -> None:
    asked = ASKED[name]
    if name == "repository_id":
        asked = {name: await repositories.identify(filled, APP)}
    planned = Planned(filled)
    found = await trail.sealed(planned, Filters(**asked, since=5, until=None), before=(25, 0), limit=10)

    assert [event.at for event in found] == list(range(24, 14, -1))
    [plan] = planned.plans
    index = f"sealed_by_{name.removesuffix('_id')}"
    assert index in _INDEX.findall(plan), plan
    assert "Seq Scan on events" not in plan
    assert not re.search(r"SCAN events\b", plan)
    # What is shown is put in order again after the names of repositories; what is looked through is not.
    assert plan.count("Sort Key") + plan.count("TEMP B-TREE") <= 1, plan
    assert not re.search(r" on events.*Filter: ", plan, re.DOTALL), plan


async def test_what_is_not_sealed_is_found_by_an_index_of_its_own(filled: Transaction) -> None:
    planned = Planned(filled)
    found = await trail.unsealed(planned, limit=100)

    assert len(found) == 20
    assert "events_unsealed" in planned.plans[0]


async def test_pages_go_on_where_the_one_before_ended(filled: Transaction) -> None:
    filters, place, seen = Filters(actor="alice"), PAST_ALL, []
    while found := await trail.sealed(filled, filters, before=place, limit=7):
        seen += [event.at for event in found]
        place = found[-1].place

    assert seen == list(range(29, 0, -1))


async def test_what_comes_after_a_number_is_found_in_its_order(filled: Transaction) -> None:
    planned = Planned(filled)
    found = await trail.after(planned, 100, limit=5)

    assert [event.sequence for event in found] == [101, 102, 103, 104, 105]
    assert "events_in_chain" in planned.plans[0]
