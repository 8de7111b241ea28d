"""A process of a registry that many processes serve at once: clients and operators, all at work on the same few names.

It opens the registry as every process does that serves it, writes down what it does, and may be killed at any moment;
now and then it kills itself in the middle of something.
"""

import asyncio
import os
import random
import signal
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pierhead import places
from pierhead.errors import BlobMissing, BlobUnknown, ManifestPartUnknown, PierheadError
from pierhead.models import Digest, RepositoryName, TagName
from pierhead.registry.collector import Collector
from pierhead.registry.restoring import Restored, RolledBack
from pierhead.registry.trash import Listed
from pierhead.settings import Settings
from tests.histories.hands import ACTOR, Hands
from tests.histories.records import Recorder
from tests.histories.works import Catalogue, Work, catalogue

TAGS = ("t0", "t1", "t2")
CONTENTS = 5
CLIENTS = 5  # of a process
GRANTED = 2  # times as long as promised a lease lasts
DYING = 0.01  # of the acts that may be cut short
DEATH_SECONDS = 0.02  # after their begin, at most


@dataclass(frozen=True, slots=True)
class Stage:
    """A history's own names. Where it is calm nobody deletes blobs, repositories or projects."""

    number: int

    @property
    def calm(self) -> bool:
        return self.number % 2 == 0

    @property
    def project(self) -> str:
        return f"h{self.number}"

    @property
    def repositories(self) -> tuple[str, str]:
        return f"{self.project}/a", f"{self.project}/b"

    @property
    def works(self) -> Catalogue:
        return catalogue(self.project, contents=CONTENTS)


@dataclass(frozen=True, slots=True)
class Part:
    """What one process is to do, until a moment of the clock."""

    settings: Settings
    folder: Path
    number: int
    seed: str
    stages: tuple[int, ...]
    until: float
    mortal: bool
    environment: dict[str, str]


def play(part: Part) -> None:
    """The body of a process."""
    os.environ.update(part.environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(_play(part))


async def _play(part: Part) -> None:
    async with places.registry(part.settings) as registry:
        recorder = Recorder(part.folder / f"{part.number:06}")
        stages = [Stage(number) for number in part.stages]
        marks = asyncio.create_task(registry.marks.run())
        clients = [
            Client(Hands(registry), recorder, random.Random(f"{part.seed} {number}"), part, stages)
            for number in range(CLIENTS)
        ]
        await asyncio.gather(*(client.work() for client in clients))
        if registry.copies:
            while await registry.copies.pay():
                pass
        marks.cancel()
        with suppress(asyncio.CancelledError):
            await marks


class Client:
    """Does one thing after another, each with what it happens to know."""

    def __init__(
        self,
        hands: Hands,
        recorder: Recorder,
        chance: random.Random,
        part: Part,
        stages: list[Stage],
    ) -> None:
        self._hands = hands
        self._recorder = recorder
        self._random = chance
        self._part = part
        self._stages = stages
        self._catalogues = {stage.number: stage.works for stage in stages}
        self._lease = part.settings.uploads.lease_seconds
        self._doings: list[tuple[Callable[[Stage, str], Awaitable[None]], int, bool]] = [
            (self._push, 10, True),
            (self._push_late, 3, True),
            (self._retag, 3, True),
            (self._pull, 8, True),
            (self._delete_tag, 2, True),
            (self._delete_manifest, 6, True),
            (self._delete_blob, 2, False),
            (self._delete_repository, 1, False),
            (self._delete_project, 1, False),
            (self._delete_with_parts, 4, False),
            (self._restore, 4, True),
            (self._roll_back, 1, True),
            (self._purge, 5, True),
            (self._purge_due, 1, True),
            (self._collect, 4, True),
        ]

    async def work(self) -> None:
        while time.monotonic() < self._part.until:
            stage = self._random.choice(self._stages)
            doings = [(doing, weight) for doing, weight, calm in self._doings if calm or not stage.calm]
            doing = self._random.choices([one for one, _ in doings], [weight for _, weight in doings])[0]
            await doing(stage, self._random.choice(stage.repositories))
            await asyncio.sleep(0)

    async def look_at_all(self, stage: Stage, repository: str) -> None:
        for digest in self._works(stage).works:
            await self._whole(stage, repository, digest)
        for tag in TAGS:
            await self._whole(stage, repository, tag)

    async def _act(
        self, what: str, act: Awaitable[Any], asked: dict[str, Any], *, tell: Callable[[Any], Any] = str
    ) -> Any:
        """What came of it: what it gave, or the refusal that it raised."""
        number = self._recorder.begin(what, asked)
        self._perhaps_die(what)
        try:
            given = await act
        except ManifestPartUnknown as refused:
            self._recorder.end(number, type(refused).__name__, refused.missing)
            return refused
        except PierheadError as refused:
            self._recorder.end(number, type(refused).__name__, str(refused))
            return refused
        except Exception as failure:
            self._recorder.end(number, "failure", repr(failure))
            raise
        self._recorder.end(number, "done", tell(given))
        return given

    def _perhaps_die(self, what: str) -> None:
        if self._part.mortal and what != "read" and self._random.random() < DYING:
            after = self._random.uniform(0, DEATH_SECONDS)
            threading.Timer(after, os.kill, (os.getpid(), signal.SIGKILL)).start()

    def _works(self, stage: Stage) -> Catalogue:
        return self._catalogues[stage.number]

    def _work(self, stage: Stage) -> Work:
        return self._random.choice(list(self._works(stage).works.values()))

    # Pushing

    async def _push(self, stage: Stage, repository: str) -> None:
        await self._push_all(stage, repository, self._work(stage), top=True)

    async def _push_all(self, stage: Stage, repository: str, work: Work, *, top: bool = False) -> None:
        """As clients do: they ask for each part, and push what is not there."""
        for child in work.children:
            await self._push_all(stage, repository, self._works(stage).works[child])
        for blob in work.blobs:
            await self._ensure(stage, repository, blob)
        if self._random.random() < 0.6:
            await asyncio.sleep(self._random.uniform(0, self._lease * 1.1))
        tags = [work.cosign_tag] if work.cosign_tag else self._tags() if top else []
        await self._put(repository, work, *map(str, tags))

    async def _ensure(self, stage: Stage, repository: str, blob: Digest) -> None:
        asked = {"repository": repository, "digest": blob}
        if not isinstance(await self._act("head", self._hands.head(repository, blob), asked), PierheadError):
            return
        if self._random.random() < 0.3:
            source = self._random.choice((None, *stage.repositories))
            if await self._act("mount", self._hands.mount(repository, blob, source), asked) is True:
                return
        await self._act("push", self._hands.push_blob(repository, self._works(stage).contents[blob]), asked)

    async def _push_late(self, stage: Stage, repository: str) -> None:
        """At the moment at which somebody collects what no lease keeps any more: one of the two comes first."""
        work = self._work(stage)
        for blob in work.blobs:
            await self._ensure(stage, repository, blob)
        await asyncio.sleep(GRANTED * self._lease + self._random.uniform(0, 0.05))
        await asyncio.gather(self._put(repository, work), self._collect(stage, repository))

    async def _put(self, repository: str, work: Work, *tags: str) -> None:
        await self._act(
            "put",
            self._hands.put(repository, work, *tags),
            {"repository": repository, "digest": work.digest, "tags": tags},
        )

    def _tags(self) -> list[str]:
        return self._random.sample(TAGS, self._random.choice((0, 1, 1, 2)))

    async def _retag(self, stage: Stage, repository: str) -> None:
        await self._put(repository, self._work(stage), *self._tags())

    # Pulling

    async def _pull(self, stage: Stage, repository: str) -> None:
        work = self._work(stage)
        reference = self._random.choice((str(work.digest), *TAGS))
        await self._whole(stage, repository, reference)

    async def _whole(self, stage: Stage, repository: str, reference: str) -> None:
        """A manifest and all its parts."""
        since = time.monotonic()
        found = await self._manifest(stage, repository, reference)
        if found is None:
            return
        work = self._works(stage).works[found]
        for blob in work.blobs:
            data = await self._act(
                "blob", self._hands.blob(repository, blob), {"repository": repository, "digest": blob}, tell=len
            )
            if isinstance(data, BlobUnknown | BlobMissing):
                await self._missing(stage, repository, found, blob, since)
            elif not isinstance(data, PierheadError):
                assert data == self._works(stage).contents[blob].data, f"{repository}@{blob}"
        for child in work.children:
            if await self._manifest(stage, repository, child) is None:
                await self._missing(stage, repository, found, child, since)
            else:
                await self._whole(stage, repository, child)

    async def _manifest(self, stage: Stage, repository: str, reference: str) -> Digest | None:
        found = await self._act(
            "read",
            self._hands.manifest(repository, reference),
            {"repository": repository, "reference": reference},
            tell=lambda found: found[0],
        )
        if isinstance(found, PierheadError):
            return None
        digest, text = found
        assert text == self._works(stage).works[digest].text, f"{repository}@{digest}"
        return Digest(digest)

    async def _missing(self, stage: Stage, repository: str, digest: Digest, part: Digest, since: float) -> None:
        """Looks whether the manifest is still there; `judging` knows whether it may have been away meanwhile."""
        again = await self._manifest(stage, repository, digest)
        number = self._recorder.begin(
            "missing", {"repository": repository, "digest": digest, "part": part, "since": since}
        )
        self._recorder.end(number, "there" if again else "gone")

    # Deleting

    async def _delete_tag(self, stage: Stage, repository: str) -> None:
        tag = self._random.choice(TAGS)
        await self._act("delete tag", self._hands.delete_tag(repository, tag), {"repository": repository, "tag": tag})

    async def _delete_manifest(self, stage: Stage, repository: str) -> None:
        digest = self._work(stage).digest
        act = self._hands.delete_manifest(repository, digest)
        await self._act("delete manifest", act, {"repository": repository, "digest": digest})

    async def _delete_blob(self, stage: Stage, repository: str) -> None:
        digest = self._random.choice(list(self._works(stage).contents))
        act = self._hands.delete_blob(repository, digest)
        await self._act("delete blob", act, {"repository": repository, "digest": digest})

    async def _delete_with_parts(self, stage: Stage, repository: str) -> None:
        """A manifest and its blobs; then it comes back, with those that nobody collects while it is in the trash."""
        work = self._work(stage)
        asked = {"repository": repository, "digest": work.digest}
        act: Awaitable[Any] = self._hands.delete_manifest(repository, work.digest)
        if isinstance(await self._act("delete manifest", act, asked), PierheadError):
            return
        for blob in work.blobs:
            act = self._hands.delete_blob(repository, blob)
            await self._act("delete blob", act, {"repository": repository, "digest": blob})
        await self._collect(stage, repository)
        restoring = self._hands.registry.trash.restoring
        act = restoring.manifest(RepositoryName(repository), work.digest, reason=None, actor=ACTOR)
        asked = {"repository": repository, "kind": "manifest", "digest": work.digest}
        if not isinstance(
            await self._act("restore", act, asked, tell=lambda told: [told.manifests, told.tags]), PierheadError
        ):
            await self._whole(stage, repository, work.digest)

    async def _delete_repository(self, stage: Stage, repository: str) -> None:
        act = self._hands.registry.trash.delete_repository(RepositoryName(repository), actor=ACTOR)
        await self._act("delete repository", act, {"repository": repository})

    async def _delete_project(self, stage: Stage, repository: str) -> None:
        act = self._hands.registry.trash.delete_project(stage.project, actor=ACTOR)
        await self._act("delete project", act, {"repository": repository, "project": stage.project})

    # The ways back, and the end

    async def _restore(self, stage: Stage, repository: str) -> None:
        """Something of the trash, and looks at once whether it is whole."""
        listed = await self._entry(stage, repository)
        if listed is None:
            return
        restoring, name, entry = self._hands.registry.trash.restoring, RepositoryName(repository), listed.entry
        asked = {"repository": repository, "kind": entry.kind, "digest": entry.digest, "tag": entry.tag}
        why: dict[str, Any] = {"reason": None, "actor": ACTOR}
        act: Awaitable[Restored]
        if entry.kind == "tag" and entry.tag:
            act = restoring.tag(name, entry.tag, **why)
        elif entry.kind == "manifest" and entry.digest:
            act = restoring.manifest(name, entry.digest, **why)
        elif entry.kind == "repository":
            act = restoring.repository(name, as_name=None, **why)
        else:
            act = restoring.project(stage.project, **why)
        told = await self._act("restore", act, asked, tell=lambda told: [told.manifests, told.tags])
        if not isinstance(told, PierheadError):
            for digest in told.manifests:
                await self._whole(stage, repository, digest)

    async def _roll_back(self, stage: Stage, repository: str) -> None:
        tag, digest = self._random.choice(TAGS), self._work(stage).digest
        act: Awaitable[RolledBack] = self._hands.registry.trash.restoring.rollback(
            RepositoryName(repository), TagName(tag), digest, reason="so", actor=ACTOR
        )
        asked = {"repository": repository, "tag": tag, "digest": digest}
        told = await self._act("rollback", act, asked, tell=lambda told: told.manifests)
        if not isinstance(told, PierheadError):
            await self._whole(stage, repository, digest)

    async def _entry(self, stage: Stage, repository: str) -> Listed | None:
        name = stage.project if self._random.random() < 0.1 else repository
        page = await self._hands.registry.trash.page(name, size=10)
        return self._random.choice(page) if page else None

    async def _purge(self, stage: Stage, repository: str) -> None:
        entry = await self._entry(stage, repository)
        if entry is not None:
            act = self._hands.registry.trash.purge(entry.entry.id, actor=ACTOR)
            await self._act("purge", act, {"entry": entry.entry.id})

    async def _purge_due(self, stage: Stage, repository: str) -> None:
        await self._act("purge due", self._hands.registry.trash.purge_due(), {})

    async def _collect(self, stage: Stage, repository: str) -> None:
        await self._act("collect", collect(self._hands.registry.collector), {})


async def collect(collector: Collector) -> None:
    async for _ in collector.run(rests=False):
        pass
