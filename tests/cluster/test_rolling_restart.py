"""Each node in turn is told to end and starts anew, under load: no pull fails, and no push that its client repairs.

nginx asks another node where one is gone, for requests that may be sent twice; the rest is up to the clients.
"""

import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests import images
from tests.clients import exactness
from tests.clients.programs import program
from tests.cluster.topology import Cluster, Shared, cluster

MIB = 1 << 20
ROUNDS = 2
SIZES = [6 * MIB, 200_000, 3000]  # of an image's layers
Push = Callable[[Path, str], str]  # the folder of an image, and the name that it gets


@dataclass(frozen=True, slots=True)
class Traffic:
    """What goes on until `over`."""

    balancer: str
    folder: Path
    over: threading.Event = field(default_factory=threading.Event)

    def pull(self) -> int:
        """Whole images, byte by byte, without a second try; how many."""
        pulled = 0
        with httpx.Client(base_url=f"http://{self.balancer}", timeout=60) as client:
            while not self.over.is_set():
                exactness.read(client, "rolling/pulled", "1")
                pulled += 1
        return pulled

    def push(self, repository: str, push: Push) -> int:
        """Fresh images; how many."""
        pushed = 0
        while not self.over.is_set():
            push(self.image(repository, pushed), f"{self.balancer}/rolling/{repository}:{pushed}")
            pushed += 1
        return pushed

    def image(self, repository: str, number: int) -> Path:
        folder = self.folder / f"{repository}{number}"
        folder.mkdir()
        seed = zlib.crc32(f"{repository} {number}".encode())
        images.oci_layout(folder / "layout", images.random_layers(folder, SIZES, seed=seed), compressed=False)
        return folder / "layout"


def by_crane(home: Path) -> Push:
    crane = program("crane", home)
    return lambda layout, name: crane("push", layout, name)


def by_skopeo(home: Path) -> Push:
    skopeo = program("skopeo", home)
    copy = ("copy", "--insecure-policy", "--retry-times", "3", "--dest-tls-verify=false")
    return lambda layout, name: skopeo(*copy, f"oci:{layout}:latest", f"docker://{name}")


@contextmanager
def flowing(whole: Cluster, folder: Path) -> Iterator[dict[str, Future[int]]]:
    """Pulls and pushes while the block runs; how many, once it is over."""
    traffic = Traffic(whole.balancer, folder)
    pushes = {"crane": by_crane(folder / "crane"), "skopeo": by_skopeo(folder / "skopeo")}
    pushes["crane"](traffic.image("pulled", 1), f"{whole.balancer}/rolling/pulled:1")
    with ThreadPoolExecutor() as threads:
        flows = {name: threads.submit(traffic.push, name, push) for name, push in pushes.items()}
        flows |= {f"pulls {number}": threads.submit(traffic.pull) for number in range(2)}
        try:
            yield flows
        finally:
            traffic.over.set()


def test_nodes_restart_one_after_another_and_nobody_notices(
    shared: Shared, tmp_path: Path, announce: Callable[[str], None]
) -> None:
    with cluster(tmp_path / "nodes", shared) as whole:
        with flowing(whole, tmp_path) as flows:
            for node in whole.nodes * ROUNDS:
                assert node.stop() == 0, node.log.read_text()[-4000:]
                node.start()
                node.wait()
        done = {name: flow.result() for name, flow in flows.items()}

        with httpx.Client(base_url=f"http://{whole.balancer}", timeout=60) as client:
            for name in ("crane", "skopeo"):
                for number in range(done[name]):
                    exactness.read(client, f"rolling/{name}", str(number))
    announce(f"rolling restart, {3 * ROUNDS} nodes: {done}, none failed")
    assert all(done.values())
