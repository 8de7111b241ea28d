from collections.abc import Iterator
from itertools import count

import pytest
from pydantic import SecretStr

from pierhead.settings import DatabaseSettings
from tests.servers.postgresql import Cluster

_numbers = count()


@pytest.fixture
def empty(postgresql: Cluster) -> Iterator[str]:
    """The URL of a database with nothing in it."""
    with postgresql.database(f"empty-{next(_numbers)}") as url:
        yield url


@pytest.fixture
def settings(empty: str) -> DatabaseSettings:
    return DatabaseSettings(url=SecretStr(empty))
