import asyncio
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from pierhead.errors import ConfigurationError
from pierhead.metadata.sqlite import engine
from tests.contracts.database import ROOT

PREPARE = "import sys, pathlib; from pierhead.metadata.sqlite import engine; engine.prepare(pathlib.Path(sys.argv[1]))"


@pytest.mark.parametrize(
    "version", ["3.7.0", "3.7.17", "3.40.1", "3.44.5", "3.44.7", "3.45.0", "3.50.6", "3.50.8", "3.51.0", "3.51.2"]
)
def test_a_sqlite_that_can_lose_commits_is_refused(version: str) -> None:
    with pytest.raises(ConfigurationError, match="can lose commits"):
        engine.require_sound_version(version)


@pytest.mark.parametrize("version", ["3.6.23.1", "3.44.6", "3.50.7", "3.51.3", "3.52.0", "3.53.1", "4.0.0"])
def test_a_sqlite_without_that_fault_is_taken(version: str) -> None:
    engine.require_sound_version(version)


def test_the_sqlite_that_is_installed_is_sound() -> None:
    engine.require_sound_version(engine.version())


def test_a_database_is_made_with_a_log_and_foreign_keys(tmp_path: Path) -> None:
    engine.prepare(tmp_path / "pierhead.db")

    connection = engine.connect(tmp_path / "pierhead.db")
    assert connection.pragma("journal_mode") == "wal"
    assert connection.pragma("foreign_keys") == 1
    assert connection.pragma("user_version") == engine.SCHEMA_VERSION
    connection.close()


def test_preparing_again_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "pierhead.db"
    engine.prepare(path)
    before = path.read_bytes()
    engine.prepare(path)

    assert path.read_bytes() == before


def test_the_schema_of_a_later_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "pierhead.db"
    engine.prepare(path)
    connection = engine.connect(path)
    connection.pragma("user_version", engine.SCHEMA_VERSION + 1)
    connection.close()
    before = path.read_bytes()

    later = f"has schema {engine.SCHEMA_VERSION + 1}, this program serves {engine.SCHEMA_VERSION}"
    with pytest.raises(ConfigurationError, match=later):
        engine.prepare(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("version", range(1, engine.SCHEMA_VERSION))
def test_a_database_of_an_earlier_schema_is_brought_up_to_date(tmp_path: Path, version: int) -> None:
    path, fresh = tmp_path / "pierhead.db", tmp_path / "fresh.db"
    connection = engine.connect(path)
    for step in engine.STEPS[:version]:
        connection.execute(engine.step_text(step))
    connection.pragma("application_id", engine.APPLICATION_ID)
    connection.pragma("user_version", version)
    connection.close()

    for one in (path, fresh):
        engine.prepare(one)

    assert schema(path) == schema(fresh)


def test_the_database_of_before_is_kept_and_a_program_of_before_can_go_on_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, copy = tmp_path / "pierhead.db", tmp_path / "pierhead.db.schema-2"
    monkeypatch.setattr(engine, "STEPS", engine.STEPS[:2])
    monkeypatch.setattr(engine, "SCHEMA_VERSION", 2)
    engine.prepare(path)
    connection = engine.connect(path)
    connection.execute("INSERT INTO projects (name, created_at) VALUES ('a', 0)")  # still in the log
    monkeypatch.undo()
    engine.prepare(path)
    connection.close()

    monkeypatch.setattr(engine, "SCHEMA_VERSION", 2)
    engine.prepare(copy)
    connection = engine.connect(copy)
    assert connection.execute("SELECT name FROM projects").fetchall() == [("a",)]
    connection.close()
    assert not copy.with_name("pierhead.db.schema-2.part").exists()


def test_a_database_without_a_schema_of_before_has_no_copy(tmp_path: Path) -> None:
    engine.prepare(tmp_path / "pierhead.db")
    engine.prepare(tmp_path / "pierhead.db")

    assert list(tmp_path.glob("*schema*")) == []


def schema(path: Path) -> list[tuple[str, str]]:
    connection = engine.connect(path)
    rows = connection.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall()
    assert connection.pragma("user_version") == engine.SCHEMA_VERSION
    connection.close()
    return [(str(name), " ".join(str(sql).split())) for name, sql in rows]


@pytest.mark.parametrize("version", [0, 1])
def test_a_database_of_another_program_is_refused(tmp_path: Path, version: int) -> None:
    path = tmp_path / "pierhead.db"
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE theirs (a)")
    connection.pragma("user_version", version)
    connection.close()

    with pytest.raises(ConfigurationError, match="another program"):
        engine.prepare(path)


def test_a_file_that_is_no_database_is_refused_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "pierhead.db"
    path.write_bytes(b"this is no database at all" * 1000)

    with pytest.raises(ConfigurationError, match=r"pierhead\.db cannot be used as the database: NotADBError"):
        engine.prepare(path)


def test_a_damaged_database_is_refused_at_start(tmp_path: Path) -> None:
    path = tmp_path / "pierhead.db"
    engine.prepare(path)
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\xff" * 4000 + content[4100:])

    with pytest.raises(ConfigurationError, match=r"pierhead\.db cannot be used as the database"):
        engine.prepare(path)


def test_a_database_that_was_cut_off_is_refused_at_start(tmp_path: Path) -> None:
    path = tmp_path / "pierhead.db"
    engine.prepare(path)
    with path.open("r+b") as file:
        file.truncate(3 * 4096)

    with pytest.raises(ConfigurationError, match=r"pierhead\.db cannot be used as the database"):
        engine.prepare(path)


def test_many_processes_make_one_database_at_once(tmp_path: Path) -> None:
    path = tmp_path / "pierhead.db"
    command = [sys.executable, "-c", PREPARE, str(path)]

    async def prepare() -> list[bytes]:
        processes = [await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE, cwd=ROOT) for _ in range(6)]
        return [(await process.communicate())[1] for process in processes]

    assert asyncio.run(prepare()) == [b""] * 6
    engine.prepare(path)


def test_many_threads_make_one_database_at_once(tmp_path: Path) -> None:
    async def prepare(path: Path) -> None:
        await asyncio.gather(*(asyncio.to_thread(engine.prepare, path) for _ in range(8)))

    for number in range(10):
        asyncio.run(prepare(tmp_path / f"{number}.db"))


def test_the_events_of_an_earlier_schema_stay_with_what_refers_to_them(tmp_path: Path) -> None:
    path = tmp_path / "pierhead.db"
    connection = at_schema(path, 6)
    connection.execute("INSERT INTO projects (id, name, created_at) VALUES (1, 'team', 0)")
    connection.execute("INSERT INTO repositories (id, project_id, name, created_at) VALUES (1, 1, 'team/app', 0)")
    for number in range(1, 1001):
        connection.execute(
            "INSERT INTO events (id, at, action, repository_id, tag, before, after, actor, credential, address, agent,"
            " request_id, reason)"
            " VALUES (?, ?, 'manifest.pushed', 1, 'v1', 'b', 'a', 'alice', 'basic', '', '', '', 'r')",
            (number * 2, number),
        )
        connection.execute(
            "INSERT INTO tag_history (repository_id, name, action, before, after, event_id)"
            " VALUES (1, 'v1', 'moved', 'b', 'a', ?)",
            (number * 2,),
        )
    connection.execute("CREATE TABLE noted (id)")
    connection.execute("CREATE TRIGGER noting AFTER INSERT ON events BEGIN INSERT INTO noted VALUES (NEW.id); END")
    before = connection.execute("SELECT * FROM events ORDER BY id").fetchall()
    connection.close()
    engine.prepare(path)

    connection = engine.connect(path)
    after = connection.execute("SELECT * FROM events ORDER BY id").fetchall()
    assert [row[: len(before[0])] for row in after] == before
    assert {row[len(before[0]) :] for row in after} == {(None, None, "done", None, None, None, None)}
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    assert connection.pragma("foreign_keys") == 1
    with pytest.raises(apsw.ConstraintError, match="FOREIGN KEY"):
        connection.execute("DELETE FROM events WHERE id = 2")
    # Whoever writes down what changes, while the registry moves, goes on doing so.
    connection.execute(
        "INSERT INTO events (at, action, actor, credential, address, agent, request_id)"
        " VALUES (1, 'a', '', '', '', '', '')"
    )
    assert connection.execute("SELECT id FROM noted").fetchall() == [(2001,)]
    connection.close()


def test_events_that_history_needs_and_that_are_gone_keep_a_database_from_being_changed(tmp_path: Path) -> None:
    path = tmp_path / "pierhead.db"
    connection = at_schema(path, 6)
    connection.execute("INSERT INTO projects (id, name, created_at) VALUES (1, 'team', 0)")
    connection.execute("INSERT INTO repositories (id, project_id, name, created_at) VALUES (1, 1, 'team/app', 0)")
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("INSERT INTO tag_history (repository_id, name, action, event_id) VALUES (1, 'v1', 'moved', 5)")
    connection.close()

    with pytest.raises(ConfigurationError, match="tag_history refers to rows that are not there"):
        engine.prepare(path)
    connection = engine.connect(path)
    assert connection.pragma("user_version") == 6
    connection.close()


def at_schema(path: Path, version: int) -> apsw.Connection:
    """A database as a program of before left it."""
    connection = engine.connect(path)
    for step in engine.STEPS[:version]:
        connection.execute(engine.step_text(step))
    connection.pragma("application_id", engine.APPLICATION_ID)
    connection.pragma("user_version", version)
    return connection
