"""The rules of a registry against their model, in histories that Hypothesis makes up; `test_rules` runs them.

After each step all that a client can see is compared with the model, and what has to be so at every moment is asked.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pierhead.errors import BlobUnknown, ManifestUnknown, PierheadError, RepositoryUnknown
from pierhead.metadata.database import Transaction
from pierhead.models import Digest, RepositoryName, TagName
from pierhead.registry.collector import Collector
from tests.histories import invariants
from tests.histories.hands import ACTOR, Hands
from tests.histories.model import Model, Noted, Refused, Repository
from tests.histories.works import Work, catalogue
from tests.histories.world import HOUR, SECOND, World

T = TypeVar("T")
REPOSITORIES = ("one/a", "one/b", "two/c")
WORKS = catalogue("rules")
IMAGES = [work for work in WORKS.works.values() if not work.children]
INDEXES = [work for work in WORKS.works.values() if work.children]
TAGS = ("t0", "t1", "t2")

repositories = st.sampled_from(REPOSITORIES)
contents = st.sampled_from(list(WORKS.contents.values()))
works = st.sampled_from(list(WORKS.works.values()))
tags = st.sampled_from(TAGS)
tag_sets = st.sampled_from([(), (), ("t0",), ("t1",), ("t2",), ("t0", "t1")])
nodes = st.sampled_from((0, 1))
places = st.integers(0, 60)  # among what is there


def pick(place: int, there: list[T], otherwise: T) -> T:
    """Something that is there, or now and then something else."""
    choices = [*there, otherwise]
    return choices[place % len(choices)]


class Rules(RuleBasedStateMachine):
    """A subclass says in which world; one for all its histories."""

    world: World
    did: Counter[str]

    def __init__(self) -> None:
        super().__init__()
        self.world.run(self.world.empty())
        chosen = self.world.settings
        self.model = Model(
            self.world.still.now,
            lease=int(chosen.uploads.lease_seconds * SECOND),
            grace=int(chosen.collection.grace_hours * HOUR),
        )

        self.steps = 0
        self.pointed: list[tuple[str, str, Digest]] = []  # where tags pointed ever

    @initialize(works=st.lists(works, min_size=2, max_size=4), names=st.lists(repositories, min_size=4, max_size=4))
    def begin(self, works: list[Work], names: list[str]) -> None:
        for work, name in zip(works, names, strict=False):
            self.push_all(0, name, work, ("t0",))

    def both(self, expected: Callable[[], object], act: Coroutine[Any, Any, object]) -> bool:
        """Does it to the model and to the registry, which have to agree; whether it was done."""
        try:
            foreseen: object = "done" if expected() is not False else False
        except Refused as refused:
            foreseen = refused.name
        happened = self.world.run(outcome(act))
        self.did[f"{_name(act)}: {happened}"] += 1
        self._number()
        assert happened == foreseen, f"the model says {foreseen}, the registry {happened}"
        return foreseen == "done"

    def told(self, act: Coroutine[Any, Any, Any]) -> Any:
        """What it gives, or the name of the refusal."""
        given = self.world.run(_given(act))
        self.did[f"{_name(act)}: {given if isinstance(given, str) else 'done'}"] += 1
        return given

    def _number(self) -> None:
        """Tells repositories that were just made apart from others of their name."""
        for repository in self.model.repositories:
            if not repository.number:
                repository.number = self.read(partial(_number, name=repository.name))

    def read(self, ask: Callable[[Transaction], Coroutine[Any, Any, Any]]) -> Any:
        return self.world.run(_read(self.world, ask))

    def _live(self, place: int) -> tuple[str, Digest]:
        live = [(one.name, digest) for one in self.model.here for digest in one.live]
        return pick(place, live, ("one/a", IMAGES[0].digest))

    def at(self, node: int) -> Hands:
        return self.world.hands[node]

    # Pushing

    @rule(node=nodes, name=repositories, content=contents)
    def push_blob(self, node: int, name: str, content: Any) -> None:
        self.both(lambda: self.model.push_blob(name, content), self.at(node).push_blob(name, content))

    @rule(node=nodes, name=repositories, content=contents, source=st.none() | repositories)
    def mount(self, node: int, name: str, content: Any, source: str | None) -> None:
        digest = content.digest
        self.both(lambda: self.model.mount(name, digest, source), self.at(node).mount(name, digest, source))

    @rule(node=nodes, name=repositories, content=contents)
    def head(self, node: int, name: str, content: Any) -> None:
        self.both(lambda: self.model.head(name, content.digest), self.at(node).head(name, content.digest))

    @rule(node=nodes, name=repositories, work=works, names=tag_sets)
    def put(self, node: int, name: str, work: Work, names: tuple[str, ...]) -> None:
        self._put(node, name, work, names)

    @rule(node=nodes, name=repositories, work=works, names=tag_sets)
    def push_all(self, node: int, name: str, work: Work, names: tuple[str, ...]) -> None:
        """As a client does: what is missing first."""
        for blob in work.blobs:
            if self._refused(partial(self.model.head, name, blob), self.at(node).head(name, blob)):
                self.push_blob(node, name, WORKS.contents[blob])
        for child in work.children:
            self.push_all(node, name, WORKS.works[child], ())
        self._put(node, name, work, (work.cosign_tag,) if work.cosign_tag else names)

    def _put(self, node: int, name: str, work: Work, names: tuple[str, ...]) -> None:
        done = self.both(lambda: self.model.put(name, work, *names), self.at(node).put(name, work, *names))
        if done:
            self.pointed += [(name, tag, work.digest) for tag in names]

    def _refused(self, expected: Callable[[], object], act: Coroutine[Any, Any, object]) -> bool:
        return not self.both(expected, act)

    # Deleting

    @rule(node=nodes, place=places)
    def delete_tag(self, node: int, place: int) -> None:
        name, tag = pick(place, [(one.name, tag) for one in self.model.here for tag in one.tags], ("one/a", "t0"))
        self.both(lambda: self.model.delete_tag(name, tag), self.at(node).delete_tag(name, tag))

    @rule(node=nodes, place=places)
    def delete_manifest(self, node: int, place: int) -> None:
        name, digest = self._live(place)
        self.both(lambda: self.model.delete_manifest(name, digest), self.at(node).delete_manifest(name, digest))

    @rule(node=nodes, place=places, content=contents)
    def delete_blob(self, node: int, place: int, content: Any) -> None:
        held = [(one.name, digest) for one in self.model.here for digest in sorted(one.held)]
        name, digest = pick(place, held, ("one/a", content.digest))
        self.both(lambda: self.model.delete_blob(name, digest), self.at(node).delete_blob(name, digest))

    @rule(node=nodes, place=places, whole=st.booleans())
    def delete_repository(self, node: int, place: int, whole: bool) -> None:
        if whole:
            self.delete_project(node, ("one", "two")[place % 2])
            return
        name = pick(place, [one.name for one in self.model.here], "one/a")
        trash = self.at(node).registry.trash
        act = trash.delete_repository(RepositoryName(name), actor=ACTOR)
        self.both(lambda: self.model.delete_repository(name), act)

    def delete_project(self, node: int, name: str) -> None:
        act = self.at(node).registry.trash.delete_project(name, actor=ACTOR)
        self.both(lambda: self.model.delete_project(name), act)

    @rule(node=nodes, place=places, tag=st.none() | tags, off=st.booleans())
    def pin(self, node: int, place: int, tag: str | None, off: bool) -> None:
        if off:
            self.unpin(node, place)
            return
        name, digest = self._live(place)
        target = TagName(tag) if tag else digest
        act = self.at(node).registry.pins.add(RepositoryName(name), target, reason="so", actor=ACTOR)
        self.both(lambda: self.model.pin(name, tag, digest), act)

    def unpin(self, node: int, place: int) -> None:
        pinned: list[tuple[str, str | None, Digest]]
        pinned = [(one.name, tag, Digest()) for one in self.model.here for tag in sorted(one.pinned_tags)]
        pinned += [(one.name, None, digest) for one in self.model.here for digest in sorted(one.pinned)]
        name, tag, digest = pick(place, pinned, ("one/a", "t0", Digest()))
        target = TagName(tag) if tag else digest
        act = self.at(node).registry.pins.remove(RepositoryName(name), target, actor=ACTOR)
        self.both(lambda: self.model.unpin(name, tag, digest), act)

    # The ways back, and the end

    @rule(node=nodes, place=places)
    def restore_tag(self, node: int, place: int) -> None:
        gone = [(number, tag) for _, number, tag, _ in self.read(_trash).gone_tags]
        there = [(one.name, tag) for one in self.model.here for number, tag in gone if number == one.number]
        name, tag = pick(place, there, ("one/a", "t0"))
        self._restore(node, name, TagName(tag))

    @rule(node=nodes, place=places, work=works)
    def restore_manifest(self, node: int, place: int, work: Work) -> None:
        kept = [
            (one.name, digest) for one in self.model.here for digest, kept in one.manifests.items() if not kept.live
        ]
        self._restore(node, *pick(place, kept, ("one/a", work.digest)))

    def _restore(self, node: int, name: str, target: TagName | Digest) -> None:
        """All that went together comes back, but tags that are there again; who is told less was told why."""
        restoring = self.at(node).registry.trash.restoring
        repository, before = self.model.known(name), self.read(_trash)
        wanted = RepositoryName(name)
        entry = self.world.run(self.at(node).registry.trash.found(wanted, target))
        if isinstance(target, TagName):
            told = self.told(restoring.tag(wanted, target, reason=None, actor=ACTOR))
        else:
            told = self.told(restoring.manifest(wanted, target, reason=None, actor=ACTOR))
        if isinstance(told, str):
            exists = repository is not None and target in repository.tags
            assert exists or entry is None or repository is None, told
            return
        assert repository is not None
        assert entry is not None
        assert not any(repository.manifests[digest].live for digest in told.manifests), told
        assert before.members(entry.id) <= set(told.manifests), "something of the entry stayed away"
        assert set(told.tags).isdisjoint(repository.tags), told
        targets = before.tags(entry.id)
        assert set(targets) <= {*told.tags, *told.taken}, told
        assert all(name in repository.tags for name in told.taken if name not in told.tags), told
        if isinstance(target, TagName):
            assert target in told.tags, told
        else:
            assert target in told.manifests, told
        self.model.bring_back(
            repository, told.manifests, {str(tag): before.target(repository, tag) for tag in told.tags}
        )

    @rule(node=nodes, place=places, tag=tags)
    def roll_back(self, node: int, place: int, tag: str) -> None:
        name, tag, digest = pick(place, self.pointed, ("one/a", tag, Digest(IMAGES[0].digest)))
        restoring = self.at(node).registry.trash.restoring
        act = restoring.rollback(RepositoryName(name), TagName(tag), digest, reason="so", actor=ACTOR)
        told, repository = self.told(act), self.model.known(name)
        if isinstance(told, str):
            assert told in {
                "RepositoryUnknown",
                "RepositoryInTrash",
                "NeverPointedThere",
                "PointsThere",
                "BytesGone",
                "Pinned",
            }
            return
        assert repository is not None
        assert tag not in repository.pinned_tags
        attached = self.world.run(_targets(self.at(node), name))
        assert set(attached.items()) >= {*(repository.tags | {tag: digest}).items()}
        self.model.bring_back(repository, told.manifests, attached)

    @rule(node=nodes, place=places, whole=st.booleans())
    def restore_repository(self, node: int, place: int, whole: bool) -> None:
        if whole:
            self.restore_project(node, ("one", "two")[place % 2])
            return
        name = pick(place, [one.name for one in self.model.repositories if not one.here], "one/a")
        restoring, before = self.at(node).registry.trash.restoring, self.read(_trash)
        act = restoring.repository(RepositoryName(name), as_name=None, reason=None, actor=ACTOR)
        told = self.told(act)
        if not isinstance(told, str):
            self._shown(before)
        else:
            self._justified(told, before, name, "repository")

    def restore_project(self, node: int, name: str) -> None:
        restoring, before = self.at(node).registry.trash.restoring, self.read(_trash)
        told = self.told(restoring.project(name, reason=None, actor=ACTOR))
        if not isinstance(told, str):
            self.model.projects.add(name)
            self._shown(before)
        else:
            self._justified(told, before, name, "project")

    def _shown(self, before: "Trash") -> None:
        """Repositories are here again, as they were when they went."""
        back = self.read(_here) - {one.number for one in self.model.repositories if one.here}
        for repository in self.model.repositories:
            if repository.number in back:
                repository.here = True
                assert not any(
                    repository is not one and one.here and one.name == repository.name
                    for one in self.model.repositories
                )
                assert not before.over(repository.number), "it came back after its time"

    def _justified(self, told: str, before: "Trash", name: str, kind: str) -> None:
        """Somebody was told that it cannot come back."""
        if self.model.known(name) is None and name not in self.model.projects and told != "ProjectInTrash":
            assert not before.restorable(kind, name, self.model.now), told

    @rule(node=nodes, place=st.integers(0, 5))
    def purge(self, node: int, place: int) -> None:
        """Nobody sees it; what goes is what is in the entry and nobody else needs."""
        trash = self.at(node).registry.trash
        page = self.world.run(trash.page(size=100))
        if page:
            entry = page[place % len(page)].entry
            before = self.read(_trash)
            told = self.told(trash.purge(entry.id, actor=ACTOR))
            assert not isinstance(told, str) or told == "Pinned", told
            self._purged(before, {entry.id})

    @rule(node=nodes)
    def purge_due(self, node: int) -> None:
        before = self.read(_trash)
        due = {entry for entry, goes_at in before.goes_at.items() if goes_at <= self.model.now}
        self.world.run(_purge_due(self.at(node)))
        self._purged(before, due)

    def _purged(self, before: "Trash", entries: set[int]) -> None:
        after = self.read(_trash)
        assert entries.isdisjoint(after.goes_at), "an entry outlived its purge"
        for repository in self.model.repositories:
            whole = before.of_repository.get(repository.number) in entries
            for digest, kept in list(repository.manifests.items()):
                place = (repository.number, digest)
                if place in after.of_manifest:
                    assert not whole, "a repository was purged and has a manifest"
                    entry = after.of_manifest[place]
                    assert (entry is None) == kept.live
                    assert entry is None or entry not in entries, "it is in an entry that is gone"
                else:
                    assert whole or before.of_manifest[place] in entries, "a manifest went that was not in the entry"
                    needed = any(digest in one.work.needs for one in repository.manifests.values() if one is not kept)
                    removed = [d for d in repository.manifests if (repository.number, d) not in after.of_manifest]
                    needed = needed and any(
                        digest in repository.manifests[one].work.needs
                        for one in repository.manifests
                        if one not in removed
                    )
                    assert not needed, "a manifest went that another one needs"
            for digest in [d for d in repository.manifests if (repository.number, d) not in after.of_manifest]:
                self.model.forget(repository, digest)
            if whole:
                repository.tags.clear()
            repository.noted = self.read(partial(_noted, number=repository.number))

    # What people do one after another, and seldom comes about by itself

    @rule(node=nodes, place=places, parts=st.booleans(), back=st.booleans())
    def delete_with_parts(self, node: int, place: int, parts: bool, back: bool) -> None:
        """Its blobs too, where nothing else needs them; perhaps all of it comes back, whoever collected meanwhile."""
        name, digest = self._live(place)
        blobs = [blob for one in WORKS.belonging(digest) for blob in WORKS.works[one].blobs]
        act = self.at(node).delete_manifest(name, digest)
        if not self.both(lambda: self.model.delete_manifest(name, digest), act):
            return
        for blob in dict.fromkeys(blobs if parts else ()):
            self.both(partial(self.model.delete_blob, name, blob), self.at(node).delete_blob(name, blob))
        if back:
            self.wait_and_collect(node, 121)
            self._restore(node, name, digest)
        else:
            self.purge(node, 0)

    @rule(node=nodes, name=repositories, work=st.sampled_from(INDEXES), purged=st.booleans())
    def delete_index_then_child(self, node: int, name: str, work: Work, purged: bool) -> None:
        """A child that a tag had kept goes by itself, and is needed by what went before it."""
        child = work.children[0]
        self.push_all(node, name, work, ())
        self._put(node, name, WORKS.works[child], ("t2",))
        for digest in (work.digest, child):
            act = self.at(node).delete_manifest(name, digest)
            self.both(partial(self.model.delete_manifest, name, digest), act)
        if purged:
            self.purge(node, 0)
        self._restore(node, name, work.digest)

    @rule(node=nodes, early=st.sampled_from((1, 61, 100)), name=repositories, work=works)
    def look_and_push(self, node: int, early: int, name: str, work: Work) -> None:
        """Who is told that blobs are there names them within the lease, and somebody collects just before."""
        for blob in work.blobs:
            self.push_blob(node, name, WORKS.contents[blob])
        self.pass_time(early)
        for blob in work.blobs:
            self.both(partial(self.model.head, name, blob), self.at(node).head(name, blob))
        self.wait_and_collect(1 - node, 59)
        self._put(node, name, work, ())

    @rule(node=nodes, seconds=st.sampled_from((31, 121)))
    def wait_and_collect(self, node: int, seconds: int) -> None:
        self.pass_time(seconds)
        self.collect(node)

    # Time and collecting

    @rule(seconds=st.sampled_from((1, 29, 31, 59, 61, 121, 3601)))
    def pass_time(self, seconds: int) -> None:
        self.world.still.now += seconds * SECOND
        self.model.now = self.world.still.now
        self.world.run(self.world.tell_time())

    @rule(node=nodes)
    def collect(self, node: int) -> None:
        """What it says beforehand that it will free is what it frees."""
        collector, stored = self.at(node).registry.collector, {*self.model.stored}
        self.model.collect()
        assert self.world.run(_preview(self.at(node))) == stored - self.model.stored
        self.world.run(_collect(collector))
        left = self.world.files()
        rows = {
            key for (key,) in self.read(lambda tx: tx.fetch_all("SELECT key FROM blobs")) if not key.startswith("row:")
        }
        assert set(left) == rows, "files are not what rows name"

    @rule(node=nodes)
    def collect_without_removing(self, node: int) -> None:
        """As one that died in between."""
        self.model.collect()
        self.world.run(_collect_rows(self.at(node).registry.collector))

    def teardown(self) -> None:
        """In the end everything can go, and nothing is left."""
        hands = self.at(0)
        for repository in self.model.here:
            for tag in repository.pinned_tags:
                self.world.run(hands.registry.pins.remove(RepositoryName(repository.name), TagName(tag), actor=ACTOR))
            for digest in repository.pinned:
                self.world.run(hands.registry.pins.remove(RepositoryName(repository.name), digest, actor=ACTOR))
        for project in ("one", "two"):
            self.world.run(_given(hands.registry.trash.delete_project(project, actor=ACTOR)))
        for seconds in (3601, 3601):
            self.world.still.now += seconds * SECOND
            self.world.run(self.world.tell_time())
            self.world.run(_purge_due(hands))
            self.world.run(_collect(hands.registry.collector))
        assert self.read(invariants.left_over) == []
        assert self.world.files() == []

    # Looking

    @invariant()
    def nothing_is_broken(self) -> None:
        assert self.read(invariants.broken) == []

    @invariant()
    def what_is_seen_is_what_the_model_says(self) -> None:
        self.steps += 1
        if self.steps % self.world.look_every:
            return
        for name, seen in self.world.run(_seen(self.at(0))).items():
            repository = self.model.known(name)
            assert seen.tags == (repository.tags if repository else None), name
            assert seen.manifests == set(repository.live if repository else ()), name
            assert seen.blobs == (repository.held if repository else set()), name

    @invariant()
    def what_is_stored_is_what_the_model_says(self) -> None:
        stored = {digest for (digest,) in self.read(lambda tx: tx.fetch_all("SELECT digest FROM blobs"))}
        assert stored == self.model.stored


async def _read(world: World, ask: Callable[[Transaction], Coroutine[Any, Any, Any]]) -> Any:
    return await world.databases[0].read(ask)


async def outcome(act: Awaitable[object]) -> object:
    """What it gave, or the name of the refusal."""
    try:
        given = await act
    except PierheadError as refused:
        return type(refused).__name__
    return given if isinstance(given, bool) and not given else "done"


def _name(act: object) -> str:
    """Of the method that is about to run."""
    return str(getattr(act, "__qualname__", act))


@dataclass(frozen=True, slots=True)
class Seen:
    """What a client can find in a repository; no tags where there is none."""

    tags: dict[str, Digest] | None
    manifests: set[Digest]
    blobs: set[Digest]


async def _seen(hands: Hands) -> dict[str, Seen]:
    return {
        name: Seen(
            await _tags(hands, name),
            {digest for digest in WORKS.works if await _manifest(hands, name, digest)},
            {digest for digest in WORKS.contents if await _blob(hands, name, digest)},
        )
        for name in REPOSITORIES
    }


async def _tags(hands: Hands, name: str) -> dict[str, Digest] | None:
    try:
        return await _targets(hands, name)
    except RepositoryUnknown:
        return None


async def _manifest(hands: Hands, name: str, digest: Digest) -> bool:
    try:
        found, text = await hands.manifest(name, digest)
    except (ManifestUnknown, RepositoryUnknown):
        return False
    assert (found, text) == (digest, WORKS.works[digest].text)
    return True


async def _blob(hands: Hands, name: str, digest: Digest) -> bool:
    try:
        data = await hands.blob(name, digest)
    except BlobUnknown:
        return False
    assert data == WORKS.contents[digest].data
    return True


@dataclass(frozen=True, slots=True)
class Trash:
    """What is in the trash, by its rows; the model only knows that it is there."""

    goes_at: dict[int, int]  # of entries
    named: list[tuple[int, str, str]]  # entry, kind, name
    of_manifest: dict[tuple[int, Digest], int | None]
    of_repository: dict[int, int | None]
    gone_tags: list[tuple[int, int, str, Digest]]  # entry, repository, name, digest

    def members(self, entry: int) -> set[Digest]:
        return {digest for (_, digest), one in self.of_manifest.items() if one == entry}

    def tags(self, entry: int) -> dict[str, Digest]:
        return {name: digest for one, _, name, digest in self.gone_tags if one == entry}

    def target(self, repository: Repository, tag: str) -> Digest:
        """That it went with last."""
        return [digest for _, number, name, digest in self.gone_tags if (number, name) == (repository.number, tag)][-1]

    def over(self, repository: int) -> bool:
        return self.of_repository.get(repository) is None

    def restorable(self, kind: str, name: str, now: int) -> bool:
        return any((what, one) == (kind, name) and self.goes_at[entry] > now for entry, what, one in self.named)


async def _trash(tx: Transaction) -> Trash:
    entries = await tx.fetch_all("SELECT id, kind, name, goes_at FROM trash ORDER BY id")
    manifests = await tx.fetch_all("SELECT repository_id, digest, trash_id FROM manifests")
    hidden = await tx.fetch_all("SELECT id, trash_id FROM repositories")
    gone = await tx.fetch_all(
        """
        SELECT trash_tags.trash_id, trash_tags.repository_id, trash_tags.name, manifests.digest
          FROM trash_tags JOIN manifests ON manifests.id = trash_tags.manifest_id ORDER BY trash_tags.trash_id
        """
    )
    return Trash(
        {row[0]: row[3] for row in entries},
        [row[:3] for row in entries],
        {(number, Digest(digest)): entry for number, digest, entry in manifests},
        dict(hidden),
        [(entry, number, name, Digest(digest)) for entry, number, name, digest in gone],
    )


async def _number(tx: Transaction, name: str) -> int:
    row = await tx.fetch_one("SELECT id FROM repositories WHERE name = :name", name=name)
    assert row is not None
    number: int = row[0]
    return number


async def _here(tx: Transaction) -> set[int]:
    """Repositories under names that clients can ask for."""
    rows = await tx.fetch_all("SELECT id, name FROM repositories")
    return {number for number, name in rows if "@" not in name}


async def _noted(tx: Transaction, number: int) -> dict[Digest, Noted]:
    rows = await tx.fetch_all(
        "SELECT digest, since, leased_until FROM unreferenced_blobs WHERE repository_id = :number", number=number
    )
    return {Digest(digest): Noted(since, until) for digest, since, until in rows}


async def _given(act: Awaitable[Any]) -> Any:
    """What it gave, or the name of the refusal."""
    try:
        return await act
    except PierheadError as refused:
        return type(refused).__name__


async def _purge_due(hands: Hands) -> None:
    while await hands.registry.trash.purge_due():
        pass


async def _preview(hands: Hands) -> set[Digest]:
    return {freed.digest async for freed in hands.registry.collector.preview()}


async def _collect(collector: Collector) -> None:
    async for _ in collector.run(rests=False):
        pass


async def _collect_rows(collector: Collector) -> None:
    _, after = await collector.collect()
    while after is not None:
        _, after = await collector.collect(after)


async def _targets(hands: Hands, name: str) -> dict[str, Digest]:
    return {tag: (await hands.manifest(name, tag))[0] for tag in await hands.tags(name)}
