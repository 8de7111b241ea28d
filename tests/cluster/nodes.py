"""The nodes of a cluster: `pierhead serve` each, on a port that it keeps over its deaths."""

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests import running
from tests.running import Running

READY_SECONDS = 60


@dataclass(slots=True)
class Node:
    """Where it stands on disk is its own; the settings, which name what is shared, come by the environment."""

    number: int
    folder: Path
    environment: Mapping[str, str]
    workers: int = 1  # 0: as many as by default
    port: int = field(default_factory=running.free_port)
    _running: Running | None = None

    def __str__(self) -> str:
        return f"node {self.number}"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / f"node{self.number}.log"

    @property
    def pid(self) -> int:
        return self._process.process.pid

    @property
    def _process(self) -> Running:
        assert self._running is not None, f"{self} was not started"
        return self._running

    def start(self) -> None:
        data = self.folder / f"node{self.number}"
        self._running = running.start(
            data, "--workers", str(self.workers), port=self.port, environment=dict(self.environment)
        )

    def family(self) -> list[int]:
        """Its supervisor and its worker."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [self.pid, *(map(int, children.read_text().split()) if children.exists() else ())]

    def kill(self) -> None:
        """No process of it says anything any more."""
        self._signal(signal.SIGKILL)
        self._process.process.wait()

    def kill_worker(self) -> None:
        for pid in self.family()[1:]:
            os.kill(pid, signal.SIGKILL)

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> int:
        """Lets it end what it does; its exit code."""
        return self._process.stop()

    def wait(self) -> None:
        """Until it can serve."""
        ending = time.monotonic() + READY_SECONDS
        while time.monotonic() < ending:
            try:
                if httpx.get(f"http://{self.host}/readyz", timeout=2).status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        raise AssertionError(f"{self} is not ready:\n{self.log.read_text()[-4000:]}")

    def end(self) -> None:
        if self._running is not None and self._running.process.poll() is None:
            self.kill()

    def _signal(self, number: signal.Signals) -> None:
        for pid in self.family():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue


@contextmanager
def nodes(folder: Path, environments: Sequence[Mapping[str, str]], *, workers: int = 1) -> Iterator[list[Node]]:
    """One for each environment, started one after another; none is left at the end."""
    made = [Node(number, folder, environment, workers) for number, environment in enumerate(environments, 1)]
    try:
        for node in made:
            node.start()
        yield made
    finally:
        for node in made:
            node.end()
