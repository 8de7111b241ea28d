"""Histories that Hypothesis makes up, of the rules alone: see `rules`.

PIERHEAD_HISTORIES_SEED repeats a run, PIERHEAD_SOAK=1 or SOAK=1 makes it ten times as many histories.
"""

import asyncio
import os
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, seed
from hypothesis import settings as trying
from hypothesis.stateful import run_state_machine_as_test
from pydantic import SecretStr

from pierhead.metadata.postgresql import preparing
from pierhead.metadata.sqlite import engine
from pierhead.settings import DatabaseSettings
from tests.contracts.database import Place
from tests.histories.rules import Rules
from tests.histories.world import Still, World, opened, settings
from tests.servers.postgresql import Cluster, sql

SOAK = "1" in (os.environ.get("PIERHEAD_SOAK"), os.environ.get("SOAK"))
SEED = int(os.environ.get("PIERHEAD_HISTORIES_SEED") or random.SystemRandom().randrange(10**9))
HISTORIES = {"sqlite": 150, "postgresql": 30}
STEPS = 30
CLOCK = """
CREATE TABLE still (now BIGINT NOT NULL);
INSERT INTO still VALUES (0);
CREATE OR REPLACE FUNCTION clock_us() RETURNS BIGINT LANGUAGE SQL STABLE AS 'SELECT now FROM still';
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where there is such a place: nothing here is about power cuts, and all of it about many commits."""
    memory = Path("/dev/shm")  # noqa: S108  only looked for
    with tempfile.TemporaryDirectory(prefix="pierhead-", dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


@pytest.fixture
def place(request: pytest.FixtureRequest, folder: Path, kind: str) -> Iterator[Place]:
    if kind == "sqlite":
        yield Place(kind, str(folder))
        return
    cluster: Cluster = request.getfixturevalue("postgresql")
    with cluster.database("rules") as url:
        asyncio.run(preparing.prepare(DatabaseSettings(url=SecretStr(url))))
        sql(url, CLOCK)
        yield Place(kind, url)


@pytest.fixture
def world(place: Place, folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    still = Still()
    monkeypatch.setattr(engine, "now", lambda: still.now)
    chosen = settings(lease=60, keep_hours=1, grace_hours=30 / 3600, copies=kind == "postgresql")
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        yield runner.run(stack.enter_async_context(opened(place, folder / "store", chosen, still)))
        runner.run(stack.aclose())


@pytest.mark.timeout(0 if SOAK else 300)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_rules_do_what_their_model_does(kind: str, world: World, announce: Callable[[str], None]) -> None:
    class Here(Rules):
        pass

    Here.world, Here.did = world, Counter()
    seed(SEED)(Here)
    histories = HISTORIES[kind] * (10 if SOAK else 1)
    try:
        run_state_machine_as_test(
            Here,
            settings=trying(
                max_examples=histories,
                stateful_step_count=STEPS,
                deadline=None,
                print_blob=True,
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
            ),
        )
    except BaseException as error:
        error.add_note(f"PIERHEAD_HISTORIES_SEED={SEED}")
        raise
    announce(f"rules on {kind}: seed {SEED}, {histories} histories, {Here.did.total()} acts")
