import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import apsw
import pytest

from pierhead.metadata.database import Transaction
from pierhead.metadata.sqlite import log
from pierhead.metadata.sqlite.database import SqliteDatabase
from tests import components
from tests.contracts.database import exists, names, put

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pierhead.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[SqliteDatabase]:
    async with SqliteDatabase(path) as database:
        yield database


async def fill(tx: Transaction, start: int, count: int) -> None:
    rows = [{"name": f"{number} {'x' * 200}"} for number in range(start, start + count)]
    await tx.execute_many("INSERT INTO projects (name, created_at) VALUES (:name, 0)", rows)


async def test_the_log_stays_short_under_a_long_load(
    path: Path, database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "LOG_MAX_BYTES", 20 * 1024 * 1024)
    longest = 0
    for number in range(300):
        await database.write(partial(fill, start=number * 500, count=500), durable=False)
        # Reads all the while, as a server's do.
        await database.read(partial(exists, name="no"))
        longest = max(longest, database.log_length())

    assert longest < 24 * 1024 * 1024


async def test_the_log_grows_with_a_lagging_reader_and_is_cut_once_that_is_done(
    path: Path, database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "LOG_MAX_BYTES", 2 * 1024 * 1024)
    monkeypatch.setattr(log, "PAUSE_SECONDS", 0.05)
    lagging = apsw.Connection(str(path))
    lagging.execute("BEGIN")
    lagging.execute("SELECT count(*) FROM projects").fetchall()
    began = time.monotonic()
    for number in range(60):
        await database.write(partial(fill, start=number * 500, count=500), durable=False)
    with_reader, seconds = database.log_length(), time.monotonic() - began
    lagging.execute("COMMIT")
    lagging.close()
    await asyncio.sleep(0.1)
    await database.write(partial(put, name="a"))

    assert with_reader > 4 * 1024 * 1024
    assert seconds < 20
    assert database.log_length() == 0
    assert len(await database.read(names)) == 30_001


async def test_a_log_that_cannot_be_cut_fails_no_commit(
    path: Path, database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "LOG_MAX_BYTES", 0)

    def fail() -> None:
        raise apsw.FullError

    monkeypatch.setattr(database._writer._log, "_restart", fail)
    await database.write(partial(put, name="a"))

    assert await database.read(names) == ["a"]


async def test_after_a_failed_sync_nothing_is_written_before_the_log_began_anew(path: Path) -> None:
    async with SqliteDatabase(path) as database:
        await database.write(partial(put, name="before"))
        # The second commit's sync fails, and that of the checkpoint which the third asks for; then the disk is well.
        tried = written_with_failing_syncs(path, "when=2..3")

        assert [one["refused"] for one in tried] == [False, True, True, False, False]
        assert [one["doubt"] for one in tried] == [False, True, True, False, False]
        assert tried[3]["salt"] != tried[0]["salt"]
        assert await database.read(names) == ["before", "name 0", "name 3", "name 4"]


async def test_a_sync_that_fails_in_one_process_holds_up_the_others_too(path: Path) -> None:
    async with SqliteDatabase(path) as database:
        await database.write(partial(put, name="before"))
        before = salt(path)
        tried = written_with_failing_syncs(path, "when=5+")
        assert tried[-1]["doubt"]
        await database.write(partial(put, name="after"))

        assert salt(path) != before
        assert not path.with_name("pierhead.db.log-in-doubt").exists()


def written_with_failing_syncs(path: Path, when: str) -> list[dict[str, object]]:
    """Five durable writes by a process whose syncs of the log fail as told."""
    command = [str(components.require("strace")), "-f", "-qq", "-o", str(path.with_name("trace"))]
    command += ["-P", f"{path}-wal", "-e", "trace=fsync,fdatasync", "-e", f"inject=fsync,fdatasync:error=EIO:{when}"]
    command += [sys.executable, "-m", "tests.metadata.sqlite.writing", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, timeout=60)
    return [json.loads(line) for line in done.stdout.splitlines()]


def salt(path: Path) -> str:
    """What changes whenever the log is begun anew (sqlite.org/fileformat2.html, section 4.1)."""
    return path.with_name(path.name + "-wal").read_bytes()[16:24].hex()
