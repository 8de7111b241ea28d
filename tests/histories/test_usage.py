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

from pierhead.errors import NotInTrash, PierheadError, Pinned, ProjectUnknown, RepositoryUnknown, StillNeeded
from pierhead.metadata import repositories
from pierhead.metadata.database import Row, Transaction
from pierhead.metadata.postgresql import preparing
from pierhead.metadata.sqlite import engine
from pierhead.metadata.usage import Scope
from pierhead.models import Digest, RepositoryName
from pierhead.registry.usage import Space, at_once, in_stretches
from pierhead.settings import DatabaseSettings
from tests.contracts.database import Place
from tests.histories import deeds
from tests.histories.hands import ACTOR
from tests.histories.test_rules import CLOCK
from tests.histories.works import Work, catalogue
from tests.histories.world import Still, World, opened, settings
from tests.profiles import SOAK
from tests.servers.postgresql import Cluster, sql

REPOSITORIES = ("one/a", "one/b", "two/c")
WORKS = catalogue("usage")
HISTORIES = {"sqlite": 60, "postgresql": 15}

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
    st.tuples(st.just("delete_repository"), names, st.none()),
    st.tuples(st.just("pin"), names, works),
    st.tuples(st.just("restore"), names, works),
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
        chosen = settings(lease=60, keep_hours=1000, grace_hours=1)
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
    registry = world.hands[0].registry
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
            case "delete_repository":
                await registry.trash.delete_repository(RepositoryName(name), actor=ACTOR)
            case "pin":
                await registry.pins.add(RepositoryName(name), of.digest, reason="so", actor=ACTOR)
            case "restore":
                await registry.trash.restoring.manifest(RepositoryName(name), of.digest, reason=None, actor=ACTOR)


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
        await both_ways(world, rows)
        usage = world.hands[0].registry.usage
        assert counted(await usage.of_registry()) == rows.counted(None)
        for project in {row[2] for row in rows.repositories.values()}:
            assert counted(await usage.of_project(project)) == rows.counted(rows.of_project(project)), project
        for identity, (name, _, _) in rows.repositories.items():
            if "@" not in name:
                assert counted(await usage.of_repository(RepositoryName(name))) == rows.counted({identity}), name

    tried(world, check)


def test_what_a_manifest_is_said_to_free_becomes_free(world: World) -> None:
    async def check(world: World, place: int) -> None:
        hands, before = world.hands[0], await deeds.collected(world)  # what is garbage anyhow is not its doing
        rows = await world.databases[0].read(Rows.read)
        name, digest = rows.pick(place)
        if name is None:
            return
        told = await hands.registry.usage.of_manifest(name, digest)
        if told.refused:
            with pytest.raises((StillNeeded, Pinned)):
                await hands.delete_manifest(name, digest)
            return
        if not told.in_trash:
            await hands.delete_manifest(name, digest)
        entry = await world.databases[0].read(lambda tx: deeds.entry_of(tx, name, digest))
        assert set(told.manifests) == await world.databases[0].read(lambda tx: deeds.manifests_of(tx, entry))
        if not told.in_trash:
            assert set(told.tags) == await world.databases[0].read(lambda tx: deeds.tags_of(tx, entry))
        await deeds.purge(world, entry)

        freed = before - await deeds.collected(world)
        assert sorted((part.digest, part.size) for part in told.freed) == sorted(freed)

    tried(world, check, place=st.integers(0, 30))


def test_what_a_repository_is_said_to_free_becomes_free(world: World) -> None:
    async def check(world: World, name: str) -> None:
        trash, before = world.hands[0].registry.trash, await deeds.collected(world)
        try:
            told = await world.hands[0].registry.usage.freeing(RepositoryName(name), limit=1000)
            entry = await trash.delete_repository(RepositoryName(name), actor=ACTOR)
        except (RepositoryUnknown, Pinned):
            return
        await deeds.purge(world, entry.id)

        freed = before - await deeds.collected(world)
        assert sorted((part.digest, part.size) for part in told.first) == sorted(freed)
        assert counted(told.space)["exclusive"] == (len(freed), sum(size for _, size in freed))

    tried(world, check, name=names)


def test_what_a_project_is_said_to_free_becomes_free(world: World) -> None:
    async def check(world: World, name: str) -> None:
        trash, before = world.hands[0].registry.trash, await deeds.collected(world)
        try:
            told = await world.hands[0].registry.usage.of_project(name)
            entry = await trash.delete_project(name, actor=ACTOR)
        except (ProjectUnknown, Pinned):
            return
        # Repositories that were deleted before have entries of their own.
        with_it = await world.databases[0].read(lambda tx: deeds.entries_of_project(tx, entry.project_id))
        await deeds.purge(world, *with_it)

        freed = before - await deeds.collected(world)
        assert counted(told)["exclusive"] == (len(freed), sum(size for _, size in freed))

    tried(world, check, name=st.sampled_from(["one", "two"]))


def test_what_only_the_trash_keeps_is_what_emptying_it_frees(world: World) -> None:
    async def check(world: World) -> None:
        before = await deeds.collected(world)
        told = await world.hands[0].registry.usage.of_registry()
        for listed in await world.hands[0].registry.trash.page(size=1000):
            try:
                await deeds.purge(world, listed.entry.id)
            except Pinned:
                return
            except NotInTrash:  # a tag's, whose manifest went with another entry
                continue

        freed = before - await deeds.collected(world)
        assert counted(told)["trash"] == (len(freed), sum(size for _, size in freed))
        assert told.unneeded.digests == 0

    tried(world, check)


async def both_ways(world: World, rows: "Rows") -> None:
    """At once and in stretches, whichever of them the database is asked in."""
    scopes = {Scope("registry", wide=True): None, **{Scope("repository", one): {one} for one in rows.repositories}}
    async with world.databases[0].snapshot() as tx:
        for project in {row[2] for row in rows.repositories.values()}:
            identity = await repositories.identify_project(tx, project)
            if identity is not None:
                for wide in (False, True):
                    scopes[Scope("project", identity, wide=wide)] = rows.of_project(project)
        for scope, within in scopes.items():
            for measure in (at_once, in_stretches):
                assert counted(await measure(tx, scope)) == rows.counted(within), (measure, scope)


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

    def pick(self, place: int) -> tuple[RepositoryName | None, Digest]:
        """One of the manifests of repositories that are not deleted."""
        there = [
            (RepositoryName(self.repositories[one[0]][0]), Digest(one[1]))
            for _, one in sorted(self.manifests.items())
            if "@" not in self.repositories[one[0]][0]
        ]
        return there[place % len(there)] if there else (None, Digest())

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
