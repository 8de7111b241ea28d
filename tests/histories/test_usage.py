"""What is told of space, in histories that Hypothesis makes up: against all rows, and against what becomes free."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as trying
from hypothesis import strategies as st
from pydantic import SecretStr

from pierhead.errors import PierheadError
from pierhead.metadata.database import Row, Transaction
from pierhead.metadata.postgresql import preparing
from pierhead.metadata.sqlite import engine
from pierhead.models import RepositoryName
from pierhead.registry.usage import Space
from pierhead.settings import DatabaseSettings
from tests.contracts.database import Place
from tests.histories import deeds
from tests.histories.test_rules import CLOCK
from tests.histories.works import Work, catalogue
from tests.histories.world import Still, World, opened, settings
from tests.profiles import SOAK
from tests.servers.postgresql import Cluster, sql

REPOSITORIES = ("one/a", "one/b", "two/c")
WORKS = catalogue("usage")
HISTORIES = {"sqlite": 150, "postgresql": 40}

names = st.sampled_from(REPOSITORIES)
works = st.sampled_from(list(WORKS.works.values()))
contents = st.sampled_from(list(WORKS.contents.values()))
tags = st.sampled_from(["t0", "t1"])
pushes = st.tuples(st.just("push"), names, works, st.sets(tags, max_size=2))
steps = st.one_of(
    pushes,
    pushes,
    st.tuples(st.just("push_blob"), names, contents),
    st.tuples(st.just("delete_manifest"), names, works),
    st.tuples(st.just("delete_tag"), names, tags),
    st.tuples(st.just("delete_blob"), names, contents),
)
histories = st.lists(steps, min_size=4, max_size=25)


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    still, stack = Still(), AsyncExitStack()
    monkeypatch.setattr(engine, "now", lambda: still.now)
    place = Place("sqlite", str(tmp_path))
    with asyncio.Runner() as runner:
        if request.param == "postgresql":
            cluster: Cluster = request.getfixturevalue("postgresql")
            url = stack.enter_context(cluster.database("usage"))
            runner.run(preparing.prepare(DatabaseSettings(url=SecretStr(url))))
            sql(url, CLOCK)
            place = Place("postgresql", url)
        chosen = settings(lease=60, keep_hours=1, grace_hours=1)
        yield runner.run(stack.enter_async_context(opened(place, tmp_path / "store", chosen, still)))
        runner.run(stack.aclose())


def tried(world: World, check: Callable[..., Any], **given_too: Any) -> None:
    """The check, with a registry after a history each time."""

    @trying(
        max_examples=HISTORIES[world.place.kind] * (10 if SOAK else 1),
        suppress_health_check=list(HealthCheck),
        deadline=None,
    )
    @given(history=histories, **given_too)
    def run(history: list[tuple[Any, ...]], **drawn: Any) -> None:
        world.run(world.empty())
        for step in history:
            world.run(take(world, *step))
        world.run(check(world, **drawn))

    run()


async def take(world: World, what: str, name: str, of: Any, *more: Any) -> None:
    """A step that may be refused."""
    with suppress(PierheadError):
        match what:
            case "push":
                await push(world, name, of, sorted(*more))
            case "push_blob":
                await world.hands[0].push_blob(name, of)
            case "delete_manifest":
                await world.hands[0].delete_manifest(name, of.digest)
            case "delete_tag":
                await world.hands[0].delete_tag(name, of)
            case "delete_blob":
                await world.hands[0].delete_blob(name, of.digest)


async def push(world: World, name: str, work: Work, with_tags: list[str]) -> None:
    for blob in work.blobs:
        await world.hands[0].push_blob(name, WORKS.contents[blob])
    for child in work.children:
        await push(world, name, WORKS.works[child], [])
    own = [work.cosign_tag] if work.cosign_tag else with_tags
    await world.hands[0].put(name, work, *own)


def test_of_each_scope_all_digests_are_counted_once_and_for_what_keeps_them(world: World) -> None:
    async def check(world: World) -> None:
        rows = await world.databases[0].read(Rows.read)
        usage = world.hands[0].registry.usage
        assert counted(await usage.of_registry()) == rows.counted(None)
        for project in {row[2] for row in rows.repositories.values()}:
            assert counted(await usage.of_project(project)) == rows.counted(rows.of_project(project)), project
        for identity, (name, _, _) in rows.repositories.items():
            if "@" not in name:
                assert counted(await usage.of_repository(RepositoryName(name))) == rows.counted({identity}), name

    tried(world, check)


def test_what_a_manifest_is_said_to_free_becomes_free(world: World) -> None:
    async def check(world: World, name: str, work: Work) -> None:
        database, hands = world.databases[0], world.hands[0]
        await database.write(deeds.collect)  # what is garbage anyhow is not its doing
        try:
            told = await hands.registry.usage.of_manifest(RepositoryName(name), work.digest)
        except PierheadError:
            return
        before = await database.read(deeds.stored)
        if not told.in_trash:
            if told.refused:
                with pytest.raises(PierheadError):
                    await hands.delete_manifest(name, work.digest)
                return
            await hands.delete_manifest(name, work.digest)
        entry = await database.read(lambda tx: deeds.entry_of(tx, name, work.digest))
        assert set(told.manifests) == await database.read(lambda tx: deeds.manifests_of(tx, entry))
        await database.write(lambda tx: deeds.purge(tx, entry))
        await database.write(deeds.collect)

        after = await database.read(deeds.stored)
        assert sorted((part.digest, part.size) for part in told.freed) == sorted(before - after)

    tried(world, check, name=names, work=works)


def test_what_a_repository_is_said_to_free_becomes_free(world: World) -> None:
    async def check(world: World, name: str) -> None:
        database, hands = world.databases[0], world.hands[0]
        await database.write(deeds.collect)
        try:
            told = await hands.registry.usage.freeing(RepositoryName(name), limit=1000)
        except PierheadError:
            return
        before = await database.read(deeds.stored)
        await database.write(lambda tx: deeds.purge_repository(tx, name))
        await database.write(deeds.collect)

        freed = before - await database.read(deeds.stored)
        assert sorted((part.digest, part.size) for part in told.first) == sorted(freed)
        assert told.space.exclusive.bytes == sum(size for _, size in freed)
        assert told.space.exclusive.digests == len(freed)

    tried(world, check, name=names)


def counted(space: Space) -> dict[str, tuple[int, int]]:
    named = ("shared", "needed", "trash", "unneeded", "exclusive", "total")
    return {name: (getattr(space, name).digests, getattr(space, name).bytes) for name in named}


@dataclass(frozen=True, slots=True)
class Rows:
    """All there is, and what follows from it by the definition."""

    repositories: dict[int, tuple[str, int | None, str]]  # name, entry of the trash, project
    blobs: dict[str, int]
    holds: set[tuple[int, str]]
    manifests: dict[int, tuple[int, str, int, int | None]]  # repository, digest, size, entry of the trash
    references: list[Row]

    @classmethod
    async def read(cls, tx: Transaction) -> "Rows":
        named = await tx.fetch_all(
            """
            SELECT repositories.id, repositories.name, repositories.trash_id, projects.name
              FROM repositories JOIN projects ON projects.id = repositories.project_id
            """
        )
        manifests = await tx.fetch_all("SELECT id, repository_id, digest, size, trash_id FROM manifests")
        return cls(
            {row[0]: (row[1], row[2], row[3]) for row in named},
            {row[0]: row[1] for row in await tx.fetch_all("SELECT digest, size FROM blobs")},
            {(row[0], row[1]) for row in await tx.fetch_all("SELECT repository_id, digest FROM repository_blobs")},
            {row[0]: (row[1], row[2], row[3], row[4]) for row in manifests},
            await tx.fetch_all("SELECT manifest_id, digest FROM manifest_references"),
        )

    def of_project(self, project: str) -> set[int]:
        return {identity for identity, row in self.repositories.items() if row[2] == project}

    def counted(self, within: set[int] | None) -> dict[str, tuple[int, int]]:
        """Of some repositories; without any, of the registry: what nobody keeps is its own, until it is collected."""
        states: dict[str, list[int]] = {"shared": [], "needed": [], "trash": [], "unneeded": []}
        for digest, size in self.blobs.items():
            needing = [self.manifests[manifest] for manifest, listed in self.references if listed == digest]
            keeping = {holder for holder, held in self.holds if held == digest} | {one[0] for one in needing}
            if within is None or keeping & within:
                states[self._state(keeping - (within or keeping), needing)].append(size)
        for digest, size in {(one[1], one[2]) for one in self.manifests.values()}:
            same = [one for one in self.manifests.values() if one[1] == digest]
            keeping = {one[0] for one in same}
            if within is None or keeping & within:
                states[self._state(keeping - (within or keeping), same)].append(size)
        states["exclusive"] = states["needed"] + states["trash"] + states["unneeded"]
        states["total"] = states["shared"] + states["exclusive"]
        return {state: (len(sizes), sum(sizes)) for state, sizes in states.items()}

    def _state(self, outside: set[int], needing: list[tuple[int, str, int, int | None]]) -> str:
        if outside:
            return "shared"
        if any(one[3] is None and self.repositories[one[0]][1] is None for one in needing):
            return "needed"
        return "trash" if needing else "unneeded"
