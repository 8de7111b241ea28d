"""What was there at a moment, against what was seen to be there then: histories that Hypothesis makes up."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pierhead.errors import PierheadError, RepositoryUnknown
from pierhead.models import Digest, RepositoryName, TagName
from pierhead.registry.registry import Registry
from tests.contracts.database import Place
from tests.profiles import SOAK
from tests.registry.acting import ALICE, acting, digest_of, image, now, push

TAGS = [TagName(name) for name in ("a", "b", "c")]
TEXTS = ["one", "two", "three"]
EXAMPLES = 2_000 if SOAK else 40

tags, texts = st.sampled_from(TAGS), st.sampled_from(TEXTS)
acts = st.one_of(
    st.tuples(st.just("push"), tags, texts),
    st.tuples(st.just("push"), tags, texts),
    st.tuples(st.just("delete tag"), tags, st.none()),
    st.tuples(st.just("delete manifest"), st.none(), texts),
    st.tuples(st.just("restore tag"), tags, st.none()),
    st.tuples(st.just("restore manifest"), st.none(), texts),
    st.tuples(st.just("roll back"), tags, texts),
    st.tuples(st.just("delete repository"), st.none(), st.none()),
    st.tuples(st.just("restore repository"), st.integers(0, 2), st.none()),
    st.tuples(st.just("purge"), st.integers(0, 2), st.none()),
)
_numbers = count()


@dataclass
class World:
    """A repository name, and what was seen under it at each moment."""

    registry: Registry
    name: RepositoryName = field(default_factory=lambda: RepositoryName(f"p{next(_numbers)}/app"))
    seen: list[tuple[int, dict[TagName, Digest] | None]] = field(default_factory=list)

    async def do(self, what: str, which: TagName | int | None, text: str | None) -> None:
        registry, name = self.registry, self.name
        restoring = registry.trash.restoring
        tag = which if isinstance(which, TagName) else TAGS[0]
        digest = digest_of(image(text or ""))
        with suppress(PierheadError):
            if what == "push":
                await push(registry, name, tag, text or "")
            elif what == "delete tag":
                await registry.tags.delete(name, tag, actor=ALICE)
            elif what == "delete manifest":
                await registry.manifests.delete(name, digest, actor=ALICE)
            elif what == "restore tag":
                await restoring.tag(name, tag, reason=None, actor=ALICE)
            elif what == "restore manifest":
                await restoring.manifest(name, digest, reason=None, actor=ALICE)
            elif what == "roll back":
                await restoring.rollback(name, tag, digest, reason="back", actor=ALICE)
            elif what == "delete repository":
                await registry.trash.delete_repository(name, actor=ALICE)
            else:
                await self._of_the_trash(what, int(str(which)))
        self.seen.append((now(), await self._look()))

    async def _of_the_trash(self, what: str, which: int) -> None:
        entries = [listed.entry for listed in await self.registry.trash.page(self.name, size=9)]
        if what == "purge":
            for entry in entries[which : which + 1]:
                await self.registry.trash.purge(entry.id, actor=ALICE)
            return
        for entry in [entry for entry in entries if entry.kind == "repository"][which : which + 1]:
            await self.registry.trash.restoring.repository(self.name, entry_id=entry.id, reason=None, actor=ALICE)

    async def _look(self) -> dict[TagName, Digest] | None:
        """The tags as they are now; None where there is no repository."""
        try:
            names = (await self.registry.tags.page(self.name, after="", size=100)).names
        except RepositoryUnknown:
            return None
        return {name: (await self.registry.manifests.find(self.name, name)).digest for name in names}

    async def then(self, moment: int) -> dict[TagName, Digest] | None:
        """The tags as the history has them at a moment."""
        try:
            page = await self.registry.history.at(self.name, moment, size=100)
        except RepositoryUnknown:
            return None
        assert page.next is None
        found: dict[TagName, Digest] = {}
        for pointing in page.tags:
            assert pointing.target
            found[pointing.tag] = pointing.target.digest
            one = await self.registry.history.tag_at(self.name, pointing.tag, moment)
            assert one == pointing
        return found


@given(history=st.lists(acts, min_size=4, max_size=25))
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_moment_is_told_as_it_was_seen(
    place: Place, tmp_path: Path, history: list[tuple[str, TagName | int | None, str | None]]
) -> None:
    async def run() -> None:
        async with acting(place, tmp_path) as registry:
            world = World(registry)
            for act in history:
                await world.do(*act)
            told = [(moment, await world.then(moment)) for moment, _ in world.seen]
            assert told == world.seen

    asyncio.run(run())
