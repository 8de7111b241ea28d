"""Upload sessions over nodes that share a database and a store of objects, which has no locks: the row is the lock."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pierhead.blobs.objects import store
from pierhead.blobs.objects.bucket import Service
from pierhead.blobs.objects.notes import Notes
from pierhead.blobs.objects.store import ObjectStore
from pierhead.errors import MetadataUnavailable, StorageFailed, UploadBusy, UploadOutOfOrder, UploadUnknown
from pierhead.metadata import blobs as blob_rows
from pierhead.metadata import uploads as rows
from pierhead.metadata.clock import now
from pierhead.metadata.sqlite import engine
from pierhead.metadata.sqlite.database import SqliteDatabase
from pierhead.models import Actor, Digest, Mark, RepositoryName, Upload
from pierhead.registry.marks import Marks
from pierhead.registry.uploads import Receiving, Uploads
from pierhead.settings import StorageSettings, UploadSettings
from tests.blobs.objects.buckets import SERVICES, Opener
from tests.blobs.objects.usage import keys, pending, read

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
APP = RepositoryName("team/app")
ACTOR = Actor("alice")
SETTINGS = UploadSettings().model_copy(update={"takeover_seconds": 0.5})
DATA = random.Random(8).randbytes(40 * MIB + 3)


def digest_of(content: bytes, algorithm: str = "sha256") -> Digest:
    return Digest(f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}")


@dataclass(slots=True)
class Node:
    database: SqliteDatabase
    bucket: Service
    store: ObjectStore
    marks: Marks
    uploads: Uploads
    done: list[tuple[str, int]] = field(default_factory=list)  # operations of the store, with their bytes

    def count(self, operation: str) -> int:
        return sum(1 for name, _ in self.done if name == operation)

    async def patch(self, upload: Upload, *frames: bytes) -> Upload:
        async with self.uploads.receive(APP, upload.id) as receiving:
            await write(receiving, *frames)
            return await receiving.accept()

    async def finish(self, upload: Upload, digest: Digest, *frames: bytes) -> None:
        async with self.uploads.receive(APP, upload.id) as receiving:
            await write(receiving, *frames)
            await receiving.finish(digest, actor=ACTOR)

    async def pulled(self, digest: Digest) -> bytes:
        blob = await self.database.read(lambda tx: blob_rows.held(tx, APP, digest))
        assert blob is not None
        return await read(self.bucket, blob.key) if blob.size else b""

    async def row(self, upload: Upload) -> Upload:
        found = await self.database.read(lambda tx: rows.find(tx, upload.id))
        assert found is not None
        return found


async def left_of(bucket: Service, upload: Upload) -> list[str]:
    """Objects of a session, and uploads in parts that are not over."""
    unfinished = [f"{other.key}?" for other in await pending(bucket)]
    return [name for name in [*await keys(bucket), *unfinished] if upload.id in name]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  what is waited for is elsewhere
            await asyncio.sleep(0.02)


async def write(receiving: Receiving, *frames: bytes) -> None:
    for frame in frames:
        for at in range(0, len(frame), 256 * 1024):
            await receiving.write(frame[at : at + 256 * 1024])


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def opener(request: pytest.FixtureRequest) -> Opener:
    return SERVICES["s3"](request)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("uploads") / "pierhead.db"
    engine.prepare(path)
    return path


@pytest.fixture
async def nodes(path: Path, opener: Opener) -> AsyncIterator[list[Node]]:
    async with AsyncExitStack() as stack:
        yield [await node(stack, path, opener) for _ in range(3)]


async def node(stack: AsyncExitStack, path: Path, opener: Opener) -> Node:
    done: list[tuple[str, int]] = []
    database = await stack.enter_async_context(SqliteDatabase(path))
    observed = replace(opener, observe=lambda name, _, size, __: done.append((name, size)), budget_seconds=10)
    bucket = await stack.enter_async_context(observed.open())
    store = await stack.enter_async_context(ObjectStore(bucket, StorageSettings()))
    marks = Marks(database, store)
    return Node(database, bucket, store, marks, Uploads(database, store, marks, SETTINGS), done)


async def test_each_request_of_an_upload_may_reach_another_node(nodes: list[Node]) -> None:
    first, second, third = nodes
    upload = await first.uploads.start(APP)

    await first.patch(upload, DATA[: 20 * MIB])
    await second.patch(upload, DATA[20 * MIB : 21 * MIB])
    await third.patch(upload, DATA[21 * MIB : 21 * MIB + 7])
    await first.patch(upload)
    await second.finish(upload, digest_of(DATA), DATA[21 * MIB + 7 :])

    assert await third.pulled(digest_of(DATA)) == DATA
    again = sum(size for node in (first, second) for name, size in node.done if name == "get")
    assert again < 10 * MIB  # what was too little for a part, never the layer


async def test_what_came_whole_in_one_patch_is_put_once_and_never_read(nodes: list[Node]) -> None:
    upload = await nodes[0].uploads.start(APP)
    content = DATA[: 5 * MIB]

    await nodes[0].patch(upload, content)
    await nodes[1].finish(upload, digest_of(content))

    assert await nodes[2].pulled(digest_of(content)) == content
    assert [name for node in nodes[:2] for name, _ in node.done] == ["put"]


async def test_a_few_bytes_wait_in_the_row(nodes: list[Node]) -> None:
    upload = await nodes[0].uploads.start(APP)

    await nodes[0].patch(upload, b"a few")
    await nodes[1].patch(upload, b" bytes")
    assert [node.done for node in nodes[:2]] == [[], []]
    await nodes[2].finish(upload, digest_of(b"a few bytes"))

    assert [name for name, _ in nodes[2].done] == ["put"]
    assert await nodes[0].pulled(digest_of(b"a few bytes")) == b"a few bytes"


async def test_a_finished_upload_leaves_its_blob_alone(nodes: list[Node], opener: Opener) -> None:
    left: list[str] = []
    for content in (DATA[1:], DATA[2 : 3 * MIB]):
        upload = await nodes[0].uploads.start(APP)
        await nodes[0].patch(upload, content[: len(content) // 2])
        await nodes[1].patch(upload, content[len(content) // 2 : -1])
        await nodes[2].finish(upload, digest_of(content), content[-1:])

        left += await left_of(nodes[0].bucket, upload)

    assert [len(await keys(nodes[0].bucket, name)) for name in left] == [1, 1]


async def test_content_that_is_known_leaves_nothing(nodes: list[Node]) -> None:
    content = DATA[3 : 15 * MIB]
    for turn in range(2):
        upload = await nodes[0].uploads.start(APP)
        await nodes[turn].patch(upload, content[:-5])
        await nodes[turn + 1].finish(upload, digest_of(content), content[-5:])

    assert await left_of(nodes[0].bucket, upload) == []


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(sizes=st.lists(st.sampled_from([0, 1, 1000, 300_000, 3 * MIB, 5 * MIB, 9 * MIB]), min_size=1, max_size=7))
async def test_any_split_over_nodes_is_the_same_blob(path: Path, opener: Opener, sizes: list[int]) -> None:
    async with AsyncExitStack() as stack:
        nodes = [await node(stack, path, opener) for _ in range(2)]
        upload, at = await nodes[0].uploads.start(APP), 0
        for number, size in enumerate(sizes):
            upload = await nodes[number % 2].patch(upload, DATA[at : at + size])
            at += size
            assert upload.offset == at
        await nodes[0].finish(upload, digest_of(DATA[:at]))

        assert await nodes[1].pulled(digest_of(DATA[:at])) == DATA[:at]


# One writer


async def test_a_second_writer_is_told_where_the_session_stands(nodes: list[Node]) -> None:
    upload = await nodes[0].patch(await nodes[0].uploads.start(APP), b"12345")

    async with nodes[0].uploads.receive(APP, upload.id) as receiving:
        with pytest.raises(UploadBusy) as refusal:
            await nodes[1].patch(upload, b"x")
        await write(receiving, b"6")
        await receiving.accept()

    assert refusal.value.offset == 5
    assert (await nodes[1].patch(upload, b"7")).offset == 7


async def test_a_failed_request_frees_the_session_at_once(nodes: list[Node]) -> None:
    upload = await nodes[0].patch(await nodes[0].uploads.start(APP), b"12345")

    with pytest.raises(UploadOutOfOrder):
        async with nodes[0].uploads.receive(APP, upload.id, start=3):
            pass

    assert (await nodes[1].patch(upload, b"6")).offset == 6


async def test_of_two_that_begin_a_session_one_is_told_that_the_other_did(nodes: list[Node]) -> None:
    upload = await nodes[0].uploads.start(APP)
    async with nodes[0].uploads.receive(APP, upload.id) as late:
        await write(late, b"late")
        await nodes[1].patch(upload, b"early")
        with pytest.raises(UploadOutOfOrder) as refusal:
            await late.accept()

    assert refusal.value.offset == 5
    await nodes[2].finish(upload, digest_of(b"early"))
    assert await nodes[0].pulled(digest_of(b"early")) == b"early"


async def accept(frozen: Receiving) -> None:
    await write(frozen, DATA[: 5 * MIB])
    await frozen.accept()


async def accept_much(frozen: Receiving) -> None:
    await write(frozen, DATA, DATA)
    await frozen.accept()


async def end(frozen: Receiving) -> None:
    await frozen.finish(digest_of(DATA[: 17 * MIB] + DATA[: 9 * MIB]), actor=ACTOR)


async def live(frozen: Receiving) -> None:
    await frozen.show_life()


@pytest.mark.parametrize("ending", [accept, accept_much, end, live])
async def test_a_writer_that_was_frozen_changes_nothing_when_it_wakes(
    nodes: list[Node], ending: Callable[[Receiving], Awaitable[None]]
) -> None:
    old, new, other = nodes
    upload = await old.patch(await old.uploads.start(APP), DATA[: 17 * MIB])
    async with old.uploads.receive(APP, upload.id) as frozen:
        await write(frozen, DATA[: 9 * MIB])
        with pytest.raises(UploadBusy):
            await new.patch(upload, b"too soon")
        await asyncio.sleep(0.6)
        await new.patch(upload, DATA[17 * MIB : 30 * MIB])
        with pytest.raises(UploadUnknown):
            await ending(frozen)

    await other.finish(upload, digest_of(DATA), DATA[30 * MIB :])
    assert await other.pulled(digest_of(DATA)) == DATA
    assert not any(name.endswith("?") for name in await left_of(other.bucket, upload))


async def test_a_successor_begins_behind_all_numbers_that_were_reserved(nodes: list[Node]) -> None:
    upload = await nodes[0].patch(await nodes[0].uploads.start(APP), DATA[: 17 * MIB])
    orderly = Notes.of(await nodes[0].row(upload))
    async with nodes[0].uploads.receive(APP, upload.id) as dead:
        await write(dead, DATA[: 9 * MIB])
        reserved = Notes.of(await nodes[0].row(upload)).reserved
        await asyncio.sleep(0.6)
        await nodes[1].patch(upload, DATA[17 * MIB : 34 * MIB])
    parts = await nodes[1].database.read(lambda tx: rows.parts(tx, upload))

    assert orderly.reserved == 2
    assert [part.number for part in parts] == [1, 2, reserved + 1, reserved + 2]


# What goes wrong


@pytest.mark.parametrize("size", [3 * MIB, len(DATA)])
async def test_a_commit_that_the_row_did_not_hear_of_is_repeated(
    nodes: list[Node], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = DATA[:size]
    upload = await nodes[0].patch(await nodes[0].uploads.start(APP), content[: size // 2])

    async def lost(*_: object) -> None:
        raise MetadataUnavailable

    with monkeypatch.context() as patched:
        patched.setattr(Receiving, "_write_rows", lost)
        with pytest.raises(MetadataUnavailable):
            await nodes[0].finish(upload, digest_of(content), content[size // 2 :])
    await nodes[1].finish(upload, digest_of(content), content[size // 2 :])

    assert await nodes[2].pulled(digest_of(content)) == content


async def test_an_upload_that_is_one_object_already_takes_no_other_bytes(
    nodes: list[Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = await nodes[0].patch(await nodes[0].uploads.start(APP), DATA[: 20 * MIB])

    async def lost(*_: object) -> None:
        raise MetadataUnavailable

    with monkeypatch.context() as patched:
        patched.setattr(Receiving, "_write_rows", lost)
        with pytest.raises(MetadataUnavailable):
            await nodes[0].finish(upload, digest_of(DATA[: 20 * MIB]))

    with pytest.raises(UploadUnknown):
        await nodes[1].finish(upload, digest_of(DATA), DATA[20 * MIB :])
    with pytest.raises(UploadUnknown):
        await nodes[1].patch(upload, b"more")


@pytest.mark.parametrize("size", [3 * MIB, len(DATA)])
async def test_the_digest_may_be_of_an_algorithm_that_was_not_announced(nodes: list[Node], size: int) -> None:
    content = DATA[:size]
    upload = await nodes[0].patch(await nodes[0].uploads.start(APP), content[:-1])

    await nodes[1].finish(upload, digest_of(content, "sha512"), content[-1:])

    assert await nodes[2].pulled(digest_of(content, "sha512")) == content


@pytest.mark.parametrize("size", [3 * MIB, len(DATA)])
async def test_a_hash_that_cannot_be_resumed_is_computed_from_the_stored_bytes(nodes: list[Node], size: int) -> None:
    content = DATA[5 : size + 5]
    upload = await nodes[0].patch(await nodes[0].uploads.start(APP), content[:-9])
    await nodes[0].database.write(
        lambda tx: tx.execute("UPDATE uploads SET state = :state WHERE id = :id", state=b"another build", id=upload.id)
    )

    await nodes[1].patch(upload, content[-9:-1])
    await nodes[2].finish(upload, digest_of(content), content[-1:])

    assert await nodes[0].pulled(digest_of(content)) == content


@pytest.mark.parametrize("size", [5, 3 * MIB, len(DATA)])
async def test_a_cancelled_session_leaves_nothing(nodes: list[Node], size: int) -> None:
    upload = await nodes[0].patch(await nodes[0].uploads.start(APP), DATA[:size])

    await nodes[1].uploads.cancel(APP, upload.id)

    assert await left_of(nodes[0].bucket, upload) == []


async def test_what_a_session_without_a_row_left_is_swept(nodes: list[Node], monkeypatch: pytest.MonkeyPatch) -> None:
    upload = await nodes[0].patch(await nodes[0].uploads.start(APP), DATA[: 17 * MIB])
    kept = await nodes[0].patch(await nodes[0].uploads.start(APP), DATA[: 17 * MIB])
    await nodes[0].database.write(lambda tx: tx.execute("DELETE FROM uploads WHERE id = :id", id=upload.id))
    assert await keys(nodes[0].bucket, f"staged/{upload.id}")
    tomorrow = now() + 100 * 3_600_000_000
    monkeypatch.setattr(nodes[1].uploads, "_oldest_ticket", lambda: tomorrow)

    await nodes[1].uploads.discard(await nodes[1].uploads.orphans())

    assert await left_of(nodes[0].bucket, upload) == []
    assert len(await left_of(nodes[0].bucket, kept)) == 2


async def test_sessions_that_are_kept_do_not_hide_what_is_to_be_swept(
    nodes: list[Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads = [await nodes[0].patch(await nodes[0].uploads.start(APP), DATA[: 17 * MIB]) for _ in range(2)]
    tomorrow = now() + 100 * 3_600_000_000
    everything = set(await nodes[0].store.abandoned(tomorrow))
    monkeypatch.setattr(store, "_LISTED_MAX", 1)

    found = {one for _ in range(100) for one in await nodes[0].store.abandoned(tomorrow)}
    assert {upload.id for upload in uploads} <= everything
    assert len(found) > 1


async def expire(node: Node, upload: Upload) -> None:
    await node.database.write(lambda tx: tx.execute("UPDATE uploads SET touched_at = 0 WHERE id = :id", id=upload.id))


async def test_who_comes_back_while_an_expired_session_is_swept_is_not_told_that_its_bytes_are_kept(
    nodes: list[Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeper, other, _ = nodes
    content = DATA[11 : 3 * MIB]
    upload = await other.patch(await other.uploads.start(APP), content)
    await expire(other, upload)
    discard = sweeper.store.discard

    async def slow(upload: Upload, *, kept: str | None = None) -> None:
        with pytest.raises(UploadUnknown):
            await other.finish(upload, digest_of(content))
        await discard(upload, kept=kept)

    monkeypatch.setattr(sweeper.store, "discard", slow)
    assert await sweeper.uploads.sweep() == 1
    assert await other.database.read(lambda tx: blob_rows.stored(tx, digest_of(content))) is None


async def test_what_an_interrupted_sweep_took_the_bytes_of_is_gone(
    nodes: list[Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeper, other, _ = nodes
    content = DATA[12 : 3 * MIB]
    upload = await other.patch(await other.uploads.start(APP), content)
    await expire(other, upload)
    discard = sweeper.store.discard

    async def fail_behind(upload: Upload, *, kept: str | None = None) -> None:
        await discard(upload, kept=kept)
        raise StorageFailed("remove: SlowDown")

    with monkeypatch.context() as patched:
        patched.setattr(sweeper.store, "discard", fail_behind)
        with pytest.raises(StorageFailed):
            await sweeper.uploads.sweep()

    with pytest.raises(UploadUnknown):
        await other.finish(upload, digest_of(content))
    assert await sweeper.uploads.sweep() == 1
    assert await left_of(sweeper.bucket, upload) == []


# Marks


async def test_a_mark_follows_the_commit_and_says_what_the_rows_say(nodes: list[Node]) -> None:
    marking = asyncio.create_task(nodes[0].marks.run())
    content = DATA[9 : 2 * MIB]
    async with nodes[0].uploads.receive(APP, (await nodes[0].uploads.start(APP)).id) as receiving:
        await write(receiving, content)
        await receiving.finish(digest_of(content), actor=ACTOR)
    await until(lambda: nodes[0].count("put") == 2)
    marking.cancel()

    blob = await nodes[0].database.read(lambda tx: blob_rows.stored(tx, digest_of(content)))
    assert blob is not None
    assert Mark(blob.digest, blob.key) in [mark async for mark in nodes[1].store.marks()]


async def test_marks_that_a_dead_process_owed_are_made_by_the_sweep(nodes: list[Node]) -> None:
    content = DATA[10 : 2 * MIB]
    await nodes[0].database.write(lambda tx: tx.execute("DELETE FROM owed_marks"))
    upload = await nodes[0].patch(await nodes[0].uploads.start(APP), content)
    await nodes[0].finish(upload, digest_of(content))
    assert await nodes[1].marks.sweep() == 0  # it may be under way
    await nodes[0].database.write(lambda tx: tx.execute("UPDATE owed_marks SET owed_at = owed_at - 61000000"))

    while await nodes[1].marks.sweep():
        pass
    assert digest_of(content) in {mark.digest for mark in [mark async for mark in nodes[2].store.marks()]}
