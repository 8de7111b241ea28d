"""Databases of both kinds, each new."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from pierhead.metadata.database import Database
from pierhead.metadata.postgresql import preparing
from pierhead.metadata.postgresql.database import PostgresqlDatabase
from pierhead.metadata.sqlite.database import SqliteDatabase
from pierhead.settings import DatabaseSettings


@pytest.fixture(params=["sqlite", "postgresql"])
async def either(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    if request.param == "sqlite":
        async with SqliteDatabase(tmp_path / "rows.db") as database:
            yield database
        return
    with request.getfixturevalue("postgresql").database("access") as url:
        settings = DatabaseSettings(url=SecretStr(url))
        await preparing.prepare(settings)
        async with PostgresqlDatabase(settings) as database:
            yield database
