"""What the tests of a cluster share."""

import pytest

from tests.cluster.topology import Shared
from tests.servers import postgresql as postgresql_server
from tests.servers import s3 as s3_server
from tests.servers import toxiproxy as toxiproxy_server


@pytest.fixture(scope="module")
def shared(postgresql: postgresql_server.Cluster, s3: s3_server.Server, toxiproxy: toxiproxy_server.Server) -> Shared:
    return Shared(postgresql, s3, toxiproxy)
