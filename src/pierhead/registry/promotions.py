"""Promotions: tags of several repositories that move together, or not at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from pierhead.errors import ManifestUnknown, PreconditionFailed, PromotionInvalid, RepositoryUnknown
from pierhead.metadata import copies, events, locks, manifests, repositories, tags
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.manifests import Held
from pierhead.models import Actor, Digest, RepositoryName, TagName
from pierhead.registry.manifests import point

STEPS_MAX = 1000


class Expected(Enum):
    """What a tag may point to before a step, where that is no digest."""

    ANYTHING = "anything"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Step:
    """A tag, and a manifest of its repository that it is to point to."""

    repository: RepositoryName
    tag: TagName
    digest: Digest
    expected: Digest | Expected = Expected.ANYTHING  # a tag that points to `digest` already is as it shall be

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"


@dataclass(frozen=True, slots=True)
class Promoted:
    """A step that was taken: what the tag pointed to; None where it was not there."""

    step: Step
    before: Digest | None

    @property
    def moved(self) -> bool:
        return self.before != self.step.digest


class Promotions:
    def __init__(self, database: Database, *, copied: bool) -> None:
        self._database = database
        self._copied = copied  # whether the store keeps copies of what happens

    async def promote(self, steps: Sequence[Step], *, reason: str | None = None, actor: Actor) -> list[Promoted]:
        """Takes all steps at one moment, or none. The same batch a second time moves nothing.

        Raises PromotionInvalid, RepositoryUnknown, ManifestUnknown, PreconditionFailed, Pinned.
        """
        _require_sound(steps)

        async def promote(tx: Transaction) -> list[Promoted]:
            held = {locks.repository(step.repository, shared=True) for step in steps}
            await tx.lock(*held, *(locks.tag(step.repository, step.tag) for step in steps))
            return [await self._take(tx, step, reason=reason, actor=actor) for step in steps]

        return await self._database.write(promote)

    async def _take(self, tx: Transaction, step: Step, *, reason: str | None, actor: Actor) -> Promoted:
        repository_id, manifest = await _find(tx, step)
        before = await tags.target(tx, repository_id, step.tag)
        _require_expected(step, before)
        promoted = Promoted(step, before)
        if promoted.moved:
            await point(tx, repository_id, step.tag, manifest.id, before=before)
            event_id = await events.record(
                tx, "tag.moved", repository_id, actor, tag=step.tag, before=before, after=step.digest, reason=reason
            )
            move = tags.Move(repository_id, step.tag, "moved" if before else "created", before, step.digest, event_id)
            await tags.remember(tx, move)
            if self._copied:
                await copies.owe(
                    *(tx, "pushed", step.digest),
                    repository=step.repository,
                    tag=step.tag,
                    media_type=manifest.media_type,
                )
        return promoted


def _require_sound(steps: Sequence[Step]) -> None:
    if len(steps) > STEPS_MAX:
        raise PromotionInvalid(f"{len(steps)} tags, at most {STEPS_MAX} are taken")
    seen: set[tuple[RepositoryName, TagName]] = set()
    for step in steps:
        if (step.repository, step.tag) in seen:
            raise PromotionInvalid(f"{step} is in it twice")
        seen.add((step.repository, step.tag))


async def _find(tx: Transaction, step: Step) -> tuple[int, Held]:
    """The ids of a step's repository and manifest."""
    repository_id = await repositories.identify(tx, step.repository)
    if repository_id is None:
        raise RepositoryUnknown(step.repository)
    manifest = await manifests.find(tx, repository_id, step.digest)
    if manifest is None or not manifest.live:
        raise ManifestUnknown(f"{step.repository}@{step.digest}")
    return repository_id, manifest


def _require_expected(step: Step, current: Digest | None) -> None:
    if step.expected is Expected.ANYTHING or current == step.digest:
        return
    if current != (None if step.expected is Expected.ABSENT else step.expected):
        raise PreconditionFailed(f"{step} is {current or 'not there'}")
