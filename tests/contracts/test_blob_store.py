"""What every blob store keeps: see `pierhead.blobs.store`."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import accumulate, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pierhead.blobs.store import BlobStore
from pierhead.errors import BlobMissing, StorageFailed, UploadBusy, UploadUnknown
from pierhead.models import Upload
from tests.contracts.blob_store import STORES, Opens, Row, finish, patch, pull, push, session

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
DATA = random.Random(1).randbytes(5 * MIB + 17)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=STORES, scope="module")
def opens(request: pytest.FixtureRequest) -> Opens:
    return STORES[request.param]


@pytest.fixture(scope="module")
def folder(opens: Opens, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all tests: sessions have ids of their own, and a first start takes its time."""
    return tmp_path_factory.mktemp("blobs")


@pytest.fixture
async def store(opens: Opens, folder: Path) -> AsyncIterator[BlobStore]:
    async with opens(folder) as store:
        yield store


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@pytest.mark.parametrize("size", [0, 1, 64 * 1024, 64 * 1024 + 1, MIB, len(DATA)])
async def test_what_was_pushed_is_read_back(store: BlobStore, size: int) -> None:
    key = await push(store, DATA[:size])

    assert await pull(store, key) == DATA[:size]


@pytest.mark.parametrize("announced", ["sha256", "sha512"])
@pytest.mark.parametrize("asked", ["sha256", "sha512"])
@pytest.mark.parametrize("size", [0, 1000, 3 * MIB])
async def test_digests_are_those_of_hashlib_announced_or_not(
    store: BlobStore, announced: str, asked: str, size: int
) -> None:
    async with store.append(session(announced)) as appender:
        await appender.write(DATA[:size])
        digest = await appender.digest(asked)
        key = await appender.commit(digest)

    assert digest == f"{asked}:{hashlib.new(asked, DATA[:size]).hexdigest()}"
    assert key.startswith(f"{asked}/{digest.hex[:2]}/{digest.hex}.")
    assert await pull(store, key) == DATA[:size]


async def test_bytes_may_follow_a_digest(store: BlobStore) -> None:
    async with store.append(session()) as appender:
        await appender.write(b"to")
        first = await appender.digest("sha256")
        await appender.write(b"day")
        second = await appender.digest("sha256")
        key = await appender.commit(second)

    assert (first, second) == (sha256(b"to"), sha256(b"today"))
    assert await pull(store, key) == b"today"


async def test_a_range_is_read_from_its_first_to_its_last_byte(store: BlobStore) -> None:
    reader = await store.open(await push(store, DATA))
    start, length = MIB - 3, 2 * MIB + 5

    read = b"".join([bytes(chunk) async for chunk in reader.chunks(start, length)])
    reader.close()

    assert read == DATA[start : start + length]


async def test_one_read_gives_the_start_of_what_was_asked(store: BlobStore) -> None:
    reader = await store.open(await push(store, DATA))

    some = await reader.read(7, 4 * MIB)
    reader.close()

    assert some
    assert DATA[7:].startswith(some)


async def test_an_early_end_is_a_failure_of_the_store(store: BlobStore) -> None:
    reader = await store.open(await push(store, b"short"))

    with pytest.raises(StorageFailed):
        _ = [bytes(chunk) async for chunk in reader.chunks(0, 6)]
    reader.close()


HEX = "a" * 64


@pytest.mark.parametrize(
    "key",
    [
        f"sha256/aa/{HEX}.{'0' * 32}-0",
        f"sha256/bb/{HEX}.{'0' * 32}-0",
        f"sha256/aa/{HEX}",
        f"sha256/aa/../aa/{HEX}.{'0' * 32}-0",
        f"sha256/aa/{HEX}.{'0' * 32}-0\n",
        f"../blobs/sha256/aa/{HEX}.{'0' * 32}-0",
        "/etc/passwd",
        "layout",
        "",
    ],
)
async def test_a_key_that_holds_nothing_is_missing(store: BlobStore, key: str) -> None:
    with pytest.raises(BlobMissing):
        await store.open(key)

    await store.remove(key)


@pytest.mark.parametrize("identity", ["../../etc/passwd", "", "x", "0" * 36, str(session().id).upper() + "/"])
async def test_an_upload_id_that_is_no_uuid_is_unknown(store: BlobStore, identity: str) -> None:
    with pytest.raises(UploadUnknown):
        await patch(store, replace(session(), id=identity), b"x")


async def test_an_open_blob_outlives_its_key(store: BlobStore) -> None:
    key = await push(store, DATA)
    reader = await store.open(key)

    await store.remove(key)
    await store.remove(key)

    assert b"".join([bytes(chunk) async for chunk in reader.chunks(0, reader.size)]) == DATA
    reader.close()
    with pytest.raises(BlobMissing):
        await store.open(key)


async def test_the_same_bytes_pushed_twice_get_two_keys(store: BlobStore) -> None:
    first, second = await push(store, b"same"), await push(store, b"same")

    await store.remove(first)

    assert first != second
    assert await pull(store, second) == b"same"


@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.lists(st.integers(0, 250_000), max_size=4), min_size=1, max_size=5))
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_any_split_over_requests_and_frames_is_the_same_blob(
    opens: Opens, folder: Path, algorithm: str, cuts: list[list[int]]
) -> None:
    upload, at = session(algorithm), 0
    async with opens(folder) as store:
        for sizes in cuts:
            ends = [at + end for end in accumulate(sizes, initial=0)]
            upload = await patch(store, upload, *(DATA[start:end] for start, end in pairwise(ends)))
            at = ends[-1]
        key = await finish(store, upload)
        await store.discard(upload)

        assert at == upload.offset
        assert hashlib.new(algorithm, DATA[:at]).hexdigest() in key
        assert await pull(store, key) == DATA[:at]
        await store.remove(key)


async def test_a_body_of_single_bytes_is_stored(store: BlobStore) -> None:
    body = DATA[:70_000]

    key = await finish(store, session(), *(body[at : at + 1] for at in range(len(body))))

    assert await pull(store, key) == body


async def test_a_session_goes_on_in_another_store_on_the_same_bytes(opens: Opens, folder: Path) -> None:
    async with opens(folder) as store:
        upload = await patch(store, session(), DATA[:MIB])
    async with opens(folder) as store:
        key = await finish(store, upload, DATA[MIB:])

        assert await pull(store, key) == DATA


async def test_bytes_beyond_the_accepted_offset_are_discarded(store: BlobStore) -> None:
    upload = await patch(store, session(), b"accepted")
    await patch(store, upload, DATA)

    key = await finish(store, upload, b" and more")

    assert await pull(store, key) == b"accepted and more"


async def test_a_second_writer_is_told_where_the_session_stands(store: BlobStore) -> None:
    upload = await patch(store, session(), b"12345")

    async with store.append(upload) as appender:
        with pytest.raises(UploadBusy) as refusal:
            await patch(store, upload, b"x")
        await appender.write(b"6")
        await appender.flush()

    assert refusal.value.offset == 5
    assert (await patch(store, upload, b"x")).offset == 6


async def test_accepted_bytes_that_are_gone_make_the_session_unknown(store: BlobStore) -> None:
    upload = await patch(store, session(), b"12345")
    await store.discard(upload)

    with pytest.raises(UploadUnknown):
        await patch(store, upload, b"6")
    with pytest.raises(UploadUnknown):
        await patch(store, replace(session(), offset=5), b"6")


async def test_fewer_bytes_than_accepted_make_the_session_unknown(store: BlobStore) -> None:
    upload = await patch(store, session(), b"12345")

    with pytest.raises(UploadUnknown):
        await patch(store, replace(upload, offset=6), b"7")


@pytest.mark.parametrize("state", [None, b"", b"nonsense", b"\0" * 120])
async def test_a_state_that_cannot_be_resumed_is_computed_again(store: BlobStore, state: bytes | None) -> None:
    upload = await patch(store, session(), DATA[:MIB])

    key = await finish(store, replace(upload, state=state), DATA[MIB:])

    assert sha256(DATA)[7:] in key


async def test_after_a_reboot_the_bytes_are_checked_against_the_state(store: BlobStore) -> None:
    upload = await patch(store, session(), DATA[:MIB])

    key = await finish(store, replace(upload, boot="an earlier one"), DATA[MIB:])

    assert sha256(DATA)[7:] in key


async def test_bytes_that_a_power_cut_changed_make_the_session_unknown(store: BlobStore) -> None:
    upload = await patch(store, session(), DATA[:MIB])
    zeros = await patch(store, replace(upload, offset=0, state=None), bytes(MIB))
    assert zeros.offset == upload.offset

    with pytest.raises(UploadUnknown):
        await patch(store, replace(upload, boot="an earlier one"), b"more")


async def test_after_a_reboot_bytes_without_a_state_are_not_believed(store: BlobStore) -> None:
    upload = await patch(store, session(), DATA[:MIB])

    with pytest.raises(UploadUnknown):
        await patch(store, replace(upload, boot="an earlier one", state=None), b"more")


async def test_the_row_read_under_the_lock_is_the_one_used(store: BlobStore) -> None:
    stale = session()
    upload = await patch(store, stale, b"12345")

    async def refresh() -> Upload:
        return upload

    async with store.append(stale, Row(refresh)) as appender:
        assert appender.offset == 5


async def test_a_session_taken_over_meanwhile_is_opened_in_its_new_epoch(store: BlobStore) -> None:
    upload = await patch(store, session(), b"12345")
    await store.take_over(upload)

    async def refresh() -> Upload:
        return replace(upload, epoch=1)

    async with store.append(upload, Row(refresh)) as appender:
        await appender.write(b"6")
        key = await appender.commit(await appender.digest("sha256"))

    assert key.endswith("-1")
    assert await pull(store, key) == b"123456"


async def test_a_refusal_by_the_row_frees_the_session(store: BlobStore) -> None:
    upload = session()

    async def refresh() -> Upload:
        raise UploadUnknown(upload.id)

    with pytest.raises(UploadUnknown):
        async with store.append(upload, Row(refresh)):
            pass

    assert (await patch(store, upload, b"1")).offset == 1


async def test_a_commit_that_was_cut_short_can_be_repeated(store: BlobStore) -> None:
    upload = await patch(store, session(), b"123")
    first = await finish(store, upload, b"45")

    second = await finish(store, upload, b"45")
    await store.discard(upload)

    assert first == second
    assert await pull(store, second) == b"12345"


async def test_a_commit_can_be_repeated_within_one_request(store: BlobStore) -> None:
    async with store.append(session()) as appender:
        await appender.write(DATA)
        digest = await appender.digest("sha256")
        await store.remove(await appender.commit(digest))
        key = await appender.commit(digest)

    assert await pull(store, key) == DATA


async def test_a_session_cancelled_while_it_is_written_cannot_be_committed(store: BlobStore) -> None:
    upload = session()

    async with store.append(upload) as appender:
        await appender.write(b"12345")
        digest = await appender.digest("sha256")
        await store.discard(upload)
        with pytest.raises(UploadUnknown):
            await appender.commit(digest)


async def test_discarding_twice_is_no_mistake(store: BlobStore) -> None:
    upload = await patch(store, session(), b"12345")

    await store.discard(upload)
    await store.discard(upload)


async def test_discarding_forgets_earlier_epochs(store: BlobStore) -> None:
    upload = await patch(store, session(), b"12345")
    await store.take_over(upload)

    await store.discard(replace(upload, epoch=1))

    with pytest.raises(UploadUnknown):
        await patch(store, upload, b"6")


async def test_a_writer_that_wakes_up_cannot_reach_the_session_taken_from_it(store: BlobStore) -> None:
    upload = await patch(store, session(), DATA[:MIB])

    async with store.append(upload) as sleeper:
        await store.take_over(upload)
        taken = replace(upload, epoch=1)
        await sleeper.write(b"from the grave")
        await sleeper.flush()
        late = await sleeper.commit(await sleeper.digest("sha256"))
        key = await finish(store, taken, DATA[MIB:])

    assert late != key
    assert await pull(store, key) == DATA


async def test_a_takeover_can_be_repeated_until_somebody_writes(store: BlobStore) -> None:
    upload = await patch(store, session(), DATA[:MIB])
    await store.take_over(upload)
    await store.take_over(upload)

    async with store.append(replace(upload, epoch=1)) as appender:
        with pytest.raises(UploadBusy):
            await store.take_over(upload)
        await appender.write(DATA[MIB:])
        key = await appender.commit(await appender.digest("sha256"))

    assert await pull(store, key) == DATA


async def test_nothing_can_be_taken_over_from_a_session_without_its_bytes(store: BlobStore) -> None:
    upload = await patch(store, session(), b"12345")
    await store.discard(upload)

    with pytest.raises(UploadUnknown):
        await store.take_over(upload)


async def test_a_request_cancelled_mid_body_leaves_a_session_that_goes_on(store: BlobStore) -> None:
    upload = await patch(store, session(), b"12345")

    async def receive() -> None:
        async with store.append(upload) as appender:
            while True:
                await appender.write(DATA)
                await asyncio.sleep(0)

    request = asyncio.create_task(receive())
    await asyncio.sleep(0.05)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request

    assert await pull(store, await finish(store, upload, b"6")) == b"123456"


async def test_what_a_cancelled_request_wrote_can_still_be_accepted(store: BlobStore) -> None:
    upload = session()
    accepted = []

    async def receive() -> None:
        async with store.append(upload) as appender:
            try:
                for at in range(0, len(DATA), 1000):
                    await appender.write(DATA[at : at + 1000])
                await asyncio.sleep(60)
            finally:
                accepted.append(await appender.flush())

    request = asyncio.create_task(receive())
    await asyncio.sleep(0.01)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request

    (kept,) = accepted
    upload = replace(upload, offset=kept.offset, state=kept.state, boot=kept.boot)
    assert sha256(DATA)[7:] in await finish(store, upload, DATA[kept.offset :])


async def test_many_uploads_at_once_do_not_mix(store: BlobStore) -> None:
    bodies = [DATA[at:] for at in range(0, 32 * 1000, 1000)]

    keys = await asyncio.gather(*(push(store, body) for body in bodies))

    assert [await pull(store, key) for key in keys] == bodies


async def test_a_store_that_is_well_answers_a_ping(store: BlobStore) -> None:
    await store.ping()
