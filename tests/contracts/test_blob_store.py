"""What every blob store keeps: see `pierhead.blobs.store`."""

import asyncio
import hashlib
import random
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import accumulate, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pierhead.blobs.store import BlobStore, KeepsCopies, Lists, MarksDigests, TellsCopies
from pierhead.errors import BlobMissing, StorageFailed, UploadUnknown
from pierhead.models import Digest, Doomed
from tests.contracts.blob_store import STORES, Kind, Opens, finish, patch, pull, push, session, taken, writing

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
DATA = random.Random(1).randbytes(5 * MIB + 17)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=STORES, scope="module")
def opens(request: pytest.FixtureRequest) -> Opens:
    kind: Kind = STORES[request.param]
    return kind(request)


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
    async with writing(store, session(announced)) as appender:
        await appender.write(DATA[:size])
        digest = await appender.digest(asked)
        key = await appender.commit(digest)

    assert digest == f"{asked}:{hashlib.new(asked, DATA[:size]).hexdigest()}"
    assert await pull(store, key) == DATA[:size]


async def test_bytes_may_follow_a_digest(store: BlobStore) -> None:
    async with writing(store, session()) as appender:
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

    await store.remove([Doomed(key, None)])


@pytest.mark.parametrize("identity", ["../../etc/passwd", "", "x", "0" * 36, str(session().id).upper() + "/"])
async def test_an_upload_id_that_is_no_uuid_is_unknown(store: BlobStore, identity: str) -> None:
    with pytest.raises(UploadUnknown):
        await patch(store, replace(session(), id=identity), b"x")


async def test_the_same_bytes_pushed_twice_get_two_keys(store: BlobStore) -> None:
    first, second = await push(store, b"same"), await push(store, b"same")

    await store.remove([Doomed(first, None)])

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
        await store.discard(upload, kept=key)

        assert at == upload.offset
        assert await pull(store, key) == DATA[:at]
        await store.remove([Doomed(key, None)])


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


async def test_accepted_bytes_that_are_gone_make_the_session_unknown(store: BlobStore) -> None:
    upload = await patch(store, session(), DATA[:MIB])
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

    assert await pull(store, key) == DATA


async def test_a_commit_that_was_cut_short_can_be_repeated(store: BlobStore) -> None:
    upload = await patch(store, session(), b"123")
    await finish(store, upload, b"45")

    second = await finish(store, upload, b"45")
    await store.discard(upload, kept=second)

    assert await pull(store, second) == b"12345"


async def test_discarding_twice_is_no_mistake(store: BlobStore) -> None:
    upload = await patch(store, session(), b"12345")

    await store.discard(upload)
    await store.discard(upload)


async def test_a_request_cancelled_mid_body_leaves_a_session_that_goes_on(store: BlobStore) -> None:
    upload = await patch(store, session(), b"12345")

    async def receive() -> None:
        async with writing(store, upload) as appender:
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
        async with writing(store, upload) as appender:
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
    upload = taken(upload, kept)
    assert await pull(store, await finish(store, upload, DATA[kept.offset :])) == DATA


async def test_many_uploads_at_once_do_not_mix(store: BlobStore) -> None:
    bodies = [DATA[at:] for at in range(0, 32 * 1000, 1000)]

    keys = await asyncio.gather(*(push(store, body) for body in bodies))

    assert [await pull(store, key) for key in keys] == bodies


async def test_a_store_that_is_well_answers_a_ping(store: BlobStore) -> None:
    await store.ping()


async def test_a_store_tells_what_it_holds(store: BlobStore) -> None:
    assert isinstance(store, Lists)
    key = await push(store, DATA[:100])
    if isinstance(store, MarksDigests):
        await store.mark(Digest(sha256(DATA[:100])), key)
    began = await patch(store, session(), DATA[:10])

    [kept] = [kept async for kept in store.listed() if kept.key == key]

    assert (kept.digest, kept.size) == (sha256(DATA[:100]), 100)
    assert kept.changed_at / 1e6 == pytest.approx(time.time(), abs=60)
    await store.discard(began)


async def test_a_store_gives_its_copies_back(store: BlobStore) -> None:
    assert isinstance(store, KeepsCopies)
    assert isinstance(store, TellsCopies)
    await store.keep("history/a/b/_/2", b"two")
    await store.keep("history/a/_/1", b"one")
    await store.keep("history2/a/_/3", b"three")
    await store.keep("history/a/_/1", b"one again")

    assert sorted([name async for name in store.copies("history")]) == ["history/a/_/1", "history/a/b/_/2"]
    assert await store.copy("history/a/_/1") == b"one again"
    assert [name async for name in store.copies("nothing")] == []
    with pytest.raises(BlobMissing):
        await store.copy("history/a/_/4")


async def test_many_blobs_are_removed_at_once_with_what_the_store_was_told_of_them(store: BlobStore) -> None:
    bodies = [DATA[:100] + b"%d" % number for number in range(40)]
    digests = [Digest(sha256(body)) for body in bodies]
    keys = [await push(store, body) for body in bodies]
    if isinstance(store, MarksDigests):
        for digest, key in zip(digests, keys, strict=True):
            await store.mark(digest, key)
    doomed = [Doomed(key, digest) for key, digest in zip(keys, digests, strict=True)]
    nothing = [Doomed(f"sha256/aa/{HEX}.{'0' * 32}-0", Digest(f"sha256:{HEX}")), Doomed("../etc/passwd", None)]

    await store.remove([*doomed[1:], *nothing])
    await store.remove([*doomed[1:], *nothing])

    assert await pull(store, keys[0]) == bodies[0]
    for key in keys[1:]:
        with pytest.raises(BlobMissing):
            await store.open(key)
    if isinstance(store, MarksDigests):
        marked = {mark.key async for mark in store.marks()}
        assert marked & set(keys) == {keys[0]}


async def test_a_removal_that_comes_late_leaves_the_same_bytes_under_their_new_key(store: BlobStore) -> None:
    old = await push(store, b"the same")
    await store.remove([Doomed(old, Digest(sha256(b"the same")))])
    new = await push(store, b"the same")

    await store.remove([Doomed(old, Digest(sha256(b"the same")))])

    assert await pull(store, new) == b"the same"


async def test_a_copy_is_forgotten(store: BlobStore) -> None:
    assert isinstance(store, KeepsCopies)
    assert isinstance(store, TellsCopies)
    await store.keep("blobs/sha256/forgotten", b"bytes")

    await store.forget("blobs/sha256/forgotten")
    await store.forget("blobs/sha256/forgotten")
    await store.forget("nothing/was/here")

    with pytest.raises(BlobMissing):
        await store.copy("blobs/sha256/forgotten")
