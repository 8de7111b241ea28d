from collections.abc import Iterator

import pytest

from tests.access.ldap.behaving import Listener, listening, say_nothing
from tests.access.ldap.company import COMPANY
from tests.servers.slapd import Server


@pytest.fixture(scope="session")
def company(slapd: Server) -> Server:
    slapd.add(COMPANY)
    return slapd


@pytest.fixture
def silent() -> Iterator[Listener]:
    with listening(say_nothing) as listener:
        yield listener
