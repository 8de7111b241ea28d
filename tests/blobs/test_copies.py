"""Copies in files."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pierhead.blobs.files import FileStore
from pierhead.blobs.files import copies as files
from pierhead.settings import StorageSettings

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


def test_a_copy_that_cannot_be_written_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.keep(tmp_path, "a/b", b"first")

    def fails(_: int) -> None:
        raise OSError(5, "EIO")

    monkeypatch.setattr("os.fsync", fails)
    with pytest.raises(OSError, match="EIO"):
        files.keep(tmp_path, "a/b", b"second")

    assert [file.name for file in (tmp_path / "a").iterdir()] == ["b"]
    assert (tmp_path / "a/b").read_bytes() == b"first"
