"""A purge that is killed at any moment is gone on with, and nothing half gone comes back meanwhile."""

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path

import apsw
import pytest

from pierhead.errors import TimeOver
from pierhead.models import TagName
from tests.contracts.database import Place
from tests.registry.pushing import ALICE, APP, pushing

MANIFESTS = 600


async def fill(folder: Path, *, whole: bool) -> int:
    """An entry of many manifests; returns its id."""
    async with pushing(Place("sqlite", str(folder)), folder) as app:
        image = await app.image("a")
        indexes = [await app.index([image], note=str(number)) for number in range(MANIFESTS - 2)]
        top = await app.index(indexes, "v1")
        if whole:
            return (await app.registry.trash.delete_repository(APP, actor=ALICE)).id
        await app.delete(top)
        return (await app.registry.trash.page(size=1))[0].entry.id


def left(folder: Path) -> int:
    connection = apsw.Connection(f"file:{folder}/pierhead.db?mode=ro", flags=apsw.SQLITE_OPEN_URI | 1)
    try:
        connection.set_busy_timeout(10_000)
        return len(connection.execute("SELECT id FROM manifests").fetchall())
    finally:
        connection.close()


def purge_and_kill(folder: Path, entry: int, below: int) -> int:
    """Kills a purge when fewer manifests than this are left; returns how many are."""
    command = [sys.executable, "-m", "pierhead.cli.main", "trash", "purge", str(entry), "--data", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ending = time.monotonic() + 60
    try:
        while process.poll() is None and left(folder) >= below:
            assert time.monotonic() < ending
            time.sleep(0.001)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    return left(folder)


@pytest.mark.parametrize("whole", [False, True], ids=["manifest", "repository"])
def test_a_killed_purge_is_gone_on_with(tmp_path: Path, whole: bool) -> None:
    entry = asyncio.run(fill(tmp_path, whole=whole))
    counts = [purge_and_kill(tmp_path, entry, MANIFESTS), purge_and_kill(tmp_path, entry, MANIFESTS // 2)]

    async def look() -> None:
        async with pushing(Place("sqlite", str(tmp_path)), tmp_path) as app:
            restoring = app.registry.trash.restoring
            back = restoring.repository(APP, reason=None, actor=ALICE)
            if not whole:
                back.close()
                back = restoring.tag(APP, TagName("v1"), reason=None, actor=ALICE)
            with pytest.raises(TimeOver):
                await back
            # What is left of an entry is whole: each index has its image.
            dangling = """
                SELECT count(*) FROM manifest_references AS listed
                 WHERE kind = 'manifest' AND NOT EXISTS (SELECT 1 FROM manifests WHERE digest = listed.digest)
            """
            assert whole or await app.rows(dangling) == [(0,)]
            assert await app.registry.trash.any_due()
            while await app.registry.trash.purge_due():
                pass
            assert await app.rows("SELECT count(*) FROM manifests") == [(0,)]
            assert await app.rows("SELECT count(*) FROM trash") == [(0,)]
            assert await app.rows("SELECT count(*) FROM events WHERE action = 'manifest.purged'") == [(MANIFESTS,)]

    assert MANIFESTS > counts[0] >= counts[1] > 0
    asyncio.run(look())
