"""Copies in files and in object stores."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pierhead.blobs.files import FileStore
from pierhead.blobs.files import copies as files
from pierhead.blobs.objects.store import ObjectStore
from pierhead.settings import StorageSettings
from tests.blobs.objects.buckets import SERVICES

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[FileStore]:
    async with FileStore(tmp_path, StorageSettings(min_free_bytes=0)) as store:
        yield store


async def test_a_copy_is_there_whole_and_replaces_what_was_there(store: FileStore, tmp_path: Path) -> None:
    for content in (b"first", b"second"):
        await store.keep("history/team/app/_/1", content)

    assert (tmp_path / "copies/history/team/app/_/1").read_bytes() == b"second"
    assert [file.name for file in (tmp_path / "copies").rglob("*") if file.is_file()] == ["1"]


@pytest.mark.parametrize("service", SERVICES)
async def test_a_copy_is_an_object_apart_from_blobs_and_uploads(request: pytest.FixtureRequest, service: str) -> None:
    async with SERVICES[service](request).open() as bucket, ObjectStore(bucket, StorageSettings()) as store:
        for content in (b"first", b"again"):
            await store.keep("history/team/app/_/1", content)

        assert [one.key async for one in bucket.list("")] == ["copies/history/team/app/_/1"]
        assert b"".join([bytes(piece) async for piece in bucket.get("copies/history/team/app/_/1", 0, 5)]) == b"again"
        assert await store.abandoned(2**62) == []


def test_a_copy_that_cannot_be_written_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.keep(tmp_path, "a/b", b"first")

    def fails(_: int) -> None:
        raise OSError(5, "EIO")

    monkeypatch.setattr("os.fsync", fails)
    with pytest.raises(OSError, match="EIO"):
        files.keep(tmp_path, "a/b", b"second")

    assert [file.name for file in (tmp_path / "a").iterdir()] == ["b"]
    assert (tmp_path / "a/b").read_bytes() == b"first"
