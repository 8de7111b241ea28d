"""The clients of a cluster, all at work until they are told to stop."""

import random
import threading
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tests.cluster.doors import Doors
from tests.cluster.history import History
from tests.cluster.load import Client
from tests.cluster.works import Works

JOIN_SECONDS = 120


class Crowd:
    """Works while the block runs. A client's failure is raised at its end, and by `look`."""

    def __init__(self, balancer: str, nodes: Sequence[str], *, clients: int, seed: int) -> None:
        self.history = History()
        works = Works(seed)
        self._stop = threading.Event()

        def client(number: int, twin: Client | None = None) -> Client:
            return Client(number, Doors(balancer, nodes, random.Random(seed + number)), self.history, works, twin=twin)

        self._clients = [client(number, client(number + clients)) for number in range(clients)]
        self._threads = [threading.Thread(target=client.run, args=(self._stop,)) for client in self._clients]

    @property
    def did(self) -> Counter[str]:
        return sum((client.did for client in self._clients), Counter())

    def look(self) -> None:
        for client in self._clients:
            if client.failure is not None:
                raise AssertionError("a client saw what may not be") from client.failure

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(JOIN_SECONDS)
        if error is None:
            self.look()
