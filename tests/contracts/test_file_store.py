"""What blob stores on file systems keep beyond that: a lock for each staged upload, and bytes that are read again."""

import hashlib
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from pierhead.blobs.files import FileStore
from pierhead.errors import BlobMissing, UploadBusy, UploadUnknown
from pierhead.models import Doomed, Upload
from pierhead.settings import StorageSettings
from tests.contracts.blob_store import Row, finish, patch, pull, push, session, writing

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
DATA = random.Random(1).randbytes(5 * MIB + 17)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("blobs")


@pytest.fixture
async def store(folder: Path) -> AsyncIterator[FileStore]:
    async with FileStore(folder, StorageSettings(min_free_bytes=0)) as store:
        yield store


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


async def test_an_open_blob_outlives_its_key(store: FileStore) -> None:
    key = await push(store, DATA)
    reader = await store.open(key)

    await store.remove([Doomed(key, None)])
    await store.remove([Doomed(key, None)])

    assert b"".join([bytes(chunk) async for chunk in reader.chunks(0, reader.size)]) == DATA
    reader.close()
    with pytest.raises(BlobMissing):
        await store.open(key)


async def test_a_second_writer_is_told_where_the_session_stands(store: FileStore) -> None:
    upload = await patch(store, session(), b"12345")

    async with writing(store, upload) as appender:
        with pytest.raises(UploadBusy) as refusal:
            await patch(store, upload, b"x")
        await appender.write(b"6")
        await appender.flush()

    assert refusal.value.offset == 5
    assert (await patch(store, upload, b"x")).offset == 6


async def test_after_a_reboot_the_bytes_are_checked_against_the_state(store: FileStore) -> None:
    upload = await patch(store, session(), DATA[:MIB])

    key = await finish(store, replace(upload, boot="an earlier one"), DATA[MIB:])

    assert sha256(DATA)[7:] in key


async def test_bytes_that_a_power_cut_changed_make_the_session_unknown(store: FileStore) -> None:
    upload = await patch(store, session(), DATA[:MIB])
    zeros = await patch(store, replace(upload, offset=0, state=None), bytes(MIB))
    assert zeros.offset == upload.offset

    with pytest.raises(UploadUnknown):
        await patch(store, replace(upload, boot="an earlier one"), b"more")


async def test_after_a_reboot_bytes_without_a_state_are_not_believed(store: FileStore) -> None:
    upload = await patch(store, session(), DATA[:MIB])

    with pytest.raises(UploadUnknown):
        await patch(store, replace(upload, boot="an earlier one", state=None), b"more")


async def test_the_row_read_under_the_lock_is_the_one_used(store: FileStore) -> None:
    stale = session()
    upload = await patch(store, stale, b"12345")

    async def refresh() -> Upload:
        return upload

    async with store.append(stale, Row(stale, refresh)) as appender:
        assert appender.offset == 5


async def test_a_session_taken_over_meanwhile_is_opened_in_its_new_epoch(store: FileStore) -> None:
    upload = await patch(store, session(), b"12345")
    await store.take_over(upload)

    async def refresh() -> Upload:
        return replace(upload, epoch=1)

    async with store.append(upload, Row(upload, refresh)) as appender:
        await appender.write(b"6")
        key = await appender.commit(await appender.digest("sha256"))

    assert key.endswith("-1")
    assert await pull(store, key) == b"123456"


async def test_a_refusal_by_the_row_frees_the_session(store: FileStore) -> None:
    upload = session()

    async def refresh() -> Upload:
        raise UploadUnknown(upload.id)

    with pytest.raises(UploadUnknown):
        async with store.append(upload, Row(upload, refresh)):
            pass

    assert (await patch(store, upload, b"1")).offset == 1


async def test_a_commit_can_be_repeated_within_one_request(store: FileStore) -> None:
    async with writing(store, session()) as appender:
        await appender.write(DATA)
        digest = await appender.digest("sha256")
        await store.remove([Doomed(await appender.commit(digest), None)])
        key = await appender.commit(digest)

    assert await pull(store, key) == DATA


async def test_a_session_cancelled_while_it_is_written_cannot_be_committed(store: FileStore) -> None:
    upload = session()

    async with writing(store, upload) as appender:
        await appender.write(b"12345")
        digest = await appender.digest("sha256")
        await store.discard(upload)
        with pytest.raises(UploadUnknown):
            await appender.commit(digest)


async def test_discarding_forgets_earlier_epochs(store: FileStore) -> None:
    upload = await patch(store, session(), b"12345")
    await store.take_over(upload)

    await store.discard(replace(upload, epoch=1))

    with pytest.raises(UploadUnknown):
        await patch(store, upload, b"6")


async def test_a_writer_that_wakes_up_cannot_reach_the_session_taken_from_it(store: FileStore) -> None:
    upload = await patch(store, session(), DATA[:MIB])

    async with writing(store, upload) as sleeper:
        await store.take_over(upload)
        taken = replace(upload, epoch=1)
        await sleeper.write(b"from the grave")
        await sleeper.flush()
        late = await sleeper.commit(await sleeper.digest("sha256"))
        key = await finish(store, taken, DATA[MIB:])

    assert late != key
    assert await pull(store, key) == DATA


async def test_a_takeover_can_be_repeated_until_somebody_writes(store: FileStore) -> None:
    upload = await patch(store, session(), DATA[:MIB])
    await store.take_over(upload)
    await store.take_over(upload)

    async with writing(store, replace(upload, epoch=1)) as appender:
        with pytest.raises(UploadBusy):
            await store.take_over(upload)
        await appender.write(DATA[MIB:])
        key = await appender.commit(await appender.digest("sha256"))

    assert await pull(store, key) == DATA


async def test_nothing_can_be_taken_over_from_a_session_without_its_bytes(store: FileStore) -> None:
    upload = await patch(store, session(), b"12345")
    await store.discard(upload)

    with pytest.raises(UploadUnknown):
        await store.take_over(upload)
