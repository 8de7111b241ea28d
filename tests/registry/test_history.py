"""What happened to tags, and what was where at a moment, on both databases."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pierhead.errors import ManifestUnknown, RepositoryUnknown
from pierhead.metadata import events, repositories
from pierhead.metadata.database import Transaction
from pierhead.metadata.history import Bytes
from pierhead.metadata.trash import Entry
from pierhead.models import Digest, RepositoryName, TagName
from pierhead.registry.registry import Registry
from tests.contracts.database import Place
from tests.registry.acting import ALICE, APP, OTHER, acting, now, push

pytestmark = pytest.mark.anyio

V1, V2 = TagName("v1"), TagName("v2")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def registry(place: Place, tmp_path: Path) -> AsyncIterator[Registry]:
    async with acting(place, tmp_path) as registry:
        yield registry


async def give_name_back(registry: Registry, name: RepositoryName) -> Entry:
    """Deletes a repository; the entry of the trash has its id."""
    return await registry.trash.delete_repository(name, actor=ALICE)


async def take_name_back(registry: Registry, name: RepositoryName, entry: Entry) -> None:
    await registry.trash.restoring.repository(name, entry_id=entry.id, reason=None, actor=ALICE)


async def tags_at(registry: Registry, name: RepositoryName, moment: int, *, size: int = 100) -> dict[str, Digest]:
    """All pages of a moment."""
    found: dict[str, Digest] = {}
    after: TagName | None = TagName("")
    while after is not None:
        page = await registry.history.at(name, moment, after=after, size=size)
        assert len(page.tags) <= size
        found |= {one.tag: one.target.digest for one in page.tags if one.target}
        assert list(found) == sorted(found)
        after = page.next
    return found


async def test_each_move_tells_who_did_it_when_from_where_to_where_and_by_what(registry: Registry) -> None:
    began = now()
    one, two = await push(registry, APP, "v1", "one"), await push(registry, APP, "v1,v2", "two")
    await registry.tags.delete(APP, V1, actor=ALICE)

    page = await registry.history.page(APP, size=10)
    told = [
        (entry.tag, entry.action, entry.before and entry.before.digest, entry.after and entry.after.digest)
        for entry in page.entries
    ]
    assert told == [
        ("v1", "deleted", two, None),
        ("v2", "created", None, two),
        ("v1", "moved", one, two),
        ("v1", "created", None, one),
    ]
    assert {entry.actor for entry in page.entries} == {ALICE}
    times = [entry.at for entry in page.entries]
    assert times == sorted(times, reverse=True)
    assert began <= times[-1] <= times[0] <= now()
    assert not page.more


async def test_pages_of_a_repository_and_of_a_tag_hold_every_entry_once(registry: Registry) -> None:
    for number in range(7):
        await push(registry, APP, "v1" if number % 2 else "v2", str(number))
    await push(registry, OTHER, "v1", "elsewhere")

    for tag, count in ((None, 7), (V1, 3), (V2, 4)):
        found: list[int] = []
        more = True
        while more:
            page = await registry.history.page(APP, tag, before=found[-1] if found else None, size=2)
            found += [entry.id for entry in page.entries]
            more = page.more
        assert found == sorted(set(found), reverse=True)
        assert len(found) == count


async def test_an_entry_tells_whether_the_bytes_are_there_in_the_trash_or_gone(registry: Registry) -> None:
    one, two = await push(registry, APP, "v1", "one"), await push(registry, APP, "v1", "two")

    async def bytes_of_the_move() -> list[str]:
        """Those of the tag's second entry."""
        entry = (await registry.history.page(APP, V1, size=9)).entries[-2]
        return [target.bytes.state for target in (entry.before, entry.after) if target]

    assert await bytes_of_the_move() == ["kept", "kept"]

    await registry.manifests.delete(APP, one, actor=ALICE)
    assert await bytes_of_the_move() == ["trash", "kept"]

    [entry, _] = (await registry.history.page(APP, V1, size=2)).entries
    assert entry.before
    assert entry.before.bytes.until is not None
    assert entry.before.bytes.until > now()

    await registry.manifests.delete(APP, two, actor=ALICE)
    await registry.history._database.write(
        lambda tx: tx.execute("DELETE FROM manifests WHERE digest = :digest", digest=one)
    )
    assert await bytes_of_the_move() == ["gone", "trash"]


async def test_in_a_deleted_repository_all_bytes_are_in_the_trash(registry: Registry) -> None:
    await push(registry, APP, "v1", "one")
    await give_name_back(registry, APP)

    [entry] = (await registry.history.page(APP, size=2)).entries
    assert entry.after
    assert entry.after.bytes.state == "trash"
    assert entry.after.bytes.until


async def test_a_tag_is_where_it_was_at_each_moment(registry: Registry) -> None:
    moments = [now()]
    one = await push(registry, APP, "v1", "one")
    moments.append(now())
    two = await push(registry, APP, "v1", "two")
    moments.append(now())
    await registry.tags.delete(APP, V1, actor=ALICE)
    moments.append(now())

    with pytest.raises(RepositoryUnknown):
        await registry.history.tag_at(APP, V1, moments[0])
    found = [(await registry.history.tag_at(APP, V1, moment)).target for moment in moments[1:]]
    assert [target and target.digest for target in found] == [one, two, None]
    assert found[0]
    assert found[0].bytes == Bytes("kept")


async def test_bytes_that_expired_move_no_tag_that_was_made_anew(registry: Registry) -> None:
    one = await push(registry, APP, "v1", "one")
    await registry.manifests.delete(APP, one, actor=ALICE)
    two = await push(registry, APP, "v1", "two")

    async def expire(tx: Transaction) -> None:
        repository_id = await repositories.identify(tx, APP)
        assert repository_id
        event = await events.record(tx, "tag.purged", repository_id, ALICE, tag=V1, before=one)
        await tx.execute(
            """
            INSERT INTO tag_history (repository_id, name, action, before, event_id)
            VALUES (:repository_id, 'v1', 'expired', :one, :event)
            """,
            repository_id=repository_id,
            one=one,
            event=event,
        )

    await registry.history._database.write(expire)

    assert await tags_at(registry, APP, now()) == {"v1": two}
    assert (await registry.history.page(APP, V1, size=1)).entries[0].action == "expired"


async def test_a_name_is_looked_up_as_the_repository_that_had_it_then(registry: Registry) -> None:
    one = await push(registry, APP, "v1", "one")
    first = now()
    old = await give_name_back(registry, APP)
    nothing = now()
    two = await push(registry, APP, "v2", "two")
    second = now()
    new = await give_name_back(registry, APP)
    await take_name_back(registry, APP, old)
    third = now()

    assert await tags_at(registry, APP, first) == {"v1": one}
    assert await tags_at(registry, APP, second) == {"v2": two}
    assert await tags_at(registry, APP, third) == {"v1": one}
    with pytest.raises(RepositoryUnknown, match="at that moment"):
        await tags_at(registry, APP, nothing)
    page = await registry.history.page(APP, size=9)
    assert (page.incarnation.id, [one.id for one in page.others]) == (old.repository_id, [new.repository_id])
    assert [entry.tag for entry in page.entries] == ["v1"]
    chosen = await registry.history.page(APP, size=9, incarnation=new.repository_id)
    assert ([entry.tag for entry in chosen.entries], chosen.incarnation.deleted) == (["v2"], True)


async def test_a_deleted_project_takes_its_names_along(registry: Registry) -> None:
    one = await push(registry, APP, "v1", "one")
    there = now()
    await registry.trash.delete_project("team", actor=ALICE)
    nothing = now()
    await registry.trash.restoring.project("team", reason=None, actor=ALICE)

    assert await tags_at(registry, APP, there) == await tags_at(registry, APP, now()) == {"v1": one}
    with pytest.raises(RepositoryUnknown, match="at that moment"):
        await tags_at(registry, APP, nothing)


async def test_of_deleted_repositories_the_one_deleted_last_answers_to_the_name(registry: Registry) -> None:
    await push(registry, APP, "v1", "one")
    old = await give_name_back(registry, APP)
    await push(registry, APP, "v2", "two")
    await give_name_back(registry, APP)
    await take_name_back(registry, APP, old)
    await give_name_back(registry, APP)

    assert (await registry.history.page(APP, size=9)).incarnation.id == old.repository_id


async def test_a_repository_that_never_was_has_no_history_and_neither_has_anothers_id(registry: Registry) -> None:
    await push(registry, OTHER, "v1", "one")
    # What sorts right beside the hidden names of a repository is none of them.
    await push(registry, RepositoryName("team/app-2"), "v1", "one")
    await push(registry, RepositoryName("team/appa"), "v1", "one")
    other = (await registry.history.page(OTHER, size=1)).incarnation.id

    for asked in (registry.history.page(APP, size=1), registry.history.at(APP, now(), size=1)):
        with pytest.raises(RepositoryUnknown):
            await asked
    with pytest.raises(RepositoryUnknown, match="never was"):
        await registry.history.page(APP, size=1, incarnation=other)


async def test_a_page_of_a_moment_is_bounded_however_many_tags_were_not_there(registry: Registry) -> None:
    names = [f"t{number:03}" for number in range(120)]
    digest = await push(registry, APP, ",".join(names), "one")
    for name in names[:-1]:
        await registry.tags.delete(APP, TagName(name), actor=ALICE)

    page = await registry.history.at(APP, now(), size=1)
    assert (page.tags, page.next) == ([], "t099")
    assert await tags_at(registry, APP, now(), size=1) == {"t119": digest}


async def test_a_refused_delete_leaves_no_entry(registry: Registry) -> None:
    await push(registry, APP, "v1", "one")
    with pytest.raises(ManifestUnknown):
        await registry.tags.delete(APP, V2, actor=ALICE)

    assert len((await registry.history.page(APP, size=9)).entries) == 1
