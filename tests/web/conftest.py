"""A registry with an administrator, for the tests of a module, and people who are not signed in yet."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.distribution.logs import failures
from tests.running import Running, serving
from tests.web.person import Person, add_user, quicken, set_up


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Two workers. `admin` was made by the setup page; attempts are not limited by their rate."""
    data: Path = tmp_path_factory.mktemp("pages") / "data"
    with serving(data, "--workers", "2", environment={"PIERHEAD_PAGES_SIGN_IN_RATE": "0"}) as running:
        set_up(running)
        quicken(running.data, "admin")
        yield running
        assert failures(running.log) == []


@pytest.fixture
def person(registry: Running) -> Iterator[Person]:
    with Person(registry) as person:
        yield person


@pytest.fixture
def admin(registry: Running) -> Iterator[Person]:
    with Person(registry) as person:
        person.sign_in()
        yield person


@pytest.fixture
def user(registry: Running) -> Callable[[str], None]:
    """Makes a local user with the password of all."""

    def make(name: str) -> None:
        add_user(registry.data, name)

    return make
