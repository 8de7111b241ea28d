"""Tags of several repositories that move together or not at all, on both databases."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from pierhead.errors import ManifestUnknown, Pinned, PreconditionFailed, PromotionInvalid, RepositoryUnknown
from pierhead.models import Digest, RepositoryName, TagName
from pierhead.registry.promotions import STEPS_MAX, Expected, Promoted, Step
from pierhead.registry.registry import Registry
from tests.contracts.database import Place
from tests.registry.acting import ALICE, APP, OTHER, acting, digest_of, push

pytestmark = pytest.mark.anyio

STABLE = TagName("stable")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def registry(place: Place, tmp_path: Path) -> AsyncIterator[Registry]:
    async with acting(place, tmp_path) as registry:
        yield registry


async def stable(registry: Registry) -> list[Digest | None]:
    """What the tag is in both repositories."""
    found: list[Digest | None] = [None, None]
    for place, repository in enumerate((APP, OTHER)):
        with suppress(ManifestUnknown):
            found[place] = (await registry.manifests.find(repository, STABLE)).digest
    return found


async def both(registry: Registry, text: str) -> Digest:
    for repository in (APP, OTHER):
        digest = await push(registry, repository, "", text)
    return digest


async def test_tags_of_several_repositories_move_together_and_say_why(registry: Registry) -> None:
    one, two = await both(registry, "one"), await both(registry, "two")
    await push(registry, APP, "stable", "one")
    steps = [Step(APP, STABLE, two, one), Step(OTHER, STABLE, two, Expected.ABSENT)]

    assert await registry.promotions.promote(steps, reason="release 2", actor=ALICE) == [
        Promoted(steps[0], one),
        Promoted(steps[1], None),
    ]
    assert await stable(registry) == [two, two]
    for repository, action in ((APP, "moved"), (OTHER, "created")):
        entry = (await registry.history.page(repository, STABLE, size=1)).entries[0]
        assert (entry.action, entry.reason, entry.actor) == (action, "release 2", ALICE)


async def test_the_same_batch_a_second_time_moves_nothing(registry: Registry) -> None:
    one = await both(registry, "one")
    steps = [Step(APP, STABLE, one, Expected.ABSENT), Step(OTHER, STABLE, one)]
    await registry.promotions.promote(steps, actor=ALICE)
    again = await registry.promotions.promote(steps, actor=ALICE)

    assert [promoted.moved for promoted in again] == [False, False]
    assert len((await registry.history.page(APP, STABLE, size=9)).entries) == 1


@pytest.mark.parametrize("place_of_the_bad", [0, 1])
@pytest.mark.parametrize(
    ("bad", "refusal"),
    [
        (Step(RepositoryName("team/none"), STABLE, digest_of(b"x")), RepositoryUnknown),
        (Step(OTHER, STABLE, digest_of(b"unknown")), ManifestUnknown),
        (Step(OTHER, STABLE, digest_of(b"{}")), ManifestUnknown),
    ],
)
async def test_what_is_not_there_keeps_the_whole_batch_from_moving(
    registry: Registry, bad: Step, refusal: type[Exception], place_of_the_bad: int
) -> None:
    one = await both(registry, "one")
    steps = [Step(APP, STABLE, one)]
    steps.insert(place_of_the_bad, bad)
    with pytest.raises(refusal):
        await registry.promotions.promote(steps, actor=ALICE)

    assert await stable(registry) == [None, None]


async def test_a_tag_that_is_not_what_was_expected_keeps_the_whole_batch_from_moving(registry: Registry) -> None:
    one, two = await both(registry, "one"), await both(registry, "two")
    for repository in (APP, OTHER):
        await push(registry, repository, "stable", "one")

    for expected in (Expected.ABSENT, digest_of(b"another")):
        with pytest.raises(PreconditionFailed, match=f"team/other:stable is {one}"):
            await registry.promotions.promote(
                [Step(APP, STABLE, two, one), Step(OTHER, STABLE, two, expected)], actor=ALICE
            )
    await registry.tags.delete(OTHER, STABLE, actor=ALICE)
    with pytest.raises(PreconditionFailed, match="not there"):
        await registry.promotions.promote([Step(APP, STABLE, two, one), Step(OTHER, STABLE, two, one)], actor=ALICE)
    assert await stable(registry) == [one, None]


async def test_a_pinned_tag_and_what_is_in_the_trash_keep_the_whole_batch_from_moving(registry: Registry) -> None:
    one, two = await both(registry, "one"), await both(registry, "two")
    await push(registry, OTHER, "stable", "one")
    await registry.pins.add(OTHER, STABLE, reason="kept", actor=ALICE)
    with pytest.raises(Pinned, match="kept"):
        await registry.promotions.promote([Step(APP, STABLE, two), Step(OTHER, STABLE, two)], actor=ALICE)
    await registry.pins.remove(OTHER, STABLE, actor=ALICE)
    await registry.manifests.delete(OTHER, two, actor=ALICE)
    with pytest.raises(ManifestUnknown):
        await registry.promotions.promote([Step(APP, STABLE, two), Step(OTHER, STABLE, two)], actor=ALICE)

    assert await stable(registry) == [None, one]


async def test_a_tag_that_stands_in_it_twice_and_too_many_are_refused(registry: Registry) -> None:
    digest = digest_of(b"x")
    with pytest.raises(PromotionInvalid, match="team/app:stable is in it twice"):
        await registry.promotions.promote([Step(APP, STABLE, digest), Step(APP, STABLE, digest_of(b"y"))], actor=ALICE)
    many = [Step(APP, TagName(f"t{number}"), digest) for number in range(STEPS_MAX + 1)]
    with pytest.raises(PromotionInvalid, match="at most"):
        await registry.promotions.promote(many, actor=ALICE)


async def test_batches_in_whatever_order_never_wait_for_each_other_and_never_mix(registry: Registry) -> None:
    digests = [await both(registry, str(number)) for number in range(8)]

    async def promote(number: int) -> None:
        steps = [Step(APP, STABLE, digests[number]), Step(OTHER, STABLE, digests[number])]
        await registry.promotions.promote(steps[:: 1 if number % 2 else -1], actor=ALICE)

    for _ in range(5):
        await asyncio.gather(*(promote(number) for number in range(8)))
        found = await stable(registry)
        assert found[0] == found[1]


async def test_of_many_who_swap_one_batch_each_turn_is_won_by_one(registry: Registry) -> None:
    digests = [await both(registry, str(number)) for number in range(9)]
    current: Digest = digests[8]
    await registry.promotions.promote([Step(APP, STABLE, current), Step(OTHER, STABLE, current)], actor=ALICE)

    async def swap(number: int, before: Digest) -> Digest | None:
        with suppress(PreconditionFailed):
            steps = [Step(repository, STABLE, digests[number], before) for repository in (APP, OTHER)]
            await registry.promotions.promote(steps, actor=ALICE)
            return digests[number]
        return None

    for _ in range(5):
        contenders = [number for number in range(8) if digests[number] != current]
        won = [one for one in await asyncio.gather(*(swap(number, current) for number in contenders)) if one]
        assert len(won) == 1
        current = won[0]
        assert await stable(registry) == [current, current]
