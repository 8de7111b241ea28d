"""Nodes whose clocks are wrong: what expires, and who takes over, is decided by the database's."""

import hashlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pierhead.blobs.files import FileStore
from pierhead.errors import UploadBusy
from pierhead.metadata.database import Database
from pierhead.models import Actor, Digest, RepositoryName
from pierhead.registry.marks import Marks
from pierhead.registry.uploads import Uploads
from pierhead.settings import StorageSettings, UploadSettings
from tests.contracts.database import Place

pytestmark = pytest.mark.anyio

APP = RepositoryName("team/app")
CONTENT = b"content"
DIGEST = Digest(f"sha256:{hashlib.sha256(CONTENT).hexdigest()}")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def database(at_postgresql: str) -> AsyncIterator[Database]:
    async with Place("postgresql", at_postgresql).open() as database:
        yield database


def make_wrong(monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    """From here on this node's clock is wrong."""
    nanoseconds = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: nanoseconds() + hours * 3_600_000_000_000)
    monkeypatch.setattr(time, "time", lambda: time.time_ns() / 1e9)


@pytest.mark.parametrize("hours", [-20, 20])
async def test_a_session_goes_on_at_a_node_whose_clock_is_wrong(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    async with FileStore(tmp_path, StorageSettings(min_free_bytes=0)) as store:
        right = Uploads(database, store, Marks(database, store), UploadSettings(idle_expiry_hours=1, finished_hours=1))
        begun, fresh = await right.start(APP), await right.start(APP)
        async with right.receive(APP, begun.id) as receiving:
            await receiving.write(CONTENT)
            await receiving.accept()
        make_wrong(monkeypatch, hours)
        node = Uploads(database, store, Marks(database, store), UploadSettings(idle_expiry_hours=1, finished_hours=1))

        assert (await node.find(APP, fresh.id)).offset == 0
        async with right.receive(APP, begun.id):
            with pytest.raises(UploadBusy):
                async with node.receive(APP, begun.id):
                    pass
        assert await node.sweep() == 0
        async with node.receive(APP, begun.id) as receiving:
            await receiving.finish(DIGEST, actor=Actor("alice"))
        assert (await right.find(APP, begun.id)).digest == DIGEST
        assert (await right.find(APP, (await node.start(APP)).id)).offset == 0
