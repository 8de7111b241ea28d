import pytest

from tests.access.ldap.company import COMPANY
from tests.servers.slapd import Server


@pytest.fixture(scope="session")
def company(slapd: Server) -> Server:
    slapd.add(COMPANY)
    return slapd
