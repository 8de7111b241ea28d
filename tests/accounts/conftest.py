"""Two nodes at one database, of each kind."""

from collections.abc import AsyncIterator

import pytest

from pierhead.metadata.database import Database
from tests.accounts.changing import Changing
from tests.contracts.database import Place


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def database(place: Place) -> AsyncIterator[Database]:
    async with place.open() as database:
        yield database


@pytest.fixture
async def other(place: Place) -> AsyncIterator[Database]:
    """The same rows, from another node."""
    async with place.open() as database:
        yield database


@pytest.fixture
def accounts(database: Database) -> Changing:
    return Changing(database)
