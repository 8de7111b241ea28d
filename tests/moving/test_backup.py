"""Backups while a registry serves, and what becomes of them."""

import asyncio
import hashlib
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TypeVar

import apsw
import pytest

from pierhead.blobs.files import FileStore
from pierhead.data_directory import prepare
from pierhead.errors import ConfigurationError, MetadataUnavailable, MoveFailed
from pierhead.metadata import holds, moves, repositories
from pierhead.metadata.database import Operation
from pierhead.metadata.sqlite.database import SqliteDatabase
from pierhead.models import RepositoryName
from pierhead.moving import backup as backups
from pierhead.moving import content, rows
from pierhead.moving.progress import Silent
from pierhead.moving.restore import restore
from pierhead.moving.side import Side
from pierhead.settings import StorageSettings
from tests.crash.verify import inspect
from tests.crash.wire import Wire
from tests.moving.command import done, killed, pierhead
from tests.moving.contents import named, served
from tests.moving.damage import a_blob, flip
from tests.moving.loading import loading
from tests.running import Running, serving

# Several servers and a load, on a machine that may have other things to do.
pytestmark = pytest.mark.timeout(300)

T = TypeVar("T")

SEED = 11
KILLS = 6


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry that nobody serves. For who only reads it."""
    data = tmp_path_factory.mktemp("filled") / "data"
    with serving(data) as server, loading(server.host, seed=SEED):
        time.sleep(2)
    return data


@pytest.fixture
def own(filled: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return shutil.copytree(filled, tmp_path / "own")


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Running]:
    with serving(tmp_path / "busy", "--workers", "2") as server:
        yield server


def test_a_backup_under_load_is_of_one_moment(busy: Running, tmp_path: Path, announce: Callable[[str], None]) -> None:
    backup, restored = tmp_path / "backup", tmp_path / "restored"
    with loading(busy.host, seed=SEED) as load:
        time.sleep(1)
        began = time.monotonic()
        done("backup", "--data", busy.data, "--to", backup)
        seconds = time.monotonic() - began
        inspect(backup)
        first = named(backup)
    load.settle()
    with serving(backup) as old:
        served(old.host, first)

    # What came since is added to the same backup.
    done("backup", "--data", busy.data, "--to", backup)
    done("restore-backup", "--from", backup, "--data", restored)

    everything = named(busy.data)
    with serving(restored) as server:
        assert served(server.host, everything) == served(busy.host, everything)
        load.verify(server.host)
    inspect(restored)
    announce(f"backup under load: {len(first)} names in {seconds:.1f} s, {load.acknowledged} requests acknowledged")


@pytest.mark.anyio
async def test_a_backup_of_what_was_restored_has_the_same_rows(filled: Path, tmp_path: Path) -> None:
    first, restored, second = (tmp_path / name for name in ("first", "restored", "second"))
    done("backup", "--data", filled, "--to", first)
    done("restore-backup", "--from", first, "--data", restored)

    done("backup", "--data", restored, "--to", second)

    async with (
        SqliteDatabase(filled / "pierhead.db") as ours,
        SqliteDatabase(second / "pierhead.db") as theirs,
        ours.snapshot() as source,
        theirs.snapshot() as target,
    ):
        assert await rows.differences(source, target, Silent()) == []


def test_a_second_backup_copies_only_what_is_new(filled: Path, tmp_path: Path) -> None:
    first = done("backup", "--data", filled, "--to", tmp_path / "backup")

    second = done("backup", "--data", filled, "--to", tmp_path / "backup")

    assert not first.startswith("0 rows")
    assert second.startswith("0 rows and 0 blobs (0 bytes) copied")


def test_what_the_registry_removed_goes_from_the_backup(own: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    done("backup", "--data", own, "--to", backup)
    _, digest = a_blob(own)
    with closing(apsw.Connection(str(own / "pierhead.db"))) as connection:
        for table in ("manifest_references", "repository_blobs", "unreferenced_blobs", "blobs"):
            connection.execute(f"DELETE FROM {table} WHERE digest = ?", (digest,))

    done("backup", "--data", own, "--to", backup)

    assert not list(backup.glob(f"blobs/*/*/{digest[7:]}.*"))
    assert done("check", "--data", backup).endswith("0 damaged or missing, 0 orphans\n")


def test_a_damaged_blob_stops_it_and_the_last_backup_stays(own: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    done("backup", "--data", own, "--to", backup)
    before = (backup / "pierhead.db").read_bytes()
    file, digest = a_blob(own)
    flip(file)
    # Nothing of it is in this backup yet.
    other = tmp_path / "other"

    ran = pierhead("backup", "--data", own, "--to", other)

    assert ran.returncode == 1
    assert f"the blob {digest} is damaged: its bytes are not what its digest says" in ran.stderr
    assert not (other / "pierhead.db").exists()
    refused = pierhead("restore-backup", "--from", other, "--data", tmp_path / "none")
    assert "holds no finished backup" in refused.stderr
    assert (backup / "pierhead.db").read_bytes() == before


def test_a_blob_that_is_not_there_stops_it(own: Path, tmp_path: Path) -> None:
    file, digest = a_blob(own)
    file.unlink()

    ran = pierhead("backup", "--data", own, "--to", tmp_path / "backup")

    assert ran.returncode == 1
    assert f"the blob {digest} is missing" in ran.stderr


def test_a_damaged_manifest_stops_it(own: Path, tmp_path: Path) -> None:
    with closing(apsw.Connection(str(own / "pierhead.db"))) as connection:
        digest = connection.execute("SELECT digest FROM manifest_contents LIMIT 1").get
        connection.execute("UPDATE manifest_contents SET content = x'7b7d' WHERE digest = ?", (digest,))

    ran = pierhead("backup", "--data", own, "--to", tmp_path / "backup")

    assert ran.returncode == 1
    assert f"the manifest {digest} is damaged" in ran.stderr


def test_a_damaged_copy_is_found_when_it_is_read(filled: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    done("backup", "--data", filled, "--to", backup)
    file, _ = a_blob(backup)
    flip(file)

    done("backup", "--data", filled, "--to", backup, "--read")

    assert "0 damaged" in done("check", "--data", backup, "--deep")


def test_one_that_is_killed_goes_on(filled: Path, tmp_path: Path, announce: Callable[[str], None]) -> None:
    backup, restored, chance = tmp_path / "backup", tmp_path / "restored", random.Random(SEED)
    began = time.monotonic()
    done("backup", "--data", filled, "--to", tmp_path / "once")
    whole = time.monotonic() - began
    kills = sum(killed("backup", "--data", filled, "--to", backup, chance=chance, within=whole) for _ in range(KILLS))
    done("backup", "--data", filled, "--to", backup)
    for _ in range(KILLS):
        if not killed("restore-backup", "--from", backup, "--data", restored, chance=chance, within=whole):
            break
        kills += 1
    else:
        done("restore-backup", "--from", backup, "--data", restored)

    inspect(backup)
    inspect(restored)
    assert not list(backup.glob("uploads/*/*"))
    everything = named(filled)
    with serving(filled) as source, serving(restored) as target:
        assert served(target.host, everything) == served(source.host, everything)
    announce(f"backup and restore: {kills} kills, one backup takes {whole:.1f} s")


def test_half_a_restore_is_neither_served_nor_mixed_with_another(filled: Path, tmp_path: Path) -> None:
    backup, other, restored = tmp_path / "backup", tmp_path / "other", tmp_path / "restored"
    done("backup", "--data", filled, "--to", backup)
    shutil.copytree(backup, other)
    file, _ = a_blob(backup)
    content = file.read_bytes()
    flip(file)
    assert pierhead("restore-backup", "--from", backup, "--data", restored).returncode == 1
    file.write_bytes(content)

    served = pierhead("serve", "--data", restored)
    mixed = pierhead("restore-backup", "--from", other, "--data", restored)

    assert served.returncode == 2
    assert f"this registry is not whole: it is being filled from {backup}" in served.stderr
    assert mixed.returncode == 2
    assert f"is being filled from {backup}" in mixed.stderr
    done("restore-backup", "--from", backup, "--data", restored)
    inspect(restored)


@pytest.mark.anyio
async def test_a_target_that_somebody_else_writes_to_is_not_finished(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a server that was started on it earlier."""
    settings = StorageSettings(min_free_bytes=0)
    prepare(tmp_path / "new")
    async with (
        SqliteDatabase(filled / "pierhead.db") as rows_there,
        SqliteDatabase(tmp_path / "new" / "pierhead.db") as rows_here,
        FileStore(filled, settings) as store_there,
        FileStore(tmp_path / "new", settings) as store_here,
    ):

        async def carry(*_: object) -> tuple[int, int]:
            await rows_here.write(partial(repositories.ensure, name=RepositoryName("else/where")))
            await rows_here.write(lambda tx: tx.execute("UPDATE blobs SET key = 'k' || digest WHERE key LIKE 'p%'"))
            return 0, 0

        monkeypatch.setattr(content, "carry", carry)
        with pytest.raises(MoveFailed, match="somebody else wrote to the target"):
            await restore(Side(rows_there, store_there), Side(rows_here, store_here), "there", Silent())
        with pytest.raises(ConfigurationError, match="is not whole"):
            await moves.require_whole(rows_here)


def test_a_registry_that_holds_something_is_not_restored_into(filled: Path, own: Path, tmp_path: Path) -> None:
    done("backup", "--data", filled, "--to", tmp_path / "backup")

    ran = pierhead("restore-backup", "--from", tmp_path / "backup", "--data", own)

    assert ran.returncode == 2
    assert "the target holds content already" in ran.stderr


def test_a_backup_needs_a_registry_and_a_place_of_its_own(filled: Path, tmp_path: Path) -> None:
    nothing = pierhead("backup", "--data", tmp_path / "nothing", "--to", tmp_path / "backup")
    itself = pierhead("backup", "--data", filled, "--to", filled)

    assert (nothing.returncode, itself.returncode) == (2, 2)
    assert "there is no database" in nothing.stderr
    assert "is the registry itself" in itself.stderr


def test_the_store_is_no_place_for_a_backup(own: Path, tmp_path: Path) -> None:
    """Neither while nobody serves it, when no lock tells: what is staged there would be swept away."""
    store = tmp_path / "store"
    staged = store / "uploads" / "5f" / "5f000000-0000-4000-8000-000000000000.0"
    staged.parent.mkdir(parents=True)
    staged.write_bytes(b"accepted")

    ran = pierhead("backup", "--data", own, "--storage", f"file://{store}", "--to", store)

    assert ran.returncode == 2
    assert "is the registry itself" in ran.stderr
    assert staged.exists()


def test_a_small_blob_that_left_its_row_stays_in_the_backup(tmp_path: Path) -> None:
    first, second, backup = (tmp_path / name for name in ("first", "second", "backup"))
    content = b"small"
    path = f"/v2/a/blobs/uploads/?digest=sha256:{hashlib.sha256(content).hexdigest()}"
    for data, environment in ((first, {}), (second, {"PIERHEAD_STORAGE_INLINE_BYTES": "0"})):
        with serving(data, environment=environment) as server, Wire(server.host) as wire:
            assert wire.ask("POST", path, content).status == 201

    for data in (first, second, first):
        done("backup", "--data", data, "--to", backup)

        assert done("check", "--data", backup).endswith("0 damaged or missing, 0 orphans\n")


@pytest.mark.anyio
async def test_a_hold_outlasts_a_moment_without_the_database(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backups, "_RENEW_SECONDS", 0.01)
    forget_holds(own)
    async with AwayOnce(own / "pierhead.db") as database:
        async with backups.held(database):
            await asyncio.wait_for(database.asked_again.wait(), 10)
            assert await database.read(holds.held)

        assert not await database.read(holds.held)


def forget_holds(data: Path) -> None:
    """Of those that were killed, for ten minutes."""
    with closing(apsw.Connection(str(data / "pierhead.db"))) as connection:
        connection.execute("DELETE FROM holds")


class AwayOnce(SqliteDatabase):
    """Fails the second write."""

    asked = 0

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked_again = asyncio.Event()

    async def write(self, operation: Operation[T], *, durable: bool = True) -> T:
        self.asked += 1
        if self.asked == 2:
            raise MetadataUnavailable
        if self.asked > 2:
            self.asked_again.set()
        return await super().write(operation, durable=durable)


def test_nothing_is_held_back_when_it_is_over(own: Path, tmp_path: Path) -> None:
    forget_holds(own)
    done("backup", "--data", own, "--to", tmp_path / "backup")

    with closing(apsw.Connection(str(own / "pierhead.db"))) as connection:
        assert connection.execute("SELECT * FROM holds").fetchall() == []
