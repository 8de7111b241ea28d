"""What only files have: disks that fill up or fail, directories, the page cache."""

import asyncio
import errno
import os
import random
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import pytest

from pierhead.blobs.files import FileStore, layout
from pierhead.blobs.files.staged import Staged
from pierhead.errors import ConfigurationError, PierheadError, StorageFailed, StorageFull, UploadUnknown
from pierhead.models import Doomed, Upload
from pierhead.settings import StorageSettings
from tests.contracts.blob_store import Row, finish, patch, pull, push, session, writing

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
DATA = random.Random(3).randbytes(4 * MIB)
SETTINGS = StorageSettings(min_free_bytes=0)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk to fill")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@pytest.fixture
async def store(folder: Path) -> AsyncIterator[FileStore]:
    async with FileStore(folder, SETTINGS) as store:
        yield store


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.name != "layout")


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def fill(filler: Path) -> None:
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass


# First start


async def test_the_first_start_makes_every_directory(tmp_path: Path) -> None:
    async with FileStore(tmp_path / "new", SETTINGS):
        pass

    tops = [tmp_path / "new" / top for top in ("blobs/sha256", "blobs/sha512", "uploads")]
    assert [len(list(top.iterdir())) for top in tops] == [256, 256, 256]
    assert (tmp_path / "new" / "layout").exists()


async def test_a_first_start_that_was_cut_short_is_made_up_for(tmp_path: Path) -> None:
    (tmp_path / "blobs" / "sha256" / "00").mkdir(parents=True)

    async with FileStore(tmp_path, SETTINGS) as store:
        assert await pull(store, await push(store, b"x")) == b"x"


async def test_later_starts_take_no_time(folder: Path, store: FileStore) -> None:
    started = time.perf_counter()
    layout.Layout(folder).prepare(allow_network=False)

    assert time.perf_counter() - started < 0.05


async def test_a_directory_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "layout").write_text("pierhead files 2\n")

    with pytest.raises(ConfigurationError, match="another version"):
        await FileStore(tmp_path, SETTINGS).__aenter__()


async def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # No NFS server is at hand: what statfs would say of one is put in its place.
    monkeypatch.setattr(layout, "network_file_system", lambda _: "NFS")

    with pytest.raises(ConfigurationError, match="is on NFS"):
        await FileStore(tmp_path, SETTINGS).__aenter__()
    async with FileStore(tmp_path, StorageSettings(min_free_bytes=0, allow_network_filesystem=True)) as store:
        await store.ping()


# Bytes


async def test_a_commit_leaves_one_file_once_the_session_is_discarded(tmp_path: Path) -> None:
    async with FileStore(tmp_path, SETTINGS) as store:
        upload = session()
        key = await finish(store, upload, b"x")
        both = names(tmp_path)
        await store.discard(upload)

    assert len(both) == 2
    assert names(tmp_path) == [Path(key).name]


async def test_bytes_that_left_the_page_cache_are_read_from_the_disk(folder: Path, store: FileStore) -> None:
    key = await push(store, DATA)
    with (folder / "blobs" / key).open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    assert await pull(store, key) == DATA


async def test_a_blob_cut_on_disk_is_a_failure_and_no_short_read(folder: Path, store: FileStore) -> None:
    key = await push(store, DATA)
    reader = await store.open(key)
    os.truncate(folder / "blobs" / key, MIB)

    with pytest.raises(StorageFailed):
        _ = [chunk async for chunk in reader.chunks(0, reader.size)]
    reader.close()


async def test_a_refused_session_leaves_no_empty_file(tmp_path: Path) -> None:
    upload = session()

    async def refresh() -> Upload:
        raise UploadUnknown(upload.id)

    async with FileStore(tmp_path, SETTINGS) as store:
        with pytest.raises(UploadUnknown):
            async with store.append(upload, Row(upload, refresh)):
                pass

    assert names(tmp_path) == []


async def test_no_descriptor_stays_open(folder: Path, store: FileStore) -> None:
    await push(store, DATA)
    before = descriptors()

    upload = await patch(store, session(), DATA)
    await store.take_over(upload)
    await pull(store, await push(store, DATA))
    for _ in range(3):
        request = asyncio.create_task(push(store, DATA))
        await asyncio.sleep(0.001)
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)

    assert descriptors() == before


async def test_every_operation_is_observed(folder: Path) -> None:
    seen: dict[str, int] = {}

    def observe(operation: str, seconds: float, size: int, well: bool) -> None:
        assert seconds >= 0
        assert well
        seen[operation] = seen.get(operation, 0) + size

    async with FileStore(folder, SETTINGS, observe=observe) as store:
        await store.remove([Doomed(await push(store, DATA), None)])
        await store.ping()

    assert seen == {"lock": 0, "write": len(DATA), "commit": len(DATA), "discard": 0, "remove": 0, "ping": 0}


async def test_a_ping_fails_below_the_space_to_keep_free(folder: Path) -> None:
    async with FileStore(folder, StorageSettings(min_free_bytes=2**60)) as store:
        with pytest.raises(StorageFull, match="min_free_bytes"):
            await store.ping()


class WithoutLinks(Staged):
    """A file system that knows no hard links (exFAT): none is at hand here."""

    def link(self, directory: int, name: str) -> None:
        raise PermissionError(errno.EPERM, "no hard links")


async def test_without_hard_links_the_staged_file_is_renamed(tmp_path: Path) -> None:
    async with FileStore(tmp_path, SETTINGS, staged=WithoutLinks) as store:
        key = await push(store, b"x")

        assert await pull(store, key) == b"x"
    assert names(tmp_path) == [Path(key).name]


# Disks that fail


class FailedSync(Staged):
    """Its sync fails as a broken disk's does. The kernel here has no dm-error; a thin disk below fails for real."""

    syncs = 0

    def fsync(self, fd: int) -> None:
        type(self).syncs += 1
        raise OSError(errno.EIO, "broken disk")


async def test_a_failed_sync_is_never_tried_again(tmp_path: Path) -> None:
    async with FileStore(tmp_path, SETTINGS, staged=FailedSync) as store:
        upload = await patch(store, session(), b"12345")
        async with writing(store, upload) as appender:
            digest = await appender.digest("sha256")
            for _ in range(2):
                with pytest.raises(StorageFailed, match="commit: EIO"):
                    await appender.commit(digest)
        with pytest.raises(UploadUnknown):
            await patch(store, upload, b"6")

    assert FailedSync.syncs == 1
    assert names(tmp_path) == []


@contextmanager
def mounted(target: Path, *arguments: str) -> Iterator[Path]:
    target.mkdir()
    subprocess.run(["mount", *arguments, str(target)], check=True)
    try:
        yield target
    finally:
        subprocess.run(["umount", str(target)], check=True)


@asynccontextmanager
async def on_a_small_disk(tmp_path: Path) -> AsyncIterator[tuple[FileStore, Path]]:
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=8m", "none") as disk:
        async with FileStore(disk, SETTINGS) as store:
            yield store, disk


async def push_many(store: FileStore) -> None:
    await push(store, DATA * 3)


async def push_one_frame(store: FileStore) -> None:
    """So small that it meets the disk in the commit only."""
    await push(store, DATA[:60_000])


async def accept_many(store: FileStore) -> None:
    await patch(store, session(), DATA * 3)


@as_root
@pytest.mark.parametrize("write", [push_many, push_one_frame, accept_many])
async def test_a_full_disk_is_told_and_nothing_is_left_behind(
    tmp_path: Path, write: Callable[[FileStore], Awaitable[None]]
) -> None:
    async with on_a_small_disk(tmp_path) as (store, disk):
        kept = await push(store, DATA)
        filler = disk / "filler"
        fill(filler)
        before = os.statvfs(disk).f_bfree

        with pytest.raises(StorageFull):
            await write(store)

        assert os.statvfs(disk).f_bfree == before
        assert sorted(path.stat().st_size for path in (disk / "uploads").rglob("*") if path.is_file()) == [0]
        filler.unlink()
        assert await pull(store, kept) == DATA
        assert await pull(store, await push(store, b"again")) == b"again"


@as_root
async def test_a_disk_filled_by_an_upload_frees_what_the_upload_took(tmp_path: Path) -> None:
    async with on_a_small_disk(tmp_path) as (store, disk):
        upload = await patch(store, session(), DATA)

        with pytest.raises(StorageFull):
            await patch(store, upload, DATA * 3)

        assert names(disk) == [f"{upload.id}.0"]
        assert await pull(store, await finish(store, upload, b"6")) == DATA + b"6"


@as_root
async def test_a_takeover_on_a_full_disk_is_told(tmp_path: Path) -> None:
    async with on_a_small_disk(tmp_path) as (store, _):
        upload = await patch(store, session(), DATA + DATA[: 2 * MIB])

        with pytest.raises(StorageFull):
            await store.take_over(upload)

        assert (await patch(store, upload, b"6")).offset == upload.offset + 1


@contextmanager
def thin_disk(tmp_path: Path) -> Iterator[Path]:
    """ext4 that believes in 64 MiB on a device that has 6: writes succeed, and their sync fails."""
    with mounted(tmp_path / "thin", "-t", "tmpfs", "-o", "size=6m", "none") as backing:
        image = backing / "image"
        subprocess.run(["truncate", "-s", "64M", str(image)], check=True)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-E", "nodiscard", str(image)], check=True)
        with mounted(tmp_path / "disk", "-o", "loop,errors=continue", str(image)) as disk:
            yield disk


@as_root
async def test_bytes_that_a_device_refuses_after_all_are_not_acknowledged(tmp_path: Path) -> None:
    with thin_disk(tmp_path) as disk:
        async with FileStore(disk, SETTINGS) as store:
            upload = await patch(store, session(), DATA * 3)

            with pytest.raises(PierheadError) as refusal:
                await finish(store, upload)
            with pytest.raises(UploadUnknown):
                await patch(store, upload, b"6")

        assert isinstance(refusal.value, StorageFull | StorageFailed)
        assert names(disk) == []
