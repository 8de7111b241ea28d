import time

import pytest

from pierhead.errors import MetadataUnavailable
from pierhead.metadata.database import Transaction
from pierhead.models import Digest, RepositoryName, TagName
from pierhead.registry.stale import Key, Stale

pytestmark = pytest.mark.anyio

APP = RepositoryName("team/app")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Away:
    """A database that knows its answers only while it is there."""

    def __init__(self) -> None:
        self.answer: str | None = "found"
        self.here = True

    async def recall(self, key: Key, operation: object) -> str | None:
        if not self.here:
            raise MetadataUnavailable
        return self.answer


async def nothing(tx: Transaction) -> str | None:
    return None


def key(name: str) -> Key:
    return "blob", APP, Digest(name)


async def test_what_was_found_by_digest_is_told_while_the_database_is_away() -> None:
    away = Away()
    stale = Stale(away, 60)  # type: ignore[arg-type]  # what is not asked is not there
    assert await stale.recall(key("a"), nothing) == "found"
    away.here = False

    assert await stale.recall(key("a"), nothing) == "found"
    with pytest.raises(MetadataUnavailable):
        await stale.recall(key("b"), nothing)


async def test_what_was_found_by_tag_is_not() -> None:
    away = Away()
    stale = Stale(away, 60)  # type: ignore[arg-type]  # what is not asked is not there
    await stale.recall(("manifest", APP, TagName("v1")), nothing)
    away.here = False

    with pytest.raises(MetadataUnavailable):
        await stale.recall(("manifest", APP, TagName("v1")), nothing)


async def test_what_was_gone_when_it_was_last_asked_for_is_not() -> None:
    away = Away()
    stale = Stale(away, 60)  # type: ignore[arg-type]  # what is not asked is not there
    await stale.recall(key("a"), nothing)
    away.answer = None
    assert await stale.recall(key("a"), nothing) is None
    away.here = False

    with pytest.raises(MetadataUnavailable):
        await stale.recall(key("a"), nothing)


async def test_it_counts_for_its_time_only(monkeypatch: pytest.MonkeyPatch) -> None:
    away = Away()
    stale = Stale(away, 60)  # type: ignore[arg-type]  # what is not asked is not there
    await stale.recall(key("a"), nothing)
    away.here = False
    later = time.monotonic() + 61
    monkeypatch.setattr(time, "monotonic", lambda: later)

    with pytest.raises(MetadataUnavailable):
        await stale.recall(key("a"), nothing)


async def test_no_more_than_a_bounded_number_is_kept() -> None:
    away = Away()
    stale = Stale(away, 60, entries=3)  # type: ignore[arg-type]  # what is not asked is not there
    for number in range(10):
        await stale.recall(key(str(number)), nothing)

    assert list(stale._found) == [key("7"), key("8"), key("9")]
