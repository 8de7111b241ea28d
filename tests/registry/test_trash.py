"""What goes into the trash together, and what comes out of it: on either database."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pierhead.errors import (
    BlobUnknown,
    BytesGone,
    ManifestUnknown,
    NameTaken,
    NeverPointedThere,
    NotInTrash,
    Pinned,
    PointsThere,
    ProjectInTrash,
    ProjectUnknown,
    RepositoryInTrash,
    RepositoryUnknown,
    StillNeeded,
    TagExists,
    TimeOver,
)
from pierhead.metadata.trail import Filters
from pierhead.models import Digest, RepositoryName, TagName
from pierhead.registry.restoring import Restored
from pierhead.settings import ManifestSettings, Settings, TrashSettings, UntaggedSettings
from tests.contracts.database import Place
from tests.registry.pushing import ALICE, APP, Pushing, digest_of, pushing

pytestmark = pytest.mark.anyio

DAYS_14 = 14 * 24


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def app(place: Place, tmp_path: Path) -> AsyncIterator[Pushing]:
    async with pushing(place, tmp_path) as app:
        yield app


async def restore(app: Pushing, reference: str, *, reason: str | None = "by mistake") -> Restored:
    restoring = app.registry.trash.restoring
    if ":" in reference:
        return await restoring.manifest(app.repository, Digest(reference), reason=reason, actor=ALICE)
    return await restoring.tag(app.repository, TagName(reference), reason=reason, actor=ALICE)


async def told(app: Pushing, subject: str) -> list[tuple[str, object]]:
    """What the audit trail says of a subject, the first first: actions with their details."""
    page = await app.registry.audit.page(Filters(subject=subject), size=50)
    return [(event.action, json.loads(event.details or "null")) for event in reversed(page.events)]


def attached(digest: Digest, suffix: str) -> str:
    return f"sha256-{digest.hex}{suffix}"


async def purge_all(app: Pushing) -> None:
    while await app.registry.trash.purge_due():
        pass


async def test_a_deleted_tag_leaves_its_manifest_and_comes_back(app: Pushing) -> None:
    image = await app.image("a", "v1")
    await app.delete("v1")
    gone = not await app.has("v1") and await app.has(image)
    restored = await restore(app, "v1")

    assert gone
    assert await app.target("v1") == image
    assert (restored.tags, restored.manifests, restored.taken) == ([TagName("v1")], [], [])
    assert await app.history("v1") == [("created", None, image), ("deleted", image, None), ("restored", None, image)]
    assert await app.rows("SELECT reason FROM events WHERE action = 'tag.restored'") == [("by mistake",)]
    assert await app.registry.trash.page(size=10) == []


async def test_a_restored_tag_can_be_deleted_again(app: Pushing) -> None:
    await app.image("a", "v1")
    for _ in range(3):
        await app.delete("v1")
        await restore(app, "v1")

    assert await app.has("v1")
    assert [action for action, _, _ in await app.history("v1")] == ["created", *["deleted", "restored"] * 3]


async def test_an_index_its_images_referrers_and_signatures_live_and_die_together(app: Pushing) -> None:
    images = [await app.image(text) for text in "ab"]
    index = await app.index(images, "v1", "latest")
    sbom = await app.image("sbom", subject=images[0])
    nested = await app.image("signed sbom", subject=sbom)
    signature = await app.image("signature", attached(index, ".sig"))
    attestation = await app.image("attestation", attached(images[1], ".att"))
    fallback = await app.index([sbom], attached(images[0], ""))
    everything = [*images, index, sbom, nested, signature, attestation, fallback]
    await app.delete(index)
    left = [await app.has(one) for one in everything]
    tags = await app.tags()
    restored = await restore(app, index)

    assert not any(left)
    assert tags == []
    assert sorted(restored.manifests) == sorted(everything)
    assert all([await app.has(one) for one in everything])
    assert await app.target("latest") == index
    assert await app.target(attached(index, ".sig")) == signature
    assert (await app.registry.referrers.page(APP, images[0], artifact_type=None, after="", size=10)).descriptors


async def test_what_somebody_else_wants_does_not_go_along(app: Pushing) -> None:
    tagged, shared, plain = await app.image("a", "amd64"), await app.image("b"), await app.image("c")
    pinned = await app.image("d")
    await app.change(
        "INSERT INTO pins (repository_id, digest, reason, actor, made_at) SELECT id, :d, 'why', 'me', 0"
        " FROM repositories",
        d=pinned,
    )
    other = await app.index([shared], "other")
    wanted_referrer = await app.image("report", "report", subject=tagged)
    index = await app.index([tagged, shared, plain, pinned], "v1")
    await app.delete(index)

    assert [await app.has(one) for one in (tagged, shared, pinned, other, wanted_referrer)] == [True] * 5
    assert not await app.has(plain)


async def test_a_diamond_of_indexes_goes_and_comes_back_whole(app: Pushing) -> None:
    bottom = await app.image("bottom")
    sides = [await app.index([bottom], note=side) for side in ("left", "right")]
    top = await app.index(sides, "top")
    with pytest.raises(StillNeeded, match=str(top)):
        await app.delete(sides[0])
    await app.delete(top)
    gone = [await app.has(one) for one in (top, *sides, bottom)]
    await restore(app, "top")

    assert not any(gone)
    assert all([await app.has(one) for one in (top, *sides, bottom)])


async def test_what_only_the_trash_needs_can_be_deleted_and_comes_back(app: Pushing) -> None:
    child = await app.image("a", "child")
    index = await app.index([child], "v1")
    with pytest.raises(StillNeeded):
        await app.delete(child)
    await app.delete(index)
    await app.delete(child)
    with pytest.raises(ManifestUnknown):
        await app.delete(child)
    restored = await restore(app, index)

    assert await app.has(index)
    assert await app.has(child)
    assert TagName("child") not in restored.tags
    assert await app.tags() == ["v1"]


async def test_a_child_that_comes_back_with_its_index_brings_what_had_gone_along_with_it(app: Pushing) -> None:
    child = await app.image("a", "child")
    index = await app.index([child], "v1")
    report, signature = await app.image("r", subject=child), await app.image("s", attached(child, ".sig"))
    await app.delete(index)
    await app.delete(child)
    await restore(app, "v1")
    after = await app.tags()
    await restore(app, "child")

    assert all([await app.has(one) for one in (child, report, signature)])
    assert after == [attached(child, ".sig"), "v1"]
    assert await app.tags() == ["child", attached(child, ".sig"), "v1"]
    assert await app.registry.trash.page(size=10) == []


async def test_a_referrer_that_was_deleted_by_itself_stays_deleted(app: Pushing) -> None:
    image = await app.image("a", "v1")
    report = await app.image("r", subject=image)
    await app.delete(report)
    await app.delete(image)
    await restore(app, "v1")

    assert await app.has(image)
    assert not await app.has(report)


async def test_what_went_along_is_unknown_to_a_second_delete(app: Pushing) -> None:
    child = await app.image("a")
    index = await app.index([child], "v1")
    await app.delete(index)

    with pytest.raises(ManifestUnknown):
        await app.delete(child)


async def test_blobs_that_were_released_meanwhile_are_held_again(app: Pushing) -> None:
    image = await app.image("a", "v1")
    await app.delete(image)
    await app.registry.blobs.delete(APP, digest_of(b"a"), actor=ALICE)
    await restore(app, "v1")

    assert await app.has("v1")


async def test_a_tag_that_exists_again_is_not_moved(app: Pushing) -> None:
    old = await app.image("a", "v1", "v1.0")
    await app.delete(old)
    new = await app.image("b", "v1")
    with pytest.raises(TagExists, match=f"pierhead rollback team/app:v1 --to {old}"):
        await restore(app, "v1")
    restored = await restore(app, old)

    assert await app.target("v1") == new
    assert await app.target("v1.0") == old
    assert (restored.tags, restored.taken) == ([TagName("v1.0")], [TagName("v1")])


async def test_pushing_it_again_revives_a_manifest(app: Pushing) -> None:
    image = await app.image("a", "v1")
    await app.delete(image)
    again = await app.image("a")

    assert again == image
    assert await app.has(image)
    assert await app.tags() == []


async def test_restoring_says_what_is_not_there(app: Pushing) -> None:
    image = await app.image("a", "v1")
    with pytest.raises(NotInTrash):
        await restore(app, "v1")
    with pytest.raises(NotInTrash):
        await restore(app, image)
    with pytest.raises(NotInTrash):
        await restore(app, "v2")
    with pytest.raises(RepositoryUnknown):
        await restore(app.elsewhere("team/none"), "v1")
    with pytest.raises(NotInTrash):
        await app.registry.trash.restoring.repository(RepositoryName("team/none"), reason=None, actor=ALICE)
    with pytest.raises(NotInTrash):
        await app.registry.trash.restoring.project("none", reason=None, actor=ALICE)


async def test_what_its_time_is_over_does_not_come_back(app: Pushing) -> None:
    image = await app.image("a", "v1")
    await app.delete(image)
    await app.let_time_pass(DAYS_14 - 1)
    assert await app.registry.trash.way_back(APP, TagName("v1"))
    await app.let_time_pass(1)
    assert await app.registry.trash.way_back(APP, TagName("v1")) is None
    with pytest.raises(TimeOver):
        await restore(app, "v1")
    await purge_all(app)
    with pytest.raises(TimeOver, match="purged"):
        await restore(app, "v1")
    with pytest.raises(TimeOver, match="purged"):
        await restore(app, image)

    assert (await app.history("v1"))[-1] == ("expired", image, None)
    assert await app.rows("SELECT digest FROM manifests") == []
    assert await app.rows("SELECT digest FROM manifest_contents") == []
    noted = {digest for (digest,) in await app.rows("SELECT digest FROM unreferenced_blobs")}
    assert noted == {digest_of(b"a"), digest_of(b"{}")}


async def test_a_purge_hands_over_what_another_entry_needs(app: Pushing) -> None:
    child = await app.image("a", "child")
    index = await app.index([child], "v1")
    await app.delete(index)
    await app.delete(child)
    entry = (await app.registry.trash.page(size=1))[0].entry
    assert entry.digest == child
    await app.registry.trash.purge(entry.id, actor=ALICE)
    await restore(app, "v1")

    assert await app.has(index)
    assert await app.has(child)


async def test_a_purge_says_what_it_frees(app: Pushing) -> None:
    image = await app.image("only here", "v1")
    await app.image("elsewhere", "v2")
    await app.delete(image)
    listed = (await app.registry.trash.page(size=10))[0]
    purged = await app.registry.trash.purge(listed.entry.id, actor=ALICE)
    [(size,)] = await app.rows("SELECT length(content) FROM manifest_contents")

    assert (listed.weight.manifests, listed.weight.tags) == (1, 1)
    # All but the config, which the other one needs too; the manifests are as long as their layers' sizes tell.
    assert purged.weight.bytes == len("only here") + size
    assert await app.registry.trash.page(size=10) == []
    with pytest.raises(NotInTrash):
        await app.registry.trash.purge(listed.entry.id, actor=ALICE)


async def test_two_purges_at_once_do_what_one_does(app: Pushing) -> None:
    images = [await app.image(str(number)) for number in range(120)]
    await app.delete(await app.index(images, "v1"))
    kept = await app.image("1", "kept")
    await app.let_time_pass(DAYS_14)
    await asyncio.gather(*(app.registry.trash.purge_due() for _ in range(3)))
    await purge_all(app)

    assert await app.rows("SELECT digest FROM manifests") == [(kept,)]
    assert await app.registry.trash.page(size=10) == []
    assert await app.rows("SELECT count(*) FROM events WHERE action = 'manifest.purged'") == [(120,)]


async def test_what_is_pinned_is_not_purged(app: Pushing) -> None:
    image = await app.image("a", "v1")
    await app.delete(image)
    await app.change(
        "INSERT INTO pins (repository_id, digest, reason, actor, made_at) SELECT id, :d, 'why', 'me', 0"
        " FROM repositories",
        d=image,
    )
    entry = (await app.registry.trash.page(size=1))[0].entry
    with pytest.raises(Pinned):
        await app.registry.trash.purge(entry.id, actor=ALICE)
    await app.let_time_pass(DAYS_14)
    await purge_all(app)
    await restore(app, "v1")

    assert await app.has("v1")


async def test_a_deleted_repository_is_hidden_and_comes_back_whole(app: Pushing) -> None:
    image = await app.image("a", "v1")
    entry = await app.registry.trash.delete_repository(APP, reason="old", actor=ALICE)
    hidden = not await app.has("v1")
    listed = (await app.registry.repositories.page(after="", size=10)).names
    weight = (await app.registry.trash.find(entry.id)).weight
    with pytest.raises(RepositoryInTrash, match="pierhead restore team/app"):
        await restore(app, "v1")
    way_back = await app.registry.trash.way_back(APP, TagName("v1"))
    await app.registry.trash.restoring.repository(APP, reason="oops", actor=ALICE)

    assert hidden
    assert listed == []
    assert (weight.manifests, weight.tags) == (1, 1)
    assert way_back
    assert way_back.endswith(": pierhead restore team/app")
    assert await app.target("v1") == image
    assert await app.rows("SELECT action, reason FROM events WHERE action LIKE 'repository.%' ORDER BY id") == [
        ("repository.deleted", "old"),
        ("repository.restored", "oops"),
    ]
    assert await app.registry.trash.page(size=10) == []


async def test_a_repository_whose_name_is_in_use_comes_back_under_another_one(app: Pushing) -> None:
    old = await app.image("a", "v1")
    await app.registry.trash.delete_repository(APP, actor=ALICE)
    new = await app.image("b", "v1")
    with pytest.raises(NameTaken, match="--as NAME"):
        await app.registry.trash.restoring.repository(APP, reason=None, actor=ALICE)
    other = app.elsewhere("rescued/app")
    await app.registry.trash.restoring.repository(APP, as_name=other.repository, reason=None, actor=ALICE)

    assert await app.target("v1") == new
    assert await other.target("v1") == old
    projects = "SELECT projects.name FROM repositories JOIN projects ON projects.id = project_id WHERE"
    assert await app.rows(f"{projects} repositories.name = 'rescued/app'") == [("rescued",)]


async def test_of_two_repositories_of_a_name_either_comes_back(app: Pushing) -> None:
    first = await app.image("a", "v1")
    entry = await app.registry.trash.delete_repository(APP, actor=ALICE)
    await app.image("b", "v1")
    await app.registry.trash.delete_repository(APP, actor=ALICE)
    await app.registry.trash.restoring.repository(APP, entry_id=entry.id, reason=None, actor=ALICE)

    assert await app.target("v1") == first


async def test_a_deleted_project_is_hidden_and_comes_back_whole(app: Pushing) -> None:
    other, apart = app.elsewhere("team/other"), app.elsewhere("teams/app")
    for one in (app, other, apart):
        await one.image("a", "v1")
    before = app.elsewhere("team/before")
    await before.image("a", "v1")
    await app.registry.trash.delete_repository(before.repository, actor=ALICE)
    await app.registry.trash.delete_project("team", actor=ALICE)
    hidden = [await one.has("v1") for one in (app, other, apart)]
    with pytest.raises(ProjectInTrash, match="pierhead restore team --project"):
        await app.registry.trash.restoring.repository(APP, reason=None, actor=ALICE)
    with pytest.raises(ProjectInTrash):
        await app.registry.trash.restoring.repository(before.repository, reason=None, actor=ALICE)
    way_back = await app.registry.trash.way_back(APP)
    restored = await app.registry.trash.restoring.project("team", reason=None, actor=ALICE)
    await app.registry.trash.restoring.repository(before.repository, reason=None, actor=ALICE)

    assert hidden == [False, False, True]
    assert way_back
    assert way_back.endswith(": pierhead restore team --project")
    assert restored.repositories == 2
    assert all([await one.has("v1") for one in (app, other, apart, before)])


async def test_a_project_does_not_come_back_over_another_one(app: Pushing) -> None:
    await app.image("a", "v1")
    first = await app.registry.trash.delete_project("team", actor=ALICE)
    await app.image("b", "v1")
    with pytest.raises(NameTaken):
        await app.registry.trash.restoring.project("team", reason=None, actor=ALICE)
    await app.registry.trash.delete_project("team", actor=ALICE)
    await app.registry.trash.restoring.project("team", entry_id=first.id, reason=None, actor=ALICE)

    assert await app.target("v1") == await app.image("a")


async def test_nothing_that_is_pinned_is_deleted(app: Pushing) -> None:
    await app.image("a", "v1")
    await app.change(
        "INSERT INTO pins (repository_id, tag, reason, actor, made_at) SELECT id, 'v1', 'released', 'bob', 0"
        " FROM repositories"
    )
    with pytest.raises(Pinned, match="bob: released"):
        await app.registry.trash.delete_repository(APP, actor=ALICE)
    with pytest.raises(Pinned, match="bob: released"):
        await app.registry.trash.delete_project("team", actor=ALICE)

    assert await app.has("v1")
    assert await app.registry.trash.page(size=10) == []
    with pytest.raises(ProjectUnknown):
        await app.registry.trash.delete_project("none", actor=ALICE)
    with pytest.raises(RepositoryUnknown):
        await app.registry.trash.delete_repository(RepositoryName("team/none"), actor=ALICE)


@pytest.mark.parametrize("whole", ["repository", "project"])
async def test_a_purged_repository_leaves_its_history_and_notes_its_blobs(app: Pushing, whole: str) -> None:
    image = await app.image("a", "v1")
    await app.image("b", "v2")
    await app.delete("v2")
    await app.blob("never named")
    await app.change("DELETE FROM unreferenced_blobs")
    if whole == "project":
        entry = await app.registry.trash.delete_project("team", actor=ALICE)
    else:
        entry = await app.registry.trash.delete_repository(APP, actor=ALICE)
    await app.registry.trash.purge(entry.id, actor=ALICE)
    with pytest.raises(TimeOver):
        await app.registry.trash.restoring.repository(APP, reason=None, actor=ALICE)

    assert await app.rows("SELECT id FROM manifests") == []
    assert await app.rows("SELECT name FROM tags") == []
    assert await app.registry.trash.page(size=10) == []
    assert (await app.history("v1"))[-1] == ("expired", image, None)
    noted = {digest for (digest,) in await app.rows("SELECT digest FROM unreferenced_blobs")}
    assert noted == {digest_of(text.encode()) for text in ("a", "b", "{}", "never named")}
    again = await app.image("a", "v1")
    assert await app.target("v1") == again


async def test_a_project_has_its_own_window(app: Pushing) -> None:
    await app.image("a", "v1", "v2")
    default = await app.registry.trash.window("team")
    await app.registry.trash.set_window("team", 0, actor=ALICE)
    await app.delete("v1")
    with pytest.raises(TimeOver):
        await restore(app, "v1")
    own = await app.registry.trash.set_window("team", 3600, actor=ALICE)
    await app.delete("v2")
    [listed] = await app.registry.trash.page(APP, size=1)

    assert (default.seconds, default.own) == (DAYS_14 * 3600, False)
    assert (own.seconds, own.own) == (3600, True)
    assert (listed.entry.goes_at - listed.entry.deleted_at) // 1_000_000 == 3600
    assert not (await app.registry.trash.set_window("team", None, actor=ALICE)).own
    with pytest.raises(ProjectUnknown):
        await app.registry.trash.set_window("none", 1, actor=ALICE)
    assert (await told(app, "project:team"))[1:] == [  # after its creation
        ("project.window-set", {"before": None, "after": 0}),
        ("project.window-set", {"before": 0, "after": 3600}),
        ("project.window-set", {"before": 3600, "after": None}),
    ]


async def test_what_becomes_of_a_project_is_in_the_audit_trail(app: Pushing) -> None:
    trash = app.registry.trash
    await app.image("a", "v1")
    await trash.delete_project("team", reason="over", actor=ALICE)
    await trash.restoring.project("team", reason="not yet", actor=ALICE)
    again = await trash.delete_project("team", actor=ALICE)
    await trash.purge(again.id, actor=ALICE)

    assert [action for action, _ in await told(app, "project:team")] == [
        "project.created", "project.deleted", "project.restored", "project.deleted", "project.purged",
    ]  # fmt: skip


async def test_without_a_window_nothing_is_kept(place: Place, tmp_path: Path) -> None:
    async with pushing(place, tmp_path, Settings(trash=TrashSettings(keep_hours=0))) as app:
        image = await app.image("a", "v1")
        await app.delete(image)
        assert await app.registry.trash.way_back(APP, TagName("v1")) is None
        assert await app.registry.trash.any_due()
        await purge_all(app)

        assert await app.rows("SELECT id FROM manifests") == []


async def test_a_tag_is_rolled_back_and_forth(app: Pushing) -> None:
    first, second = await app.image("a", "v1"), await app.image("b", "v1")
    rollback = app.registry.trash.restoring.rollback
    back = await rollback(APP, TagName("v1"), None, reason="broken", actor=ALICE)
    assert await app.target("v1") == first
    await rollback(APP, TagName("v1"), None, reason="not so", actor=ALICE)

    assert (back.before, back.after, back.manifests) == (second, first, [])
    assert await app.target("v1") == second
    assert (await app.history("v1"))[-2:] == [("restored", second, first), ("restored", first, second)]
    assert await app.rows("SELECT reason FROM events WHERE action = 'tag.restored' ORDER BY id") == [
        ("broken",),
        ("not so",),
    ]


async def test_rolling_back_fetches_what_lies_in_the_trash(app: Pushing) -> None:
    child = await app.image("a")
    first = await app.index([child], "v1", "old")
    report = await app.image("r", subject=first)
    await app.image("b", "v1")
    await app.delete(first)
    done = await app.registry.trash.restoring.rollback(APP, TagName("v1"), first, reason="broken", actor=ALICE)

    assert sorted(done.manifests) == sorted([child, first, report])
    assert await app.target("v1") == first
    assert await app.tags() == ["v1"]
    await restore(app, "old")
    assert await app.target("old") == first


async def test_a_deleted_tag_is_rolled_back_too(app: Pushing) -> None:
    image = await app.image("a", "v1")
    await app.delete("v1")
    done = await app.registry.trash.restoring.rollback(APP, TagName("v1"), None, reason="oops", actor=ALICE)

    assert (done.before, done.after) == (None, image)
    assert await app.has("v1")


async def test_a_tag_is_rolled_back_to_nothing_but_its_own_history(app: Pushing) -> None:
    first = await app.image("a", "v1")
    never = await app.image("never", "v2")
    second = await app.image("b", "v1")
    rollback, tag = app.registry.trash.restoring.rollback, TagName("v1")
    with pytest.raises(NeverPointedThere, match="pierhead history team/app:v1"):
        await rollback(APP, tag, never, reason="why", actor=ALICE)
    with pytest.raises(NeverPointedThere):
        await rollback(APP, TagName("v2"), None, reason="why", actor=ALICE)
    with pytest.raises(PointsThere):
        await rollback(APP, tag, second, reason="why", actor=ALICE)
    await app.delete(first)
    await app.let_time_pass(DAYS_14)
    with pytest.raises(BytesGone):
        await rollback(APP, tag, first, reason="why", actor=ALICE)
    await purge_all(app)
    with pytest.raises(BytesGone):
        await rollback(APP, tag, None, reason="why", actor=ALICE)

    assert await app.target("v1") == second


async def test_a_pinned_tag_is_not_rolled_back(app: Pushing) -> None:
    first = await app.image("a", "v1")
    second = await app.image("b", "v1")
    await app.change(
        "INSERT INTO pins (repository_id, tag, reason, actor, made_at) SELECT id, 'v1', 'released', 'bob', 0"
        " FROM repositories"
    )
    with pytest.raises(Pinned):
        await app.registry.trash.restoring.rollback(APP, TagName("v1"), first, reason="why", actor=ALICE)

    assert await app.target("v1") == second


async def test_what_no_tag_names_goes_after_its_time_where_nobody_wants_it(place: Place, tmp_path: Path) -> None:
    async with pushing(place, tmp_path, Settings(untagged=UntaggedSettings(keep_hours=1))) as app:
        old, moved = await app.image("a", "v1"), await app.image("b", "v1")
        child = await app.image("child")
        await app.index([child], "index")
        waiting = await app.image("referrer", subject=digest_of(b"not here yet"))
        report = await app.image("report", subject=old)
        alone = await app.index([await app.image("grandchild")])
        young_before = await app.registry.untagged.expire()
        await app.change("UPDATE manifests SET untagged_at = untagged_at - 3600000000")
        young = await app.image("young")
        count = await app.registry.untagged.expire()

        assert young_before == 0
        assert count == 2
        assert [await app.has(one) for one in (moved, child, waiting, young)] == [True] * 4
        assert [await app.has(one) for one in (old, report, alone)] == [False] * 3
        assert await app.registry.untagged.expire() == 0
        await restore(app, old)
        assert await app.registry.untagged.expire() == 0
        assert await app.has(old)


async def test_two_tags_that_go_at_once_leave_an_untagged_manifest(app: Pushing) -> None:
    for number in range(10):
        await app.image(str(number), f"a{number}", f"b{number}")
    await asyncio.gather(*(app.delete(f"{letter}{number}") for number in range(10) for letter in "ab"))

    assert await app.rows("SELECT count(*) FROM manifests WHERE untagged_at IS NULL") == [(0,)]


async def test_pushing_it_again_begins_its_time_without_a_tag_anew(app: Pushing) -> None:
    await app.image("a")
    await app.change("UPDATE manifests SET untagged_at = 1")
    await app.image("a")

    assert await app.rows("SELECT count(*) FROM manifests WHERE untagged_at = 1") == [(0,)]


async def test_untagged_manifests_stay_where_nothing_says_otherwise(app: Pushing) -> None:
    image = await app.image("a")
    await app.change("UPDATE manifests SET untagged_at = 0")

    assert not await app.registry.untagged.any_old()
    assert await app.registry.untagged.expire() == 0
    assert await app.has(image)


async def test_where_it_is_allowed_what_is_needed_can_be_deleted_unless_a_pinned_one_needs_it(
    place: Place, tmp_path: Path
) -> None:
    async with pushing(place, tmp_path, Settings(manifests=ManifestSettings(allow_delete_needed=True))) as app:
        child = await app.image("a")
        index = await app.index([child], "v1")
        await app.index([index], "top")
        await app.change(
            "INSERT INTO pins (repository_id, tag, reason, actor, made_at) SELECT id, 'top', 'why', 'me', 0"
            " FROM repositories"
        )
        with pytest.raises(Pinned):
            await app.delete(child)
        await app.change("DELETE FROM pins")
        await app.delete(child)

        assert not await app.has(child)
        assert await app.has(index)


async def test_restoring_beside_pushes_loses_nothing(app: Pushing) -> None:
    images = [await app.image(str(number), f"v{number}") for number in range(8)]

    async def disturb(number: int) -> None:
        for _ in range(5):
            await app.delete(images[number])
            if number % 2:
                await app.image(str(number), f"v{number}")
            else:
                await restore(app, images[number])

    async def push() -> None:
        for number in range(20):
            await app.image(f"new {number}", "latest", f"new{number}")

    await asyncio.gather(*map(disturb, range(8)), push())

    assert all([await app.has(image) for image in images])
    assert sorted(await app.tags()) == sorted(
        ["latest", *(f"v{number}" for number in range(8)), *(f"new{number}" for number in range(20))]
    )


async def test_the_store_is_told_what_went_and_what_came_back(app: Pushing, tmp_path: Path) -> None:
    image = await app.image("a", "v1")
    await app.change("DELETE FROM owed_copies")
    owed = "SELECT what, repository, tag, digest FROM owed_copies ORDER BY id"
    steps = []
    await app.delete(image)
    steps.append(await app.rows(owed))
    await app.change("DELETE FROM owed_copies")
    await restore(app, "v1")
    steps.append(await app.rows(owed))
    await app.change("DELETE FROM owed_copies")
    await app.registry.trash.delete_project("team", actor=ALICE)
    await app.registry.trash.restoring.project("team", reason=None, actor=ALICE)
    steps.append(await app.rows(owed))

    deleted = ("deleted", "team/app", None, image)
    pushed = [("pushed", "team/app", None, image), ("pushed", "team/app", "v1", image)]
    assert steps == [[deleted], pushed, [deleted, *pushed]]


async def test_restoring_gives_a_repository_no_blob_that_it_never_held(app: Pushing) -> None:
    """A manifest of an unknown type may name anything: its parts are not required."""
    secret = await app.elsewhere("secret/x").blob("what others may not read")
    other = "application/x-of-mine"
    made = await app.manifest({"mediaType": other, "layers": [{"mediaType": "a/b", "digest": secret, "size": 24}]}, "t")
    await app.delete(made)
    await restore(app, "t")

    with pytest.raises(BlobUnknown):
        await app.registry.blobs.find(app.repository, secret)


async def test_a_blob_that_only_the_trash_needs_is_deleted_and_comes_back_with_it(app: Pushing) -> None:
    image = await app.image("a", "v1")
    await app.delete(image)
    await app.registry.blobs.delete(app.repository, digest_of(b"a"), actor=ALICE)
    with pytest.raises(BlobUnknown):
        await app.registry.blobs.find(app.repository, digest_of(b"a"))
    await restore(app, image)

    assert await app.has(image)


async def test_a_blob_that_went_since_it_was_found_is_promised_to_nobody(app: Pushing) -> None:
    blob = await app.registry.blobs.find(app.repository, await app.blob("a"))
    await app.registry.blobs.delete(app.repository, blob.digest, actor=ALICE)

    with pytest.raises(BlobUnknown):
        await app.registry.blobs.lease(app.repository, blob.digest)
