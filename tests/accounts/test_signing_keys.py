"""Keys of tokens: made once, followed in time, honoured to their end."""

import asyncio
import base64
import hashlib
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from pierhead.accounts import signing_keys
from pierhead.accounts.by import By
from pierhead.accounts.signing_keys import SigningKeys
from pierhead.errors import GivesTooMuch, MetadataUnavailable
from pierhead.metadata import signing_keys as rows
from pierhead.metadata.database import Database
from pierhead.models import Actor
from pierhead.verbs import ALL, Verb
from tests.accounts.ageing import DAY, HOUR, age

BY = By(Actor("root"), ALL)

pytestmark = pytest.mark.anyio


def keys(database: Database) -> SigningKeys:
    """What a node knows that looks at the rows for the first time."""
    return SigningKeys(database, days=30)


async def kids(database: Database) -> list[str]:
    return [row.kid for row in await database.read(rows.find_all)]


async def test_the_first_key_is_made_when_a_token_is_and_not_before(database: Database) -> None:
    known = keys(database)
    await known.change()
    assert not await known.wants_change()
    assert await known.published() == []

    key = await known.signing()

    assert await kids(database) == [key.kid]
    assert await known.signing() == key
    assert not await known.wants_change()


async def test_nodes_that_need_the_first_key_at_once_make_one(database: Database, other: Database) -> None:
    nodes = [keys(one) for one in (database, other) for _ in range(5)]

    found = await asyncio.gather(*(node.signing() for node in nodes))

    assert {key.kid for key in found} == set(await kids(database))
    assert len(await kids(database)) == 1


async def test_a_key_that_another_node_just_made_is_known(database: Database, other: Database) -> None:
    there = keys(other)
    await there.look()
    key = await keys(database).signing()

    found = await there.find(key.kid)

    assert found is not None
    assert found.public.public_bytes_raw() == key.public.public_bytes_raw()


async def test_keys_that_nobody_has_are_not_asked_for_again_and_again(database: Database) -> None:
    known, reads = keys(database), 0
    await known.signing()
    read = database.read

    async def counting(operation: object) -> object:
        nonlocal reads
        reads += 1
        return await read(operation)  # type: ignore[arg-type]  # whatever is read

    database.read = counting  # type: ignore[method-assign, assignment]  # to count
    assert [await known.find(f"made-up-{number}") for number in range(200)] == [None] * 200

    assert reads <= 2


async def test_the_next_key_is_published_before_it_signs(database: Database, other: Database) -> None:
    first = await keys(database).signing()
    await age(database, 30 * DAY - HOUR + 60)
    assert await keys(database).wants_change()

    await keys(database).change()
    await keys(other).change()

    there = keys(other)
    published = [document["kid"] for document in await there.published()]
    assert len(published) == 2
    assert published[1] == first.kid
    assert (await there.signing()).kid == first.kid
    assert not await there.wants_change()

    await age(database, HOUR)
    now = keys(other)
    assert (await now.signing()).kid == published[0]
    assert await now.find(first.kid) is not None


async def test_nodes_that_change_keys_at_once_make_one(database: Database, other: Database) -> None:
    await keys(database).signing()
    await age(database, 40 * DAY)

    await asyncio.gather(*(keys(one).change() for one in (database, other) for _ in range(5)))

    assert len(await kids(database)) == 2


async def test_a_past_key_counts_until_its_last_token_has_ended(database: Database) -> None:
    first = await keys(database).signing()
    await age(database, 30 * DAY)
    await keys(database).change()

    await age(database, HOUR + DAY)
    assert await keys(database).find(first.kid) is not None
    assert not await keys(database).wants_change()

    await age(database, 120)
    known = keys(database)
    assert await known.find(first.kid) is None
    assert len(await known.published()) == 1
    assert await known.wants_change()
    await known.change()
    assert first.kid not in await kids(database)
    assert len(await kids(database)) == 1


async def test_a_key_signs_on_where_nobody_changes_it(database: Database) -> None:
    first = await keys(database).signing()
    await age(database, 400 * DAY)

    assert (await keys(database).signing()).kid == first.kid


async def test_a_key_that_became_known_is_replaced_at_once(database: Database, other: Database) -> None:
    here, there = keys(database), keys(other)
    stolen = await here.signing()
    assert await there.find(stolen.kid)

    with pytest.raises(GivesTooMuch):
        await here.replace(by=By(Actor("somebody"), frozenset({Verb.READ_SYSTEM})))
    assert await there.find(stolen.kid)
    made = await here.replace(by=BY)

    assert not here.has(stolen.kid)
    assert await here.find(stolen.kid) is None
    assert (await here.signing()).kid == made != stolen.kid
    noted = await database.read(lambda tx: tx.fetch_all("SELECT action, subject, actor FROM events"))
    assert [tuple(row) for row in noted] == [("signer.replaced", f"signer:{made}", "root")]
    await asyncio.sleep(1.1)
    assert not there.fresh
    assert await there.find(stolen.kid) is None


async def test_known_keys_count_while_the_database_is_away(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    known, unknowing = keys(database), keys(database)
    key = await known.signing()

    async def away(_: object) -> None:
        raise MetadataUnavailable

    monkeypatch.setattr(database, "read", away)
    await asyncio.sleep(1.1)
    assert not known.fresh
    assert (await known.signing()).kid == key.kid
    assert await known.find(key.kid) is not None
    with pytest.raises(MetadataUnavailable):
        await unknowing.signing()


async def test_keys_of_another_algorithm_are_left_alone(database: Database) -> None:
    await database.write(lambda tx: rows.add(tx, kid="later", algorithm="ML-DSA", private=b"?", signs_from=0))

    known = keys(database)
    assert (await known.signing()).kid != "later"
    assert await known.find("later") is None
    assert len(await known.published()) == 1


async def test_a_published_key_is_named_by_its_thumbprint_and_has_no_secret(database: Database) -> None:
    known = keys(database)
    key = await known.signing()

    (document,) = await known.published()

    assert document.keys() == {"kty", "crv", "x", "kid", "alg", "use"}
    named = json.dumps({name: document[name] for name in ("crv", "kty", "x")}, separators=(",", ":"))
    digest = hashlib.sha256(named.encode()).digest()
    assert document["kid"] == base64.urlsafe_b64encode(digest).decode().rstrip("=")
    public = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(document["x"] + "="))
    public.verify(key.private.sign(b"x"), b"x")


def test_a_thumbprint_is_that_of_the_standard() -> None:
    """RFC 8037, appendix A.3."""
    named = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}

    assert signing_keys._thumbprint(named) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_no_secret_is_shown() -> None:
    made = signing_keys.make()

    for shown in (repr(made), repr(signing_keys.opened(made.private))):
        assert "private" not in shown
        assert made.private.hex() not in shown
