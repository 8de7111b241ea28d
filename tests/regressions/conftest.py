"""A server for these tests, whose log has to be without failures when they are done."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.distribution.logs import failures
from tests.running import Running, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    data: Path = tmp_path_factory.mktemp("regressions") / "data"
    with serving(data, "--workers", "2") as running:
        yield running
    assert failures(running.log) == []


@pytest.fixture
def client(server: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client
