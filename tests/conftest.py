"""Fixtures that many tests share."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests import profiles
from tests.running import Running, serving

profiles.load()

pytest_plugins = ["tests.servers.fixtures"]

ANNOUNCED = pytest.StashKey[list[str]]()


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


@pytest.fixture
def announce(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Takes lines that are worth reading after a run in which everything passed."""
    return request.config.stash.setdefault(ANNOUNCED, []).append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if lines := terminalreporter.config.stash.get(ANNOUNCED, []):
        terminalreporter.section("measured")
        for line in lines:
            terminalreporter.write_line(line)
