"""One server for all tests that talk to one, and a look at its log when they are done."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.distribution.guarded import Guarded
from tests.distribution.guarded import guarded as run_guarded
from tests.distribution.logs import failures
from tests.running import Running, serving


@pytest.fixture(scope="package")
def package_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    data: Path = tmp_path_factory.mktemp("distribution") / "data"
    with serving(data, "--workers", "2", "--access-log", "all") as running:
        yield running
    assert failures(running.log) == []


@pytest.fixture(scope="module")
def server(package_server: Running) -> Iterator[Running]:
    """The package's server; a module that made it fail is the one that is told."""
    read = package_server.log.stat().st_size
    yield package_server
    assert failures(package_server.log, read) == []


@pytest.fixture
def client(server: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


@pytest.fixture(scope="package")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """One server with accounts for those who try what they may not."""
    with run_guarded(tmp_path_factory.mktemp("guarded")) as running:
        yield running
