"""Many processes on one store push, move, delete, restore, purge and collect, and are killed: see `crew` and `judging`.

PIERHEAD_HISTORIES_SEED repeats the choices of a run, PIERHEAD_SOAK=1 or SOAK=1 makes it ten times as many histories.
"""

import asyncio
import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr

from pierhead import backends
from pierhead.settings import DatabaseSettings, ServerSettings, Settings, StorageSettings
from tests.histories.crew import Crew
from tests.histories.player import Stage
from tests.histories.works import INLINE_BYTES
from tests.histories.world import settings
from tests.profiles import SOAK
from tests.servers.postgresql import Cluster
from tests.servers.s3 import Server

SEED = int(os.environ.get("PIERHEAD_HISTORIES_SEED") or random.SystemRandom().randrange(10**9))
HISTORIES = {"files": 80, "objects": 40}  # beside one another on one store
SECONDS = {"files": 25, "objects": 30}
RUNS = 10 if SOAK else 1
LEASE = 1.0  # seconds
KEPT = 3.0  # seconds, in the trash


@dataclass(frozen=True, slots=True)
class Where:
    """A new registry, and what its processes need to find it."""

    settings: Settings
    environment: dict[str, str]


@pytest.fixture
def where(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Where]:
    chosen = settings(lease=LEASE, keep_hours=KEPT / 3600, grace_hours=0)
    chosen = chosen.model_copy(update={"server": ServerSettings(data=tmp_path / "data")})
    chosen.server.data.mkdir()
    if kind == "files":
        backends.prepare(chosen)
        yield Where(chosen, {})
        return
    cluster: Cluster = request.getfixturevalue("postgresql")
    server: Server = request.getfixturevalue("s3")
    bucket = server.bucket()
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)
    with cluster.database("histories") as url:
        database = DatabaseSettings(url=SecretStr(url), pool_size=4)
        storage = StorageSettings(url=bucket.url(), inline_bytes=INLINE_BYTES)
        chosen = chosen.model_copy(update={"database": database, "storage": storage})
        backends.prepare(chosen)
        yield Where(chosen, bucket.environment)


@pytest.mark.timeout(0 if SOAK else 300)
@pytest.mark.parametrize("kind", HISTORIES)
def test_what_was_acknowledged_is_whole_whoever_deletes_collects_and_dies(
    kind: str, where: Where, tmp_path: Path, announce: Callable[[str], None]
) -> None:
    for run in range(RUNS):
        seed, began = SEED + run, time.monotonic()
        folder = tmp_path / f"{run}"
        folder.mkdir()
        stages = [Stage(run * HISTORIES[kind] + number) for number in range(HISTORIES[kind])]
        crew = Crew(where.settings, folder, seed, stages, where.environment)
        try:
            asyncio.run(crew.play(SECONDS[kind]))
            asyncio.run(crew.look_at_all())
            found, looked = crew.judge()
            assert found == []
            assert asyncio.run(crew.clear()) == []
        except AssertionError as error:
            error.add_note(f"PIERHEAD_HISTORIES_SEED={seed}, what was done is in {folder}")
            raise
        acts = looked.total()
        announce(
            f"processes on {kind}: seed {seed}, {len(stages)} histories, {acts} acts, {crew.deaths} killed,"
            f" {looked['put, within the lease']} manifests within the lease, {time.monotonic() - began:.0f} s"
        )
