"""kill -9 in the middle of collections, and the order in which a collection writes, syncs and removes.

PIERHEAD_CRASH_SEED repeats the choices of a run.
"""

import asyncio
import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw

from pierhead.blobs.files import FileStore
from pierhead.metadata.sqlite.database import SqliteDatabase
from pierhead.models import Actor, Digest, RepositoryName
from pierhead.registry.registry import Registry
from pierhead.settings import Settings, StorageSettings
from tests import components
from tests.crash.trace import CALLS, Trace, parsed
from tests.crash.verify import inspect
from tests.invariants import violations

SEED = int(os.environ.get("PIERHEAD_CRASH_SEED") or random.SystemRandom().randrange(10**9))
STRAYS, KEPT = 400, 20
NEEDED, NOT_NEEDED = RepositoryName("team/needed"), RepositoryName("team/not-needed")
ACTOR = Actor("alice")
GC = [sys.executable, "-m", "pierhead.cli.main", "gc", "--grace-hours", "0", "--no-rest", "-v", "--data"]


async def _push(registry: Registry, content: bytes, repository: RepositoryName) -> Digest:
    digest = Digest(f"sha256:{hashlib.sha256(content).hexdigest()}")
    upload = await registry.uploads.start(repository)
    async with registry.uploads.receive(repository, upload.id) as receiving:
        await receiving.write(content)
        await receiving.finish(digest, actor=ACTOR)
    return digest


async def _fill(data: Path, *, strays: int, kept: int) -> list[Digest]:
    """A registry in which some blobs may go at once; those that may not."""
    async with SqliteDatabase(data / "pierhead.db") as database, FileStore(data, StorageSettings()) as store:
        registry = Registry(database, store, Settings())
        for number in range(strays):
            await _push(registry, b"stray" * 5000 + b"%d" % number, NOT_NEEDED)
        await database.write(lambda tx: tx.execute("UPDATE unreferenced_blobs SET leased_until = 0"))
        # These are leased still.
        return [await _push(registry, b"kept" * 6000 + b"%d" % number, NEEDED) for number in range(kept)]


async def _left(data: Path, kept: list[Digest]) -> tuple[list[str], int]:
    """What is wrong, and how many keys wait for their removal."""
    async with SqliteDatabase(data / "pierhead.db") as database, FileStore(data, StorageSettings()) as store:
        registry = Registry(database, store, Settings())
        for digest in kept:
            reader = await registry.blobs.open(NEEDED, await registry.blobs.find(NEEDED, digest))
            content = b"".join([bytes(chunk) async for chunk in reader.chunks(0, reader.size)])
            reader.close()
            assert digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
        return await violations(database), (await registry.collector.backlog()).doomed


def _files(data: Path) -> int:
    return sum(1 for _ in data.glob("blobs/*/*/*"))


def test_killed_at_any_moment_it_goes_on_and_takes_nothing_else(
    tmp_path: Path, announce: Callable[[str], None]
) -> None:
    chance = random.Random(SEED)
    announce(f"collections killed: PIERHEAD_CRASH_SEED={SEED}")
    kept = asyncio.run(_fill(tmp_path, strays=STRAYS, kept=KEPT))

    killed = 0
    while killed < 4:
        with subprocess.Popen([*GC, tmp_path], stdout=subprocess.PIPE) as process:
            assert process.stdout
            for _ in range(chance.randrange(1, 150)):  # it writes a line for each blob that goes
                if not process.stdout.readline():
                    break
            process.kill()
        killed += 1
        wrong, _ = asyncio.run(_left(tmp_path, kept))
        assert wrong == []
        inspect(tmp_path)
    subprocess.run([*GC, tmp_path], check=True, stdout=subprocess.DEVNULL, timeout=60)

    assert asyncio.run(_left(tmp_path, kept)) == ([], 0)
    assert _files(tmp_path) == KEPT
    assert inspect(tmp_path).orphans == 0


def test_bytes_go_only_after_their_row_is_durably_gone(tmp_path: Path) -> None:
    strace = components.require("strace")
    data, out = tmp_path / "data", tmp_path / "trace"
    data.mkdir()
    asyncio.run(_fill(data, strays=3, kept=1))
    with closing(apsw.Connection(str(data / "pierhead.db"))) as connection:
        keys = [
            str(key)
            for (key,) in connection.execute(
                "SELECT key FROM blobs JOIN unreferenced_blobs USING (digest) WHERE leased_until = 0"
            )
        ]

    subprocess.run(
        [strace, "-f", "-y", "-s", "256", "-e", f"trace={CALLS}", "-o", out, *GC, data], check=True, timeout=60
    )

    trace = Trace(list(parsed(out.read_text())))
    gone = [trace.last(lambda call, key=key: call.name.startswith("unlink") and key in call.text) for key in keys]  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    first, last = min(call.began for call in gone), max(call.ended for call in gone)
    # The rows are in the log, and the log is on the disk, before the first file goes.
    rows = [call for call in trace.all(lambda call: call.logs) if call.began < first]
    syncs = trace.all(lambda call: call.syncs and "pierhead.db-wal>" in call.text and call.ended < first)
    assert rows
    assert max(call.ended for call in rows) < max(call.began for call in syncs)
    # The directories are on the disk before the keys are forgotten.
    forgotten = [call for call in trace.all(lambda call: call.logs) if call.began > last]
    directories = trace.all(lambda call: call.syncs and "/blobs/sha256/" in call.text and call.began > last)
    assert len(directories) == len({key.rpartition("/")[0] for key in keys})
    assert max(call.ended for call in directories) < min(call.began for call in forgotten)
