"""Clients of the crash test against a registry that moves away under them."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pierhead.errors import Moved, Moving
from tests.crash.load import Client
from tests.crash.verify import Verifier
from tests.crash.wire import Answer, Wire

PAUSE = 0.02  # seconds; shorter than what Retry-After says, to see when the freeze ends


class Gone(Exception):
    """The registry says that it has moved. What was asked was refused."""


class PatientWire(Wire):
    """Asks again while the registry is frozen, and takes note of how long that was."""

    def __init__(self, host: str) -> None:
        super().__init__(host)
        self.refused: list[tuple[float, float]] = []  # first and last refusal of a request, monotonic

    def ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        first: float | None = None
        while True:
            answer = super().ask(method, path, body, headers)
            if answer.status != 503:
                return answer
            assert int(answer.headers["retry-after"]) > 0
            if _says(answer, Moved):
                raise Gone
            assert _says(answer, Moving), answer.body
            last = time.monotonic()
            first = first or last
            self.refused.append((first, last))
            time.sleep(PAUSE)


def _says(answer: Answer, kind: type[Exception]) -> bool:
    return (kind.__doc__ or "").encode() in answer.body


class Load:
    """Clients that work until they are stopped, or told that the registry has moved."""

    def __init__(self, host: str, *, clients: int, seed: int, first: int) -> None:
        self._stop = threading.Event()
        self.wires = [PatientWire(host) for _ in range(clients)]
        self.clients = [Client(number, host, seed * 100 + number) for number in range(first, first + clients)]
        for client, wire in zip(self.clients, self.wires, strict=True):
            client._wire = wire
        self._threads = [threading.Thread(target=client.run, args=(self._stop,)) for client in self.clients]

    @property
    def acknowledged(self) -> int:
        return sum(client.journal.acknowledged for client in self.clients)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def settle(self) -> None:
        """What was refused did not happen, sessions are over, and nothing else went wrong."""
        for client in self.clients:
            if isinstance(client.failure, Gone):
                client.journal.doubt = None
            elif client.failure is not None:
                raise AssertionError("a client saw what may not be") from client.failure

    def verify(self, host: str, *, sessions: bool = False) -> None:
        """Everything that was acknowledged is there, and nothing that was deleted."""
        self.settle()
        with Wire(host) as wire:
            for client in self.clients:
                journal = client.journal
                if not sessions:
                    for key in [key for key in journal.held if key[0] == "upload"]:
                        journal.apply({key: None})
                Verifier(wire, journal).check_all()


class Pulling(threading.Thread):
    """Pulls one path again and again, until it is told that the registry has moved."""

    def __init__(self, host: str, path: str) -> None:
        super().__init__()
        self._host = host
        self._path = path
        self.pulls = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        with PatientWire(self._host) as wire:
            try:
                while wire.ask("GET", self._path).status == 200:
                    self.pulls += 1
                assert not wire.refused, "a pull was refused though nothing had moved yet"
            except BaseException as error:  # noqa: BLE001  told by the test
                self.failure = error


@contextmanager
def loading(host: str, *, clients: int = 3, seed: int, first: int = 0) -> Iterator[Load]:
    """`first` is the number of the first client: each works in repositories of its own, which nobody used before."""
    load = Load(host, clients=clients, seed=seed, first=first)
    load.start()
    try:
        yield load
    finally:
        load.stop()
