"""Three nodes, many clients, and everything that breaks: what was acknowledged is there, what was read can have been.

PIERHEAD_CLUSTER_SEED repeats the choices of a run (its moments differ); SOAK=1 makes it half an hour.
"""

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster import verify
from tests.cluster.crowd import Crowd
from tests.cluster.drive import MIB, drive
from tests.cluster.faults import Faults
from tests.cluster.topology import Cluster, Shared, cluster
from tests.servers import postgresql, s3, toxiproxy
from tests.servers.balancer import NEVER_AGAIN

SOAK = "1" in (os.environ.get("PIERHEAD_SOAK"), os.environ.get("SOAK"))
SECONDS = 30 * 60 if SOAK else 140  # of load; starting and looking at everything comes on top
SEED = int(os.environ.get("PIERHEAD_CLUSTER_SEED") or random.SystemRandom().randrange(10**9))
CLIENTS = 6
LEASE = 10  # seconds
DRIVE = 3072 * MIB
QUIET_SECONDS = (0.5, 2.5)  # between two faults
SETTINGS = {
    "PIERHEAD_UPLOADS_TAKEOVER_SECONDS": str(LEASE),
    "PIERHEAD_SERVER_DRAIN_SECONDS": "10",
    "PIERHEAD_STORAGE_RETRY_SECONDS": "5",
    "PIERHEAD_LOG_ACCESS": "changes",
}


@pytest.mark.timeout(0 if SOAK else 400)
def test_a_cluster_loses_and_makes_up_nothing(
    postgresql: postgresql.Cluster, toxiproxy: toxiproxy.Server, tmp_path: Path, announce: Callable[[str], None]
) -> None:
    began = time.monotonic()
    with drive(tmp_path / "drive", DRIVE) as disk, s3.s3(disk.folder) as store:
        shared = Shared(postgresql, store, toxiproxy)
        # A proxy that sends a change twice makes two of it, which no history could tell from one.
        with cluster(tmp_path, shared, again=NEVER_AGAIN, settings=SETTINGS) as whole:
            faults = Faults(whole, disk, random.Random(SEED), LEASE)
            try:
                crowd, happened = _load(whole, faults)
                found = _look(whole, crowd)
            except AssertionError as error:
                error.add_note(f"PIERHEAD_CLUSTER_SEED={SEED}; logs: {tmp_path}/node*.log")
                raise
    announce(
        f"cluster: seed {SEED}, {happened} faults, {crowd.history.acknowledged} writes acknowledged and"
        f" {crowd.history.doubts} in doubt, {crowd.history.looks} reads, {time.monotonic() - began:.0f} s"
    )
    assert not found, f"PIERHEAD_CLUSTER_SEED={SEED}\n" + "\n".join(found[:20])


def _load(whole: Cluster, faults: Faults) -> tuple[Crowd, int]:
    """Each fault once, in some order, and then again, until the time is over."""
    ending = time.monotonic() + SECONDS
    waiting: list[Callable[[], None]] = []
    happened = 0
    with Crowd(whole.balancer, whole.hosts, clients=CLIENTS, seed=SEED) as crowd:
        while time.monotonic() < ending:
            time.sleep(faults.chance.uniform(*QUIET_SECONDS))
            crowd.look()
            waiting = waiting or faults.chance.sample(list(faults.all().values()), len(faults.all()))
            waiting.pop()()
            happened += 1
        for node in whole.nodes:
            node.wait()
    return crowd, happened


def _look(whole: Cluster, crowd: Crowd) -> list[str]:
    verify.read_all(whole, crowd.history)
    return [
        *crowd.history.violations(),
        *verify.wrong_rows(whole.database, crowd.history),
        *verify.wrong_bytes(whole.database, whole.bucket),
    ]
