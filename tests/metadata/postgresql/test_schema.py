import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from pierhead.errors import ConfigurationError, MetadataUnavailable
from pierhead.metadata.postgresql import preparing, schema
from pierhead.metadata.postgresql.database import PostgresqlDatabase
from pierhead.metadata.sqlite import engine
from pierhead.settings import DatabaseSettings
from tests.contracts.database import ROOT, names
from tests.servers.postgresql import Cluster, sql

PREPARE = """
import asyncio, sys
from pydantic import SecretStr
from pierhead.metadata.postgresql import preparing
from pierhead.settings import DatabaseSettings
asyncio.run(preparing.prepare(DatabaseSettings(url=SecretStr(sys.argv[1]))))
"""
MIGRATE = "from pierhead.cli.main import main; main()"


def prepare(settings: DatabaseSettings) -> None:
    asyncio.run(preparing.prepare(settings))


def columns(url: str) -> list[tuple[str, str]]:
    """Each column of the rows with whether it may be missing."""
    told = sql(
        url,
        "SELECT table_name || '.' || column_name, is_nullable FROM information_schema.columns "
        "WHERE table_schema = 'public' AND table_name <> 'pierhead_schema'",
    )
    return sorted((name, null) for name, null in (line.split("|") for line in told.splitlines()))


def sqlite_columns(path: Path) -> list[tuple[str, str]]:
    engine.prepare(path)
    connection = engine.connect(path)
    rows = connection.execute(
        "SELECT t.name || '.' || c.name, c.\"notnull\" OR c.pk FROM sqlite_schema t, pragma_table_info(t.name) c "
        "WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'"
    ).fetchall()
    connection.close()
    return sorted((str(name), "NO" if required else "YES") for name, required in rows)


def test_both_engines_have_the_same_columns(settings: DatabaseSettings, empty: str, tmp_path: Path) -> None:
    prepare(settings)

    assert columns(empty) == sqlite_columns(tmp_path / "pierhead.db")
    assert schema.newest() == engine.SCHEMA_VERSION


def test_both_engines_have_the_same_indexes(settings: DatabaseSettings, empty: str, tmp_path: Path) -> None:
    prepare(settings)
    engine.prepare(tmp_path / "pierhead.db")
    connection = engine.connect(tmp_path / "pierhead.db")
    expected = {
        str(name) for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE sql LIKE 'CREATE I%'")
    }
    connection.close()

    told = set(sql(empty, "SELECT indexname FROM pg_indexes WHERE schemaname = 'public'").splitlines())
    assert expected
    assert expected <= told


def test_every_text_is_compared_byte_by_byte(settings: DatabaseSettings, empty: str) -> None:
    prepare(settings)

    assert not sql(
        empty,
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' "
        "AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'",
    )


def test_preparing_again_changes_nothing(settings: DatabaseSettings, empty: str) -> None:
    prepare(settings)
    before = sql(empty, "SELECT * FROM pierhead_schema")
    prepare(settings)

    assert sql(empty, "SELECT * FROM pierhead_schema") == before
    assert asyncio.run(preparing.migrate(settings)) == []


def test_an_earlier_schema_is_left_to_the_operator(settings: DatabaseSettings, empty: str) -> None:
    step = schema.steps()[0]
    sql(empty, schema._STEPS_TABLE)
    sql(empty, step.sql)
    sql(empty, f"INSERT INTO pierhead_schema VALUES ({step.number}, {step.oldest})")

    with pytest.raises(ConfigurationError, match=r"has schema 1, this program needs \d; run pierhead migrate"):
        prepare(settings)
    assert asyncio.run(preparing.migrate(settings)) == [step.name for step in schema.steps()[1:]]
    prepare(settings)


def test_a_later_schema_is_served_unless_it_names_a_later_program(settings: DatabaseSettings, empty: str) -> None:
    prepare(settings)
    known = schema.newest()
    sql(empty, f"INSERT INTO pierhead_schema VALUES ({known + 1}, {known})")
    prepare(settings)
    sql(empty, f"INSERT INTO pierhead_schema VALUES ({known + 2}, {known + 1})")

    with pytest.raises(
        ConfigurationError, match=rf"older than schema {known + 1} may not serve; this one knows {known}"
    ):
        prepare(settings)
    with pytest.raises(ConfigurationError, match="may not serve"):
        asyncio.run(preparing.migrate(settings))


def test_a_worker_does_not_start_on_a_database_that_left_it_behind(settings: DatabaseSettings, empty: str) -> None:
    prepare(settings)
    sql(empty, f"INSERT INTO pierhead_schema VALUES (99, {schema.newest() + 1})")

    async def read() -> None:
        async with PostgresqlDatabase(settings) as database:
            await database.read(names)

    with pytest.raises(ConfigurationError, match="may not serve"):
        asyncio.run(read())


def test_a_database_of_another_program_is_refused(settings: DatabaseSettings, empty: str) -> None:
    sql(empty, "CREATE TABLE theirs (a INTEGER)")

    for refused in (preparing.prepare, preparing.migrate):
        with pytest.raises(ConfigurationError, match="another program has tables there"):
            asyncio.run(refused(settings))


def test_many_processes_make_one_schema_at_once(empty: str) -> None:
    command = [sys.executable, "-c", MIGRATE, "migrate", "--database", empty]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(4)
    ]
    told = [process.communicate(timeout=60) for process in processes]

    assert [process.returncode for process in processes] == [0] * 4, told
    taken = re.findall(r"taken: (\S+)", "".join(output for output, _ in told))
    assert sorted(taken) == [step.name for step in schema.steps()]


def test_many_nodes_start_on_an_empty_database_at_once(empty: str) -> None:
    command = [sys.executable, "-c", PREPARE, empty]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(4)]
    told = [process.communicate(timeout=60)[1] for process in processes]

    assert told == [""] * 4
    taken = sql(empty, "SELECT step FROM pierhead_schema ORDER BY step").splitlines()
    assert taken == [str(step.number) for step in schema.steps()]


def test_a_step_lets_those_pass_that_wait_behind_it(
    settings: DatabaseSettings, empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(settings)
    step = schema.Step(99, 1, "0099_more.sql", "ALTER TABLE projects ADD COLUMN more TEXT")
    monkeypatch.setattr(schema, "steps", lambda: (step,))
    monkeypatch.setattr(schema, "_PATIENCE", "SET LOCAL lock_timeout = '100ms'")
    monkeypatch.setattr(schema, "_PAUSE_SECONDS", 0.2)

    async def migrate_behind_a_long_read() -> list[str]:
        async with PostgresqlDatabase(settings) as database, PostgresqlDatabase(settings) as other:
            reading = asyncio.Event()

            async with database.pool.lend() as connection, connection.transaction():
                await connection.fetch("SELECT * FROM projects")
                reading.set()
                migrating = asyncio.create_task(preparing.migrate(settings))
                await asyncio.sleep(0.5)
                assert not migrating.done()
                assert await asyncio.wait_for(other.read(names), 5) == []
            return await migrating

    monkeypatch.setattr(schema, "refusal", lambda _: asyncio.sleep(0))
    assert asyncio.run(migrate_behind_a_long_read()) == ["0099_more.sql"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("ALTER SYSTEM SET fsync = off", "fsync is off: .* set fsync = on"),
        ("ALTER ROLE postgres SET synchronous_commit = off", "synchronous_commit is off"),
    ],
)
def test_a_server_that_may_lose_what_was_acknowledged_is_refused(
    postgresql: Cluster, settings: DatabaseSettings, empty: str, change: str, message: str
) -> None:
    prepare(settings)
    try:
        sql(empty, change)
        sql(empty, "SELECT pg_reload_conf()")
        with pytest.raises(ConfigurationError, match=message):
            prepare(settings)

    finally:
        sql(empty, "ALTER SYSTEM RESET fsync")
        sql(empty, "ALTER ROLE postgres RESET synchronous_commit")
        sql(empty, "SELECT pg_reload_conf()")


def test_a_server_that_becomes_unfit_is_told_of(settings: DatabaseSettings, empty: str) -> None:
    prepare(settings)

    async def ping() -> None:
        async with PostgresqlDatabase(settings) as database:
            await database.ping()
            sql(empty, "ALTER SYSTEM SET synchronous_commit = off")
            sql(empty, "SELECT pg_reload_conf()")
            await asyncio.sleep(0.5)
            await database.ping()

    try:
        with pytest.raises(MetadataUnavailable, match="synchronous_commit is off"):
            asyncio.run(ping())
    finally:
        sql(empty, "ALTER SYSTEM RESET synchronous_commit")
        sql(empty, "SELECT pg_reload_conf()")


def test_another_encoding_is_refused(postgresql: Cluster) -> None:
    sql(postgresql.url(), "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        with pytest.raises(ConfigurationError, match=r"encoding is LATIN1; .* ENCODING 'UTF8'"):
            prepare(DatabaseSettings(url=SecretStr(postgresql.url("latin"))))
    finally:
        sql(postgresql.url(), "DROP DATABASE latin")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://postgres:secret@127.0.0.1:1/x", "ConnectionRefusedError|Connect call failed"),
        ("postgresql://postgres:secret@{host}/nowhere", 'database "nowhere" does not exist'),
        ("postgresql://nobody:secret@{host}/postgres", 'role "nobody" does not exist'),
    ],
)
def test_what_cannot_be_reached_is_told_without_the_password(
    postgresql: Cluster, monkeypatch: pytest.MonkeyPatch, url: str, reason: str
) -> None:
    monkeypatch.setattr(preparing, "WAITING_SECONDS", 0.1)
    settings = DatabaseSettings(url=SecretStr(url.format(host=f"127.0.0.1:{postgresql.port}")))

    with pytest.raises(ConfigurationError, match=reason) as told:
        prepare(settings)
    assert "secret" not in str(told.value)
