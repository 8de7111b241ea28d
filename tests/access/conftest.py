"""Databases of both kinds, each without rows."""

from collections.abc import AsyncIterator

import pytest

from pierhead.metadata.database import Database
from tests.contracts.database import Place


@pytest.fixture
async def either(place: Place) -> AsyncIterator[Database]:
    async with place.open() as database:
        yield database
