"""The servers, started by the first test that asks; but for one, a single one for a whole run."""

from collections.abc import Iterator

import pytest

from tests.servers import azurite as azurite_server
from tests.servers import gcs as gcs_server
from tests.servers import oidc as oidc_server
from tests.servers import postgresql as postgresql_server
from tests.servers import s3 as s3_server
from tests.servers import slapd as slapd_server
from tests.servers import toxiproxy as toxiproxy_server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[postgresql_server.Cluster]:
    with postgresql_server.postgresql() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def s3() -> Iterator[s3_server.Server]:
    with s3_server.s3() as server:
        yield server


@pytest.fixture(scope="session")
def azurite() -> Iterator[azurite_server.Server]:
    with azurite_server.azurite() as server:
        yield server


@pytest.fixture(scope="session")
def gcs() -> Iterator[gcs_server.Server]:
    with gcs_server.gcs() as server:
        yield server


@pytest.fixture(scope="session")
def slapd() -> Iterator[slapd_server.Server]:
    with slapd_server.slapd() as server:
        yield server


@pytest.fixture(scope="session")
def oidc() -> Iterator[oidc_server.Server]:
    with oidc_server.oidc() as server:
        yield server


@pytest.fixture(scope="module")
def toxiproxy() -> Iterator[toxiproxy_server.Server]:
    """Not for a whole run: one that waits for a stuck connection answers nobody any more."""
    with toxiproxy_server.toxiproxy() as server:
        yield server
