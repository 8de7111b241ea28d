"""The rules of a registry against their model, in histories that Hypothesis makes up; `test_rules` runs them.

After each step all that a client can see is compared with the model, and what has to be so at every moment is asked.
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pierhead.errors import BlobUnknown, PierheadError, RepositoryUnknown
from pierhead.metadata.database import Transaction
from pierhead.models import Digest
from tests.histories import invariants
from tests.histories.hands import Hands
from tests.histories.model import Model, Refused
from tests.histories.works import Work, catalogue
from tests.histories.world import HOUR, SECOND, World

REPOSITORIES = ("one/a", "one/b", "two/c")
WORKS = catalogue("rules")
IMAGES = [work for work in WORKS.works.values() if not work.children]
TAGS = ("t0", "t1", "t2")

repositories = st.sampled_from(REPOSITORIES)
contents = st.sampled_from(list(WORKS.contents.values()))
works = st.sampled_from(list(WORKS.works.values()))
tags = st.sampled_from(TAGS)
tag_sets = st.sampled_from([(), (), ("t0",), ("t1",), ("t2",), ("t0", "t1")])
nodes = st.sampled_from((0, 1))


class Rules(RuleBasedStateMachine):
    """A subclass says in which world; one for all its histories."""

    world: World
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.world.run(self.world.empty())
        chosen = self.world.settings
        self.model = Model(
            self.world.still.now,
            lease=int(chosen.uploads.lease_seconds * SECOND),
            keep=int(chosen.trash.keep_hours * HOUR),
            grace=int(chosen.collection.grace_hours * HOUR),
        )

    def both(self, expected: Callable[[], object], act: Coroutine[Any, Any, object]) -> bool:
        """Does it to the model and to the registry, which have to agree; whether it was done."""
        type(self).steps += 1
        try:
            foreseen: object = "done" if expected() is not False else False
        except Refused as refused:
            foreseen = refused.name
        happened = self.world.run(outcome(act))
        assert happened == foreseen, f"the model says {foreseen}, the registry {happened}"
        return foreseen == "done"

    def read(self, ask: Callable[[Transaction], Coroutine[Any, Any, Any]]) -> Any:
        return self.world.run(_read(self.world, ask))

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
            if self._refused(lambda blob=blob: self.model.head(name, blob), self.at(node).head(name, blob)):
                self.push_blob(node, name, WORKS.contents[blob])
        for child in work.children:
            self.push_all(node, name, WORKS.works[child], ())
        self._put(node, name, work, (work.cosign_tag,) if work.cosign_tag else names)

    def _put(self, node: int, name: str, work: Work, names: tuple[str, ...]) -> None:
        self.both(lambda: self.model.put(name, work, *names), self.at(node).put(name, work, *names))

    def _refused(self, expected: Callable[[], object], act: Coroutine[Any, Any, object]) -> bool:
        return not self.both(expected, act)

    # Deleting

    @rule(node=nodes, name=repositories, tag=tags)
    def delete_tag(self, node: int, name: str, tag: str) -> None:
        self.both(lambda: self.model.delete_tag(name, tag), self.at(node).delete_tag(name, tag))

    @rule(node=nodes, name=repositories, work=works)
    def delete_manifest(self, node: int, name: str, work: Work) -> None:
        digest = work.digest
        self.both(lambda: self.model.delete_manifest(name, digest), self.at(node).delete_manifest(name, digest))

    @rule(node=nodes, name=repositories, content=contents)
    def delete_blob(self, node: int, name: str, content: Any) -> None:
        digest = content.digest
        self.both(lambda: self.model.delete_blob(name, digest), self.at(node).delete_blob(name, digest))

    # Time and collecting

    @rule(seconds=st.sampled_from((1, 29, 31, 59, 61, 121)))
    def pass_time(self, seconds: int) -> None:
        self.world.still.now += seconds * SECOND
        self.model.now = self.world.still.now
        self.world.run(self.world.tell_time())

    # Looking

    @invariant()
    def nothing_is_broken(self) -> None:
        assert self.read(invariants.broken) == []

    @invariant()
    def what_is_seen_is_what_the_model_says(self) -> None:
        hands = self.at(0)
        for name in REPOSITORIES:
            repository = self.model.known(name)
            assert self.world.run(_tags(hands, name)) == (sorted(repository.tags) if repository else None), name
            live = repository.live if repository else {}
            held = repository.held if repository else set()
            seen = {digest for digest in WORKS.works if self.world.run(_manifest(hands, name, digest))}
            assert seen == set(live), name
            there = {digest for digest in WORKS.contents if self.world.run(_blob(hands, name, digest))}
            assert there == held, name
            for tag, target in (repository.tags if repository else {}).items():
                assert self.world.run(hands.manifest(name, tag))[0] == target

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


async def _tags(hands: Hands, name: str) -> list[str] | None:
    try:
        return await hands.tags(name)
    except RepositoryUnknown:
        return None


async def _manifest(hands: Hands, name: str, digest: Digest) -> bool:
    try:
        found, text = await hands.manifest(name, digest)
    except PierheadError as refused:
        assert type(refused).__name__ in {"ManifestUnknown", "RepositoryUnknown"}  # noqa: PT017  either may be right
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
