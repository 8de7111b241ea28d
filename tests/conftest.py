"""Fixtures that many tests share."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.running import Running, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One open server on loopback for the tests of a module."""
    data: Path = tmp_path_factory.mktemp("server") / "data"
    with serving(data, "--workers", "2") as running:
        yield running


@pytest.fixture
def client(server: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client
