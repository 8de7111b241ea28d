"""The header of the log's index tells of every commit, whoever makes it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from pierhead.metadata import rights
from pierhead.metadata.database import Transaction
from pierhead.metadata.sqlite import engine, log_index
from pierhead.metadata.sqlite.database import SqliteDatabase

# Commits once for each line that it reads, and says so when the commit is done.
_WRITER = """
import sys
from pathlib import Path
from pierhead.metadata.sqlite import engine
connection = engine.connect(Path(sys.argv[1]))
for line in sys.stdin:
    connection.execute(line)
    print(flush=True)
"""
_TOUCH = "UPDATE access_epoch SET number = number + 1"
_COMMITS = 5000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    engine.prepare(tmp_path / "p.db")
    return tmp_path / "p.db"


@pytest.fixture
def reader(path: Path) -> Iterator[apsw.Connection]:
    connection = engine.connect(path)
    connection.execute("SELECT 1 FROM projects LIMIT 1").fetchall()
    yield connection
    connection.close()


@pytest.fixture
def header(reader: apsw.Connection) -> log_index.Header:
    found = log_index.header(reader)
    assert found is not None
    return found


def test_each_commit_of_another_process_is_seen_once_it_is_acknowledged(path: Path, header: log_index.Header) -> None:
    command = [sys.executable, "-c", _WRITER, str(path)]
    seen = {header.raw}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        for _ in range(_COMMITS):
            print(_TOUCH, file=writer.stdin, flush=True)
            writer.stdout.readline()
            assert header.raw not in seen
            seen.add(header.raw)
        writer.stdin.close()


def test_it_is_the_same_while_nothing_is_committed(path: Path, header: log_index.Header) -> None:
    before = header.raw
    with engine.connect(path) as writer:
        writer.execute(_TOUCH)
        assert header.raw == before
    writer.close()
    assert header.raw != before


def test_a_log_that_is_begun_anew_brings_back_no_earlier_state(path: Path, header: log_index.Header) -> None:
    writer = engine.connect(path)
    seen = set()
    for _ in range(200):
        writer.execute(_TOUCH)
        assert header.raw not in seen
        seen.add(header.raw)
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    writer.close()


def test_a_connection_without_a_log_has_none() -> None:
    connection = apsw.Connection(":memory:")
    assert log_index.header(connection) is None
    connection.close()


@pytest.mark.anyio
@pytest.mark.parametrize("found", [True, False], ids=["index", "pragma"])
async def test_what_is_remembered_counts_until_another_process_commits(
    path: Path, monkeypatch: pytest.MonkeyPatch, *, found: bool
) -> None:
    if not found:
        monkeypatch.setattr(log_index, "header", lambda _: None)
    async with SqliteDatabase(path) as database:

        async def number() -> int:
            async def read(tx: Transaction) -> int:
                return (await rights.epoch(tx)).number

            return await database.recall("number", read)

        first, version = await number(), database.version()
        assert (await number(), database.version()) == (first, version)
        assert database.take_lookups() == (1, 1)
        command = [sys.executable, "-c", _WRITER, str(path)]
        subprocess.run(command, input=f"{_TOUCH}\n", text=True, check=True, stdout=subprocess.DEVNULL)  # noqa: ASYNC221
        assert database.version() != version
        assert await number() == first + 1
