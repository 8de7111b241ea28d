"""What goes wrong in a cluster: each fault lasts a while, and leaves everything running again."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from tests.cluster.drive import Drive
from tests.cluster.nodes import Node
from tests.cluster.topology import Cluster
from tests.servers.toxiproxy import Link

Trouble = Callable[[Link], None]


def cut(link: Link) -> None:
    link.cut()


def reset(link: Link) -> None:
    link.reset()


def silent(link: Link) -> None:
    link.timeout()


def slow(link: Link) -> None:
    link.latency(150, 100)


def narrow(link: Link) -> None:
    link.bandwidth(300)


@dataclass(frozen=True, slots=True)
class Faults:
    cluster: Cluster
    drive: Drive
    chance: random.Random
    lease: float  # seconds after which another node takes over what a silent one held

    def all(self) -> dict[str, Callable[[], None]]:
        """Each by its name."""
        database, store = self.cluster.to_database, self.cluster.to_store
        links = {"database": database, "store": store}
        troubles = {"cut": cut, "reset": reset, "silent": silent, "slow": slow}
        found: dict[str, Callable[[], None]] = {
            f"{where} {trouble.__name__}": partial(self._link, links, trouble)
            for where, links in links.items()
            for trouble in troubles.values()
        }
        found |= {
            "store narrow": partial(self._link, store, narrow),
            "node killed": self.kill,
            "worker killed": self.kill_worker,
            "all nodes killed": self.kill_all,
            "node frozen": self.freeze,
            "node killed without a database": self.kill_without_database,
            "rolling restart": self.roll,
        }
        if self.drive.small:
            found["store full"] = self.fill
        return found

    def kill(self) -> None:
        node = self._node()
        node.kill()
        self._last(0, 3)
        node.start()

    def kill_worker(self) -> None:
        """Its supervisor starts another one."""
        self._node().kill_worker()
        self._last(1, 2)

    def kill_all(self) -> None:
        for node in self.cluster.nodes:
            node.kill()
        self._last(0, 1)
        for node in self.cluster.nodes:
            node.start()

    def freeze(self) -> None:
        """For longer than a lease, and in the middle of uploads: it wakes up and believes that it still holds them."""
        number = self.chance.randrange(len(self.cluster.nodes))
        node, link = self.cluster.nodes[number], self.cluster.to_store[number]
        slow(link)
        self._last(0.5, 1.5)
        node.freeze()
        self._last(self.lease + 3, self.lease + 6)
        node.thaw()
        link.heal()

    def kill_without_database(self) -> None:
        node = self._node()
        links = self.cluster.to_database
        for link in links:
            link.cut()
        self._last(0.2, 1)
        node.kill()
        for link in links:
            link.heal()
        node.start()

    def roll(self) -> None:
        for node in self.cluster.nodes:
            assert node.stop() == 0, f"{node} did not end well"
            node.start()

    def fill(self) -> None:
        self.drive.fill()
        self._last(3, 6)
        self.drive.clear()

    def _link(self, links: Sequence[Link], trouble: Trouble) -> None:
        """Of one node, or of all."""
        chosen = links if self.chance.random() < 0.5 else [self.chance.choice(links)]
        for link in chosen:
            trouble(link)
        self._last(2, 7)
        for link in chosen:
            link.heal()

    def _node(self) -> Node:
        return self.chance.choice(self.cluster.nodes)

    def _last(self, least: float, most: float) -> None:
        time.sleep(self.chance.uniform(least, most))
