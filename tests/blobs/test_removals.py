"""How fast files are removed: many in one go, each directory synced once."""

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pierhead.blobs.files import FileStore
from pierhead.models import Digest, Doomed
from pierhead.settings import StorageSettings

pytestmark = pytest.mark.anyio
FILES, AT_ONCE = 3000, 500


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_files_are_removed_by_the_hundred(tmp_path: Path, announce: Callable[[str], None]) -> None:
    chance = random.Random(1)
    async with FileStore(tmp_path, StorageSettings(min_free_bytes=0)) as store:
        doomed = []
        for number in range(FILES):
            digits = f"{chance.getrandbits(256):064x}"
            key = f"sha256/{digits[:2]}/{digits}.{number:032x}-0"
            (tmp_path / "blobs" / key).write_bytes(b"content")
            doomed.append(Doomed(key, Digest(f"sha256:{digits}")))

        began = time.perf_counter()
        for start in range(0, FILES, AT_ONCE):
            await store.remove(doomed[start : start + AT_ONCE])
        seconds = time.perf_counter() - began

    assert _left(tmp_path) == 0
    announce(f"removal of files: {FILES / seconds:.0f} a second")
    assert FILES / seconds >= 500


def _left(folder: Path) -> int:
    return sum(1 for _ in folder.glob("blobs/*/*/*"))
