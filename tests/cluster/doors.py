"""The ways into a cluster: the balancer, and each node by itself."""

import random
from collections.abc import Mapping, Sequence
from typing import Self
from urllib.parse import urlsplit

from tests.crash.wire import Answer, NoAnswer, Wire

SECONDS = 10  # a client's patience with one request
REDIRECTED = 307
# Busy, out of reach, full; and the balancer's own. 500 is not among them: that nothing foresaw.
UNKNOWN = frozenset({429, 502, 503, 504, 507})


class Doors:
    """One client's connections, kept open."""

    def __init__(self, balancer: str, nodes: Sequence[str], chance: random.Random) -> None:
        self.balancer = balancer
        self._nodes = list(nodes)
        self._turn = chance.randrange(len(self._nodes))
        self._wires: dict[str, Wire] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for wire in self._wires.values():
            wire.close()

    def next_node(self) -> str:
        self._turn = (self._turn + 1) % len(self._nodes)
        return self._nodes[self._turn]

    def ask(
        self, host: str, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Follows a redirect to the store, as clients do. Raises NoAnswer."""
        answer = self._wire(host).ask(method, path, body, headers)
        if answer.status != REDIRECTED:
            return answer
        there = urlsplit(answer.headers["location"])
        found = self._wire(there.netloc).ask(method, f"{there.path}?{there.query}")
        if found.status != 200:
            raise NoAnswer(f"{method} {path}: the store says {found.status}")
        return Answer(found.status, {**found.headers, **answer.headers}, found.body)

    def try_to(
        self, host: str, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer | None:
        """None where it is not known what became of it."""
        try:
            answer = self.ask(host, method, path, body, headers)
        except NoAnswer:
            return None
        return None if answer.status in UNKNOWN else answer

    def _wire(self, host: str) -> Wire:
        if host not in self._wires:
            self._wires[host] = Wire(host, SECONDS)
        return self._wires[host]
