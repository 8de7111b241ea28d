"""Upload sessions without a wire: expiry, cancellation, and what a failed finish leaves."""

import hashlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from pierhead.blobs.files import FileStore
from pierhead.blobs.store import Locks
from pierhead.errors import DigestMismatch, StorageFailed, UploadBusy, UploadOutOfOrder, UploadUnknown
from pierhead.metadata import blobs
from pierhead.metadata import uploads as rows
from pierhead.metadata.clock import now
from pierhead.metadata.database import Commit, Database
from pierhead.models import Actor, Digest, RepositoryName, Upload
from pierhead.registry.marks import Marks
from pierhead.registry.uploads import Uploads
from pierhead.settings import StorageSettings, UploadSettings
from tests.contracts.database import Place

pytestmark = pytest.mark.anyio

APP = RepositoryName("team/app")
ACTOR = Actor("alice")
# Shorter than what may be configured.
SETTINGS = UploadSettings().model_copy(update={"idle_expiry_hours": 1.0, "finished_hours": 0.5})


def digest_of(content: bytes) -> Digest:
    return Digest(f"sha256:{hashlib.sha256(content).hexdigest()}")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
async def database(place: Place) -> AsyncIterator[Database]:
    async with place.open() as database:
        yield database


@pytest.fixture
async def uploads(folder: Path, database: Database) -> AsyncIterator[Uploads]:
    async with FileStore(folder, StorageSettings(min_free_bytes=0)) as store:
        yield Uploads(database, store, Marks(database, store), SETTINGS)


async def patched(uploads: Uploads, content: bytes) -> Upload:
    upload = await uploads.start(APP)
    async with uploads.receive(APP, upload.id) as receiving:
        await receiving.write(content)
        return await receiving.accept()


async def finish(uploads: Uploads, upload: Upload, content: bytes) -> None:
    async with uploads.receive(APP, upload.id) as receiving:
        await receiving.finish(digest_of(content), actor=ACTOR)


async def age(database: Database, upload: Upload, hours: float) -> None:
    microseconds = int(hours * 3_600_000_000)
    await database.write(
        lambda tx: tx.execute(
            "UPDATE uploads SET touched_at = touched_at - :age WHERE id = :id", age=microseconds, id=upload.id
        )
    )


def staged(folder: Path, upload: Upload) -> list[Path]:
    return list(folder.glob(f"uploads/*/{upload.id}.*"))


def stored(folder: Path, content: bytes) -> list[Path]:
    return list(folder.glob(f"blobs/sha256/*/{digest_of(content).hex}.*"))


async def test_idle_sessions_are_swept_with_their_bytes_and_live_ones_stay(
    uploads: Uploads, database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle, alive = await patched(uploads, b"idle"), await patched(uploads, b"alive")
    await age(database, idle, 1.1)

    assert await uploads.sweep() == 1
    assert await uploads.sweep() == 0
    monkeypatch.setattr(uploads, "_oldest_ticket", now)
    with pytest.raises(UploadUnknown):
        await uploads.find(APP, idle.id)
    assert staged(folder, idle) == []
    await finish(uploads, alive, b"alive")


async def test_a_finished_session_is_remembered_for_its_time_and_its_blob_stays(
    uploads: Uploads, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = await patched(uploads, b"finished")
    await finish(uploads, upload, b"finished")
    await age(database, upload, 0.4)
    assert await uploads.sweep() == 0
    assert (await uploads.find(APP, upload.id)).digest == digest_of(b"finished")
    await age(database, upload, 0.2)
    monkeypatch.setattr(uploads, "_oldest_ticket", now)

    assert await uploads.sweep() == 1
    with pytest.raises(UploadUnknown):
        await uploads.find(APP, upload.id)
    assert await database.read(lambda tx: blobs.held(tx, APP, digest_of(b"finished"))) is not None


async def test_many_expired_sessions_are_swept_in_portions(uploads: Uploads, database: Database) -> None:
    for _ in range(130):
        await age(database, await patched(uploads, b"x"), 2)

    assert [await uploads.sweep(), await uploads.sweep(), await uploads.sweep()] == [100, 30, 0]


async def test_a_session_whose_bytes_cannot_be_removed_holds_up_no_other(place: Place, folder: Path) -> None:
    class Stuck(FileStore):
        async def discard(self, upload: Upload, *, kept: str | None = None) -> None:
            if upload.id == stuck.id:
                raise StorageFailed("not this one")
            await super().discard(upload, kept=kept)

    async with place.open() as database, Stuck(folder, StorageSettings(min_free_bytes=0)) as store:
        uploads = Uploads(database, store, Marks(database, store), SETTINGS)
        stuck, other = await patched(uploads, b"stuck"), await patched(uploads, b"other")
        await age(database, stuck, 3)
        await age(database, other, 2)
        with pytest.raises(StorageFailed):
            await uploads.sweep()

        assert staged(folder, other) == []
        assert await database.read(lambda tx: rows.find(tx, other.id)) is None
        assert await database.read(lambda tx: rows.find(tx, stuck.id)) is not None


async def test_a_writer_of_a_session_that_is_swept_is_told_and_nothing_is_left(
    uploads: Uploads, database: Database, folder: Path
) -> None:
    upload = await patched(uploads, b"first")
    async with uploads.receive(APP, upload.id) as receiving:
        await age(database, upload, 2)
        assert await uploads.sweep() == 1
        await receiving.write(b"second")
        with pytest.raises(UploadUnknown):
            await receiving.accept()

    assert staged(folder, upload) == []


async def test_no_byte_goes_before_it_is_durable_that_its_session_ended(place: Place, folder: Path) -> None:
    commits: list[Commit] = []
    seen: list[bool] = []

    class Watched(FileStore):
        async def discard(self, upload: Upload, *, kept: str | None = None) -> None:
            seen.append(commits[-1].durable)
            await super().discard(upload, kept=kept)

    settings = StorageSettings(min_free_bytes=0)
    async with place.open(commits.append) as database, Watched(folder, settings) as store:
        uploads = Uploads(database, store, Marks(database, store), SETTINGS)
        await age(database, await patched(uploads, b"idle"), 2)
        await uploads.sweep()
        await uploads.cancel(APP, (await patched(uploads, b"cancelled")).id)
        with pytest.raises(DigestMismatch):
            await finish(uploads, await patched(uploads, b"content"), b"other content")
        await finish(uploads, await patched(uploads, b"finished"), b"finished")

    assert seen == [True] * 4


async def test_a_session_of_another_repository_is_unknown(uploads: Uploads) -> None:
    upload = await patched(uploads, b"mine")

    with pytest.raises(UploadUnknown):
        await uploads.find(RepositoryName("team/other"), upload.id)


async def test_a_wrong_digest_ends_the_session_and_stores_nothing(
    uploads: Uploads, database: Database, folder: Path
) -> None:
    upload = await patched(uploads, b"content")
    with pytest.raises(DigestMismatch):
        await finish(uploads, upload, b"other content")

    assert staged(folder, upload) == []
    assert await database.read(lambda tx: blobs.stored(tx, digest_of(b"content"))) is None
    with pytest.raises(UploadUnknown):
        await uploads.find(APP, upload.id)


async def test_a_session_cancelled_while_it_finishes_leaves_no_bytes(uploads: Uploads, folder: Path) -> None:
    content = b"cancelled while it finishes"
    upload = await patched(uploads, content)
    async with uploads.receive(APP, upload.id) as receiving:
        await uploads.cancel(APP, upload.id)
        with pytest.raises(UploadUnknown):
            await receiving.finish(digest_of(content), actor=ACTOR)

    assert staged(folder, upload) == []
    assert stored(folder, content) == []


async def test_content_that_is_stored_already_is_not_stored_again(uploads: Uploads, folder: Path) -> None:
    for _ in range(10):
        await finish(uploads, await patched(uploads, b"the same"), b"the same")

    assert len(stored(folder, b"the same")) == 1


async def test_a_replaced_writer_with_a_wrong_digest_leaves_its_successor_alone(
    uploads: Uploads, database: Database
) -> None:
    upload = await patched(uploads, b"accepted")
    async with uploads.receive(APP, upload.id) as replaced:
        silent = await uploads.find(APP, upload.id)
        assert isinstance(uploads._store, Locks)
        await uploads._store.take_over(silent)
        assert await database.write(lambda tx: rows.next_epoch(tx, silent))
        async with uploads.receive(APP, upload.id) as successor:
            await successor.write(b", and more")
            await successor.accept()
        with pytest.raises(DigestMismatch):
            await replaced.finish(digest_of(b"something else"), actor=ACTOR)

    await finish(uploads, upload, b"accepted, and more")


# Before its first bytes a session has no row: its id says that it was begun here.


async def count(database: Database) -> int:
    row = await database.read(lambda tx: tx.fetch_one("SELECT count(*) FROM uploads"))
    assert row is not None
    return int(row[0])


async def test_a_session_is_known_to_every_process_before_it_has_a_row(
    uploads: Uploads, database: Database, folder: Path
) -> None:
    before = await count(database)
    upload = await uploads.start(APP, algorithm="sha512")
    async with FileStore(folder, StorageSettings(min_free_bytes=0)) as store:
        other = Uploads(database, store, Marks(database, store), SETTINGS)
        found = await other.find(APP, upload.id)

        assert (found.offset, found.algorithm, found.digest) == (0, "sha512", None)
        assert await count(database) == before
        await finish(other, upload, b"")
    assert await count(database) == before + 1


@pytest.mark.parametrize("position", range(32))
async def test_an_id_that_nobody_gave_out_is_unknown(uploads: Uploads, position: int) -> None:
    digits = list((await uploads.start(APP)).id.replace("-", ""))
    digits[position] = "0" if digits[position] != "0" else "1"

    with pytest.raises(UploadUnknown):
        await uploads.find(APP, str(UUID("".join(digits))))


@pytest.mark.parametrize("made_up", ["", "x", "-", "0" * 32, "zz" * 16, "00" * 500, "é" * 16])
async def test_what_is_no_id_is_unknown(uploads: Uploads, made_up: str) -> None:
    with pytest.raises(UploadUnknown):
        await uploads.find(APP, made_up)


async def test_an_id_counts_in_its_repository_and_its_spelling_alone(uploads: Uploads) -> None:
    upload = await uploads.start(APP)

    for repository, identity in [
        (RepositoryName("team/other"), upload.id),
        (APP, upload.id.upper()),
        (APP, upload.id.replace("-", "")),
    ]:
        with pytest.raises(UploadUnknown):
            await uploads.find(repository, identity)


async def test_an_id_without_a_row_expires(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = await uploads.start(APP)
    half_an_hour_later = uploads._clock.now() + 1_800_000_000
    monkeypatch.setattr(uploads._clock, "now", lambda: half_an_hour_later)

    with pytest.raises(UploadUnknown):
        await uploads.find(APP, upload.id)


@pytest.mark.parametrize("begun", [False, True])
async def test_a_cancelled_session_does_not_come_back(uploads: Uploads, begun: bool) -> None:
    upload = await patched(uploads, b"begun") if begun else await uploads.start(APP)
    await uploads.cancel(APP, upload.id)

    with pytest.raises(UploadUnknown):
        await uploads.find(APP, upload.id)
    with pytest.raises(UploadUnknown):
        await uploads.cancel(APP, upload.id)
    with pytest.raises(UploadUnknown):
        await finish(uploads, upload, b"begun")


async def test_ids_differ(uploads: Uploads) -> None:
    assert len({(await uploads.start(APP)).id for _ in range(10_000)}) == 10_000


async def test_what_a_killed_process_staged_for_a_session_without_a_row_is_swept(
    uploads: Uploads, folder: Path
) -> None:
    lost, alive = await uploads.start(APP), await uploads.start(APP)
    for upload, age_ in ((lost, 2 * 3600), (alive, 60)):
        path = folder / "uploads" / upload.id[:2] / f"{upload.id}.0"
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age_, time.time() - age_))

    assert await uploads.orphans() == [lost.id]
    await uploads.discard([lost.id])

    assert staged(folder, lost) == []
    assert len(staged(folder, alive)) == 1


# Small blobs that come whole


@pytest.fixture
async def inlining(folder: Path, database: Database) -> AsyncIterator[Uploads]:
    async with FileStore(folder, StorageSettings(min_free_bytes=0)) as store:
        yield Uploads(database, store, Marks(database, store), SETTINGS, inline=4096)


async def test_a_small_push_does_not_replace_bytes_that_were_accepted_meanwhile(inlining: Uploads) -> None:
    fresh = await inlining.start(APP)
    async with inlining.receive(APP, fresh.id) as receiving:
        await receiving.write(b"accepted")
        await receiving.accept()

    with pytest.raises(UploadOutOfOrder):
        await inlining.push(fresh, digest_of(b"small"), b"small", actor=ACTOR)
    assert (await inlining.find(APP, fresh.id)).offset == len(b"accepted")
    await finish(inlining, fresh, b"accepted")


async def test_a_small_push_with_a_wrong_digest_leaves_a_writer_alone(inlining: Uploads) -> None:
    fresh = await inlining.start(APP)
    async with inlining.receive(APP, fresh.id) as receiving:
        with pytest.raises(UploadBusy):
            await inlining.push(fresh, digest_of(b"other"), b"small", actor=ACTOR)
        await receiving.write(b"written")
        await receiving.accept()

    await finish(inlining, fresh, b"written")


async def test_the_same_small_push_again_is_no_failure(inlining: Uploads) -> None:
    fresh = await inlining.start(APP)
    for _ in range(3):
        await inlining.push(fresh, digest_of(b"again"), b"again", actor=ACTOR)
    with pytest.raises(UploadUnknown):
        await inlining.push(fresh, digest_of(b"and again"), b"and again", actor=ACTOR)


async def test_a_small_push_with_a_wrong_digest_ends_its_session(inlining: Uploads, folder: Path) -> None:
    fresh = await inlining.start(APP)
    with pytest.raises(DigestMismatch):
        await inlining.push(fresh, digest_of(b"other"), b"small", actor=ACTOR)

    with pytest.raises(UploadUnknown):
        await inlining.find(APP, fresh.id)
    assert staged(folder, fresh) == []
