"""Sessions of pages, on both databases."""

import pytest

from pierhead.access.sessions import Session, Sessions
from pierhead.access_settings import PageSettings
from pierhead.metadata.database import Database
from tests.access.people import People, as_user

pytestmark = pytest.mark.anyio

HERE = "192.0.2.1"
HOUR = 3_600_000_000  # microseconds


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def sessions(either: Database) -> Sessions:
    return Sessions(either, PageSettings(session_idle_hours=1, session_hours=10))


async def signed_in(sessions: Sessions, owner: int, agent: str = "test") -> tuple[str, Session]:
    value = await sessions.open(as_user(owner), "password", address=HERE, agent=agent)
    found = await sessions.find(value, HERE)
    assert found is not None
    return value, found


async def age(database: Database, *, touched: int = 0, made: int = 0) -> None:
    await People(database).run(
        "UPDATE sessions SET touched_at = touched_at - :touched, made_at = made_at - :made", touched=touched, made=made
    )


async def test_a_session_tells_whose_it_is_and_what_was_proven(either: Database, sessions: Sessions) -> None:
    alice = await People(either).user("alice")

    value = await sessions.open(as_user(alice), "oidc", address=HERE, agent="Agent/1\n\x1b[31m")

    found = await sessions.find(value, HERE)
    assert found is not None
    assert (found.principal.name, found.principal.id, found.principal.credential) == ("alice", alice, "session")
    assert (found.how, found.address) == ("oidc", HERE)
    assert found.agent.isprintable()
    assert value.encode() not in found.key
    for wrong in ("", value[:-1], value + "x", "x" * 1000, found.label):
        assert await sessions.find(wrong, HERE) is None


async def test_it_ends_unused_and_after_its_whole_time(either: Database, sessions: Sessions) -> None:
    alice = await People(either).user("alice")
    value, _ = await signed_in(sessions, alice)

    await age(either, touched=HOUR * 9 // 10)
    assert await sessions.find(value, HERE) is not None
    # That was a use: the time begins anew.
    await age(either, touched=HOUR * 9 // 10)
    assert await sessions.find(value, HERE) is not None
    await age(either, touched=HOUR)
    assert await sessions.find(value, HERE) is None

    value, _ = await signed_in(sessions, alice)
    await age(either, made=HOUR * 10)
    assert await sessions.find(value, HERE) is None


async def test_a_new_one_takes_the_place_of_the_one_before(either: Database, sessions: Sessions) -> None:
    alice = await People(either).user("alice")
    before, session = await signed_in(sessions, alice)

    after = await sessions.open(as_user(alice), "password", address=HERE, agent="", instead=session)

    assert after != before
    assert await sessions.find(before, HERE) is None
    assert await sessions.find(after, HERE) is not None


async def test_others_are_ended_and_those_of_others_are_not(either: Database, sessions: Sessions) -> None:
    people = People(either)
    alice, bob = await people.user("alice"), await people.user("bob")
    _, first = await signed_in(sessions, alice, "first")
    second_value, second = await signed_in(sessions, alice, "second")
    third_value, _ = await signed_in(sessions, alice, "third")
    bobs_value, bobs = await signed_in(sessions, bob)

    assert {one.agent for one in await sessions.of(first)} == {"first", "second", "third"}
    assert not await sessions.end_labelled(first, bobs.label)
    assert not await sessions.end_labelled(first, "no hex")
    assert await sessions.end_labelled(first, second.label)
    assert await sessions.find(second_value, HERE) is None
    assert await sessions.end_others(first) == 1
    assert await sessions.find(third_value, HERE) is None
    assert await sessions.find(bobs_value, HERE) is not None


async def test_what_was_unused_for_long_is_removed(either: Database, sessions: Sessions) -> None:
    alice = await People(either).user("alice")
    await signed_in(sessions, alice)
    await age(either, touched=HOUR * 2)

    await signed_in(sessions, alice)

    rows = await either.read(lambda tx: tx.fetch_all("SELECT 1 FROM sessions"))
    assert len(rows) == 1


async def test_the_secret_of_forms_is_the_same_for_all(either: Database, sessions: Sessions) -> None:
    assert await sessions.secret() == await Sessions(either, PageSettings()).secret()
