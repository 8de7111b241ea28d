"""Refresh tokens: kept hashed, good until they are unused, revoked or too many."""

import re

import pytest

from pierhead.accounts import secret
from pierhead.accounts.refresh_tokens import Owner, Proof, RefreshTokens
from pierhead.errors import MetadataUnavailable, TokenUnknown
from pierhead.metadata.database import Database, Transaction

pytestmark = pytest.mark.anyio

PROOF = Proof("local", 3)
DAY = 86_400_000_000


async def person(database: Database, name: str = "ann") -> int:
    async def add(tx: Transaction) -> int:
        row = await tx.fetch_one(
            """
            INSERT INTO principals (kind, name, source, subject, display, email, groups, made_at)
            VALUES ('user', :name, 'local', :name, '', '', '[]', 0) RETURNING id
            """,
            name=name,
        )
        assert row is not None
        return int(row[0])

    return await database.write(add)


async def change(database: Database, sql: str) -> None:
    await database.write(lambda tx: tx.execute(sql))


async def count(database: Database) -> int:
    row = await database.read(lambda tx: tx.fetch_one("SELECT count(*) FROM tokens"))
    assert row is not None
    return int(row[0])


def refresh(database: Database, most: int = 100) -> RefreshTokens:
    return RefreshTokens(database, days=90, most=most)


async def give(database: Database, owner: int, most: int = 100) -> str:
    return await refresh(database, most).give(owner, PROOF, client="docker", address="10.0.0.1")


async def test_a_token_stands_for_its_owner_and_his_proof_on_every_node(database: Database, other: Database) -> None:
    ann = await person(database)

    token = await give(database, ann)

    found = await refresh(other).take(token, address="10.0.0.2")
    assert found == Owner(ann, "ann", found.token, PROOF)
    assert re.fullmatch(r"phd_refresh_\d+_[0-9A-Za-z]{49}", token)


async def test_the_secret_is_in_no_row(database: Database) -> None:
    token = await give(database, await person(database))

    rows = await database.read(lambda tx: tx.fetch_all("SELECT * FROM tokens"))

    assert token[-49:-6] not in repr(rows)
    assert token[-49:-6].encode() not in rows[0]


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE tokens SET revoked_at = 1",
        "UPDATE tokens SET expires_at = 1",
        "UPDATE tokens SET expires_at = NULL",
        "UPDATE tokens SET kind = 'personal'",
        "DELETE FROM tokens",
        "DELETE FROM principals",
    ],
)
async def test_a_token_that_is_over_is_worth_nothing(database: Database, sql: str) -> None:
    token = await give(database, await person(database))
    await change(database, sql)

    with pytest.raises(TokenUnknown):
        await refresh(database).take(token, address="")


async def test_a_token_is_not_guessed_from_another_one(database: Database) -> None:
    ann = await person(database)
    one, two = await give(database, ann), await give(database, ann)
    number = int(two.split("_")[2])
    of_another = secret.show("refresh", number, one[-49:-6])
    of_nobody = secret.show("refresh", number + 1, one[-49:-6])
    personal = secret.show("personal", number, two[-49:-6])

    for text in ("", "x", one[:-1], one + "x", one.swapcase(), " " + one, of_another, of_nobody, personal):
        with pytest.raises(TokenUnknown):
            await refresh(database).take(text, address="")


async def test_use_makes_it_last_and_is_written_once_a_day(database: Database) -> None:
    token = await give(database, await person(database))
    await change(database, f"UPDATE tokens SET made_at = made_at - {80 * DAY}, expires_at = expires_at - {80 * DAY}")
    sql = "SELECT used_at IS NOT NULL, used_from, expires_at - clock_us() FROM tokens"

    await refresh(database).take(token, address="10.0.0.9")
    used, where, left = (await database.read(lambda tx: tx.fetch_all(sql)))[0]
    assert (bool(used), where) == (True, "10.0.0.9")
    assert 89 * DAY < left <= 90 * DAY

    await refresh(database).take(token, address="10.0.0.10")
    assert (await database.read(lambda tx: tx.fetch_all(sql)))[0][1] == "10.0.0.9"


async def test_use_that_cannot_be_written_down_counts(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    token = await give(database, await person(database))
    await change(database, f"UPDATE tokens SET made_at = made_at - {2 * DAY}")

    async def broken(*_: object, **__: object) -> None:
        raise MetadataUnavailable

    monkeypatch.setattr(database, "write", broken)
    assert (await refresh(database).take(token, address="")).name == "ann"


async def test_beyond_the_limit_the_longest_unused_end(database: Database) -> None:
    ann, bob = await person(database), await person(database, "bob")
    first, second, of_bob = await give(database, ann), await give(database, ann), await give(database, bob)
    await change(database, f"UPDATE tokens SET made_at = made_at - {5 * DAY} WHERE principal_id = {ann}")
    await refresh(database).take(first, address="")

    third = await give(database, ann, most=2)

    for token in (first, third, of_bob):
        await refresh(database).take(token, address="")
    with pytest.raises(TokenUnknown):
        await refresh(database).take(second, address="")


async def test_what_ended_is_forgotten_after_a_day(database: Database) -> None:
    ann = await person(database)
    kept = await give(database, ann)
    await give(database, ann)
    await change(database, "UPDATE tokens SET expires_at = 1 WHERE id = (SELECT max(id) FROM tokens)")
    assert await refresh(database).any_over()

    assert not await refresh(database).forget()

    assert await count(database) == 1
    assert not await refresh(database).any_over()
    assert (await refresh(database).take(kept, address="")).id == ann


def test_no_secret_is_shown_of_an_owner() -> None:
    assert "hashed" not in repr(Owner(1, "ann", 2, PROOF))
