"""What every bucket keeps: see `pierhead.blobs.objects.bucket`.

Shown on Azurite and on fake-gcs-server, which are not the services. They cannot show that

- an identity gets in and signs (Azure: Entra's tokens, keys of user delegation; Google: tokens, signatures
  by IAM, and that a signature is looked at: its server answers without one),
- what is stored survives, is encrypted with a named key or scope, and lies in the class or tier asked for,
- the limits of the services hold: sizes and numbers of blocks, of objects composed at once, of requests,
- uncommitted blocks are forgotten after a week, and none earlier (Azure),
- a bucket that is not there is told apart from an object that is not (Google: its server says the same of both),
- a listing begins after a key without being read from its start (Azure), or a signed address replaces
  `cache-control` (Google).
"""

import random
import time
from dataclasses import replace

import httpx
import pytest

from pierhead.blobs.objects import azure
from pierhead.blobs.objects.bucket import Service
from pierhead.blobs.objects.gcs import objects as gcs_objects
from pierhead.errors import BlobMissing, StorageFailed, UploadUnknown
from tests.blobs.objects.buckets import Opener
from tests.blobs.objects.usage import KEY, keys, pending, pieces, put_parts, read

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
DATA = random.Random(5).randbytes(9 * MIB + 17)


@pytest.mark.parametrize("size", [0, 1, len(DATA)])
@pytest.mark.parametrize("kind", [bytes, bytearray])
async def test_what_was_put_is_read_back(bucket: Service, size: int, kind: type[bytes | bytearray]) -> None:
    await bucket.put(KEY, kind(DATA[:size]))

    assert await bucket.size(KEY) == size
    assert await read(bucket, KEY) == DATA[:size]


async def test_an_object_that_is_put_again_is_replaced(bucket: Service) -> None:
    await bucket.put(KEY, b"the first, and longer")
    await bucket.put(KEY, b"the second")

    assert await read(bucket, KEY) == b"the second"


@pytest.mark.parametrize(
    ("start", "length"),
    [(0, 1), (7, 0), (5, 100), (len(DATA) - 1, 1), (4 * MIB - 1, 2), (1, 8 * MIB + 3), (0, len(DATA))],
)
async def test_a_range_is_read_from_its_first_to_its_last_byte(bucket: Service, start: int, length: int) -> None:
    await bucket.put(KEY, DATA)

    assert await read(bucket, KEY, start, length) == DATA[start : start + length]


@pytest.mark.parametrize(("start", "length"), [(0, 6), (4, 2), (5, 1), (9, 3), (9, 0)])
async def test_a_range_past_the_end_is_a_failure_of_the_store(bucket: Service, start: int, length: int) -> None:
    await bucket.put(KEY, b"short")

    with pytest.raises(StorageFailed):
        await read(bucket, KEY, start, length)


async def test_an_object_that_is_not_there_is_missing(bucket: Service) -> None:
    with pytest.raises(BlobMissing):
        await bucket.size(KEY)
    with pytest.raises(BlobMissing):
        await read(bucket, KEY, 0, 1)
    with pytest.raises(BlobMissing):
        await read(bucket, KEY, 0, 0)


async def test_objects_are_removed_whether_they_are_there_or_not(bucket: Service) -> None:
    names = [f"old/{number:02d}" for number in range(40)]
    for name in [*names[::2], "kept"]:
        await bucket.put(name, b"x")

    await bucket.remove(names)
    await bucket.remove([])

    assert await keys(bucket) == ["kept"]


@pytest.mark.parametrize("key", ["plus+percent%2Fspace here", "question?&=#", "ümlaut"])
async def test_any_key_keeps_its_name(bucket: Service, key: str) -> None:
    await bucket.put(key, b"content")

    assert await keys(bucket) == [key]
    assert await read(bucket, key) == b"content"


async def test_a_listing_is_in_order_and_goes_on_after_a_key(bucket: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """In pages of three."""
    monkeypatch.setattr(azure, "_PAGE", 3)
    monkeypatch.setattr(gcs_objects, "_PAGE", "3")
    names = [f"a/{number}" for number in range(8)]
    for name in [*reversed(names), "b/0", "A"]:
        await bucket.put(name, b"")

    assert await keys(bucket) == ["A", *names, "b/0"]
    assert await keys(bucket, "a/") == names
    assert await keys(bucket, "a/", after="a/3") == names[4:]
    assert await keys(bucket, "a/", after="a/3x") == names[4:]
    assert await keys(bucket, "a/", after="a/7") == []
    assert await keys(bucket, "c") == []


async def test_a_listing_says_how_long_and_how_old_an_object_is(bucket: Service) -> None:
    await bucket.put(KEY, b"12345")

    [stored] = [stored async for stored in bucket.list("blobs/")]

    assert (stored.key, stored.size) == (KEY, 5)
    assert abs(stored.changed_at / 1e6 - time.time()) < 60


async def test_buckets_with_prefixes_of_their_own_do_not_see_each_other(opener: Opener) -> None:
    async with opener.open() as ours, replace(opener, prefix="other/deep").open() as theirs:
        await ours.put("x", b"ours")
        await theirs.put("x", b"theirs")
        await theirs.put_part("y", await theirs.begin("y"), 1, [b"part"])

        assert await keys(ours) == await keys(theirs) == ["x"]
        assert await pending(ours) == []
        assert await read(theirs, "x") == b"theirs"


async def test_parts_make_one_object_whatever_their_order(bucket: Service) -> None:
    session = await bucket.begin(KEY)

    parts = await put_parts(bucket, session, [3, 1, 2])
    before = await keys(bucket)
    await bucket.complete(KEY, session, parts)

    expected = b"".join(bytes(piece) for number in (1, 2, 3) for piece in pieces(bucket, number))
    assert before == []
    assert [part.size for part in parts] == [sum(map(len, pieces(bucket, number))) for number in (3, 1, 2)]
    assert await read(bucket, KEY) == expected
    assert await keys(bucket) == [KEY]
    assert await pending(bucket) == []


async def test_a_session_goes_on_in_another_process(opener: Opener) -> None:
    async with opener.open() as bucket:
        session = await bucket.begin(KEY)
        first = await put_parts(bucket, session, [1])
    async with opener.open() as bucket:
        await bucket.complete(KEY, session, first + await put_parts(bucket, session, [2]))

        assert (await read(bucket, KEY)).endswith(b"part 2")


async def test_completing_twice_changes_nothing(bucket: Service) -> None:
    session = await bucket.begin(KEY)
    parts = await put_parts(bucket, session, [1, 2])
    await bucket.complete(KEY, session, parts)
    before = await read(bucket, KEY)

    await bucket.complete(KEY, session, parts)

    assert await read(bucket, KEY) == before


async def test_an_object_is_made_of_exactly_the_parts_that_are_named(bucket: Service) -> None:
    session = await bucket.begin(KEY)
    one, _, three = await put_parts(bucket, session, [1, 2, 3])

    await bucket.complete(KEY, session, [one, three])

    assert await read(bucket, KEY) == b"".join([*map(bytes, pieces(bucket, 1)), *map(bytes, pieces(bucket, 3))])
    assert await pending(bucket) == []


async def test_no_other_part_takes_the_place_of_one_that_is_named(bucket: Service) -> None:
    """A service keeps the named one, or refuses."""
    session = await bucket.begin(KEY)
    [named] = await put_parts(bucket, session, [1])
    await bucket.put_part(KEY, session, 1, pieces(bucket, 9))

    try:
        await bucket.complete(KEY, session, [named])
    except StorageFailed:
        assert await keys(bucket) == []
    else:
        assert await read(bucket, KEY) == b"".join(map(bytes, pieces(bucket, 1)))


async def test_a_part_that_is_not_there_makes_no_object(bucket: Service) -> None:
    session = await bucket.begin(KEY)
    [one] = await put_parts(bucket, session, [1])
    other = replace(one, number=2, tag=one.tag[:-1] + ("0" if one.tag[-1] != "0" else "1"))

    with pytest.raises(StorageFailed):
        await bucket.complete(KEY, session, [one, other])

    assert await keys(bucket) == []


async def test_a_session_that_nobody_began_cannot_be_completed(bucket: Service) -> None:
    session = await bucket.begin("other")
    one = await bucket.put_part("other", session, 1, pieces(bucket, 1))

    with pytest.raises((UploadUnknown, StorageFailed)):
        await bucket.complete(KEY, "0" * 32, [replace(one, tag=one.tag.replace(session, "0" * 32))])

    assert await keys(bucket) == []


async def test_an_aborted_upload_leaves_nothing(bucket: Service) -> None:
    session = await bucket.begin(KEY)
    await put_parts(bucket, session, [1, 2])

    await bucket.abort(KEY, session)
    await bucket.abort(KEY, session)

    assert await keys(bucket) == []
    assert await pending(bucket) == []


async def test_an_abort_after_the_completion_harms_nothing(bucket: Service) -> None:
    session = await bucket.begin(KEY)
    await bucket.complete(KEY, session, await put_parts(bucket, session, [1]))

    await bucket.abort(KEY, session)

    assert (await read(bucket, KEY)).endswith(b"part 1")


async def test_unfinished_uploads_are_pending_unless_the_service_forgets_them(bucket: Service) -> None:
    sessions = [await bucket.begin(KEY), await bucket.begin(KEY), await bucket.begin("zz")]
    for session in sessions[:2]:
        await put_parts(bucket, session, [2, 1])
    await bucket.put_part("zz", sessions[2], 1, [b"x"])

    found = await pending(bucket)

    if not isinstance(bucket, azure.AzureBucket):
        assert {(upload.key, upload.session) for upload in found} == set(
            zip((KEY, KEY, "zz"), sessions, strict=True),
        )
        assert all(abs(upload.begun_at / 1e6 - time.time()) < 60 for upload in found)
    for upload in found:
        await bucket.abort(upload.key, upload.session)
    assert await pending(bucket) == []


async def test_a_signed_address_serves_anybody_with_the_headers_asked_for(bucket: Service) -> None:
    await bucket.put(KEY, b"content of a layer")
    headers = {"content-type": "application/vnd.oci.image.layer.v1.tar+gzip", "cache-control": "private, max-age=60"}

    url = await bucket.sign(KEY, seconds=60, headers=headers)
    async with httpx.AsyncClient() as client:
        whole = await client.get(url)
        some = await client.get(url, headers={"range": "bytes=11-"})

    assert (whole.status_code, whole.content) == (200, b"content of a layer")
    assert (some.status_code, some.content) == (206, b"a layer"), "clients go on where they were cut"
    assert whole.headers["content-type"] == headers["content-type"]
    if isinstance(bucket, azure.AzureBucket):
        assert whole.headers["cache-control"] == headers["cache-control"]


async def test_pings_of_a_good_bucket_leave_an_empty_object_at_most(bucket: Service) -> None:
    await bucket.ping()
    await bucket.ping()

    assert [(stored.key, stored.size) async for stored in bucket.list("")] in ([], [("ping", 0)])


async def test_a_bucket_that_is_not_there_is_a_failure_of_the_store(opener: Opener) -> None:
    async with replace(opener, name="nobody-made-this-one").open() as bucket:
        with pytest.raises(StorageFailed):
            await bucket.ping()
        with pytest.raises(StorageFailed):
            await keys(bucket)


async def test_a_service_that_nobody_runs_is_a_failure_of_the_store(opener: Opener) -> None:
    async with replace(opener.through("127.0.0.1:1"), budget_seconds=0.3).open() as bucket:
        with pytest.raises(StorageFailed):
            await bucket.ping()
