"""The chain of seals, and finding out what somebody changed, on both databases."""

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial

import pytest

from pierhead.errors import TrailBroken
from pierhead.metadata import seals
from pierhead.metadata.database import Copyable, Transaction
from pierhead.registry.audit import Audit
from pierhead.registry.audit import chain as chains
from pierhead.registry.audit.chain import Statement
from tests.contracts.database import Place
from tests.registry.audit.trails import change, faults, happen, heads, sealed, trail

pytestmark = pytest.mark.anyio

Both = tuple[Audit, Copyable]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def both(place: Place) -> AsyncIterator[Both]:
    async with trail(place) as both:
        yield both


async def test_events_are_numbered_without_gaps_and_the_chain_is_whole(both: Both) -> None:
    audit, database = both
    await sealed(audit, database, 450)
    await sealed(audit, database, 7)

    found = await audit.verify(await heads(database))
    assert (found.events, found.last, found.unsealed, found.heads, faults(found)) == (457, 457, 0, 6, [])
    assert len(found.keys) == 1
    assert not await audit.sealing.wanted()
    await happen(database)
    assert await audit.sealing.wanted()
    assert (await audit.verify()).unsealed == 1


async def test_an_empty_trail_is_whole(both: Both) -> None:
    found = await both[0].verify([])

    assert (found.events, faults(found)) == (0, [])


async def test_many_who_seal_at_once_make_one_chain(place: Place) -> None:
    async with trail(place) as (one, database), trail(place) as (other, elsewhere):
        await happen(database, 900)
        await asyncio.gather(one.sealing.run(), other.sealing.run(), happen(elsewhere, 300))
        await one.sealing.run()

        found = await one.verify(await heads(database))
        assert (found.events, found.last, faults(found)) == (1200, 1200, [])


async def test_who_seals_waits_for_another_who_does(place: Place) -> None:
    async with trail(place) as (audit, database), trail(place) as (_, elsewhere):
        await sealed(audit, database, 1)
        await happen(database, 5)
        async with elsewhere.fill() as tx:
            chain, made = chains.sealed(await seals.hold_chain(tx), await seals.unsealed(tx, limit=2))
            waiting = asyncio.create_task(audit.sealing.seal())
            await asyncio.sleep(0.3)
            assert not waiting.done()
            await seals.seal(tx, made)
            await seals.put_chain(tx, chain)

        assert await waiting == 3
        found = await audit.verify()
        assert (found.last, found.unsealed, faults(found)) == (6, 0, [])


async def test_an_event_that_is_committed_late_is_sealed_late_and_not_left_out(at_postgresql: str) -> None:
    place = Place("postgresql", at_postgresql)
    async with trail(place) as (audit, database), trail(place) as (_, elsewhere):
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def slow() -> None:
            async with elsewhere.fill() as tx:
                await tx.execute(
                    "INSERT INTO events (at, action, actor, credential, address, agent, request_id)"
                    " VALUES (1, 'slow', '', '', '', '', '')"
                )
                begun.set()
                await go_on.wait()

        late = asyncio.create_task(slow())
        await begun.wait()
        await sealed(audit, database, 5)
        go_on.set()
        await late
        await audit.sealing.run()

        rows = await database.read(partial(seals.walk, after=0, limit=10))
        assert [(row.sequence, row.columns["action"]) for row in rows][-1] == (6, "slow")
        assert rows[-1].columns["id"] < rows[0].columns["id"]
        assert faults(await audit.verify()) == []


async def test_what_was_altered_is_found(both: Both) -> None:
    audit, database = both
    await sealed(audit, database, 10)
    for column in ("actor", "address", "details", "subject", "outcome", "agent", "request_id", "action"):
        [row] = await database.read(partial(seals.walk, after=4, limit=1))
        await change(database, f"UPDATE events SET {column} = 'mallory' WHERE sequence = 4")
        assert faults(await audit.verify()) == ["4: is not as it was sealed"], column
        await change(database, f"UPDATE events SET {column} = :before WHERE sequence = 4", before=row.columns[column])
    await change(database, "UPDATE events SET at = at + 1 WHERE sequence = 4")
    assert faults(await audit.verify()) == ["4: is not as it was sealed"]


async def test_what_was_removed_or_added_is_found(both: Both) -> None:
    audit, database = both
    await sealed(audit, database, 10)
    await change(database, "DELETE FROM events WHERE sequence IN (3, 6, 7)")
    assert faults(await audit.verify()) == ["3: is missing", "6: is missing, with all up to 7"]

    await change(
        database,
        "INSERT INTO events (at, action, actor, credential, address, agent, request_id, sequence, seal)"
        " VALUES (1, 'forged', '', '', '', '', '', 8, :seal)",
        seal=bytes(32),
    )
    assert "8: is there twice" in faults(await audit.verify())


async def test_a_tail_that_was_cut_off_is_found(both: Both) -> None:
    audit, database = both
    await sealed(audit, database, 10)
    told = await heads(database)
    await change(database, "DELETE FROM events WHERE sequence > 7")
    assert faults(await audit.verify())[0] == "8: the chain ends before it, and should go up to 10"

    # Whoever sets the chain back, and takes the heads out of the database, is told of by the file alone.
    [last] = await database.read(partial(seals.walk, after=7, limit=1))
    await change(database, "UPDATE audit_chain SET sequence = 7, seal = :seal", seal=last.seal)
    await change(database, "DELETE FROM audit_heads")
    assert faults(await audit.verify()) == []
    assert faults(await audit.verify(told)) == ["10: is not there, and a head in the file says that it was"]


async def test_a_chain_that_was_made_anew_is_found_by_heads_from_outside(both: Both) -> None:
    audit, database = both
    await sealed(audit, database, 10)
    told = await heads(database)
    await change(database, "UPDATE events SET actor = 'mallory' WHERE sequence = 4")
    await change(database, "UPDATE events SET sequence = NULL, seal = NULL")
    await change(database, "DELETE FROM audit_heads")
    await change(database, "DELETE FROM audit_chain")
    await audit.sealing.run()

    assert faults(await audit.verify()) == []
    assert faults(await audit.verify(told)) == ["10: has another seal than a head in the file says"] * len(told)


async def test_a_head_that_was_changed_is_found(both: Both) -> None:
    audit, database = both
    await sealed(audit, database, 10)
    [*_, head] = await heads(database)
    told = json.loads(head.line())
    told["head"]["sequence"] = 9
    forged = Statement.read_line(json.dumps(told))

    assert head.genuine
    assert Statement.read_line(head.line()) == head
    assert faults(await audit.verify([forged])) == [
        "9: a head in the file has a signature that is not its key's",
    ]
    await change(database, "UPDATE audit_heads SET said = 'nonsense'")
    assert "10: a head in the database cannot be read" in faults(await audit.verify())


@pytest.mark.parametrize("line", ["", "{}", "[]", '{"head": 1, "signature": "00"}', '{"head": {}, "signature": "zz"}'])
def test_what_is_no_head_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        Statement.read_line(line)


async def add_history(database: Copyable) -> None:
    """An event that a tag's history names, one that the trash reads, and one that nobody needs."""

    async def write(tx: Transaction) -> None:
        await tx.execute("INSERT INTO projects (id, name, created_at) VALUES (1, 'team', 0)")
        await tx.execute("INSERT INTO repositories (id, project_id, name, created_at) VALUES (1, 1, 'team/app', 0)")
        for number, action in enumerate(("manifest.pushed", "blob.deleted", "manifest.pushed"), 1):
            await tx.execute(
                "INSERT INTO events (at, action, repository_id, actor, credential, address, agent, request_id)"
                " VALUES (:at, :action, 1, 'alice', 'basic', '', '', '')",
                at=number,
                action=action,
            )
        await tx.execute(
            "INSERT INTO tag_history (repository_id, name, action, event_id)"
            " SELECT 1, 'v1', 'created', min(id) FROM events"
        )

    await database.write(write)


async def test_what_is_too_old_goes_but_for_what_others_need(place: Place) -> None:
    async with trail(place, keep_days=365) as (audit, database):
        await add_history(database)
        await sealed(audit, database, 5)
        assert await audit.sealing.any_old(8)
        assert not await audit.sealing.any_old(0)
        await audit.sealing.prune_all(2)
        await audit.sealing.prune_all(8)

        rows = await database.read(partial(seals.walk, after=0, limit=100))
        assert [row.sequence for row in rows] == [1, 2, 4, 5, 6, 7, 8]
        assert not await audit.sealing.any_old(8)
        told = await heads(database)
        found = await audit.verify(told)
        assert (faults(found), found.kept, found.pruned) == ([], 2, 3)
        await sealed(audit, database, 5)
        assert faults(await audit.verify(told)) == []


async def test_what_stayed_of_old_events_is_proven_too(place: Place) -> None:
    async with trail(place, keep_days=365) as (audit, database):
        await add_history(database)
        await sealed(audit, database, 5)
        early = await heads(database)
        await audit.sealing.prune_all(8)
        told = await heads(database)
        assert faults(await audit.verify(early)) == [
            "None: events up to 3 went, and the file of heads does not say so",
        ]

        await change(database, "UPDATE events SET actor = 'mallory' WHERE sequence = 2")
        assert faults(await audit.verify(told)) == [
            "None: of the events up to 3, 2 stayed: they are not what they were"
        ]
        await change(database, "DELETE FROM events WHERE sequence = 2")
        assert len(faults(await audit.verify(told))) == 1
        # Whoever removes more, and says that it was too old, has not signed that.
        chain = await database.read(seals.chain)
        going = await database.read(partial(seals.walk, after=4, limit=3))
        forged = chains.pruned(chain, going, set())
        await change(database, "DELETE FROM events WHERE sequence BETWEEN 4 AND 6")
        await change(
            database,
            "UPDATE audit_chain SET pruned = :pruned, pruned_seal = :seal",
            pruned=forged.pruned,
            seal=forged.pruned_seal,
        )
        assert "None: events up to 6 went, and the last head in the database does not say so" in faults(
            await audit.verify()
        )


async def test_what_was_changed_is_neither_forgotten_nor_signed_when_its_time_is_over(place: Place) -> None:
    async with trail(place, keep_days=365) as (audit, database):
        await add_history(database)
        await sealed(audit, database, 5)
        await change(database, "UPDATE events SET actor = 'mallory' WHERE sequence = 2")

        with pytest.raises(TrailBroken, match="event 2; pierhead audit verify"):
            await audit.sealing.prune_all(8)

        found = await audit.verify(await heads(database))
        assert (faults(found), found.pruned) == (["2: is not as it was sealed"], 1)
        # Nor does an event go early because somebody made it look old, or the one before it is away.
        await change(database, "DELETE FROM events WHERE sequence = 2")
        with pytest.raises(TrailBroken, match="event 2;"):
            await audit.sealing.prune_all(8)
        assert faults(await audit.verify()) == ["2: is missing"]


async def test_without_a_limit_nothing_goes(both: Both) -> None:
    audit, database = both
    await add_history(database)
    await sealed(audit, database, 1)

    assert not await audit.sealing.any_old(4)
    assert await audit.sealing.prune(4) == 0
