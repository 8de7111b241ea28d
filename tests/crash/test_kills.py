"""kill -9 at random moments of a mixed load: what was acknowledged is there, and nothing by halves.

PIERHEAD_CRASH_SEED repeats the choices of a run (its moments differ), PIERHEAD_SOAK=1 or SOAK=1 makes it 2,000 kills.
"""

import os
import random
import signal
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from tests import running
from tests.crash.load import Client
from tests.crash.verify import Verifier, inspect
from tests.crash.wire import NoAnswer, Wire
from tests.profiles import SOAK

KILLS = 2000 if SOAK else 104
SEED = int(os.environ.get("PIERHEAD_CRASH_SEED") or random.SystemRandom().randrange(10**9))
CLIENTS = 4
SAMPLE = 15  # keys of each client that are looked at though nothing changed them
INSPECT_EVERY = 10  # restarts
DEATH_SECONDS = 5.0
# The test's own variables are no settings of the server.
ENVIRONMENT = {"PIERHEAD_LOG_ACCESS": "none"}


class Crashing:
    """A server, the clients that load it, and its killer."""

    def __init__(self, data: Path, seed: int) -> None:
        self._data = data
        self._port = running.free_port()
        self._host = f"127.0.0.1:{self._port}"
        self._random = random.Random(seed)
        self._clients = [Client(n, self._host, seed * 100 + n) for n in range(CLIENTS)]
        self._server = self._start()
        self._restarts = 0
        self.kills: Counter[str] = Counter()

    @property
    def acknowledged(self) -> int:
        return sum(client.journal.acknowledged for client in self._clients)

    def round(self) -> None:
        """Loads, kills one worker a few times, then the supervisor or everything; starts and looks again."""
        stop = threading.Event()
        threads = [threading.Thread(target=client.run, args=(stop,)) for client in self._clients]
        for thread in threads:
            thread.start()
        try:
            for _ in range(self._random.randrange(3)):
                self._pause()
                self._kill_a_worker()
            self._pause()
            old = self._kill_the_server()
        finally:
            stop.set()
            for thread in threads:
                thread.join(60)
        self._server = self._start()
        still = [pid for pid in old if _lives(pid)]
        assert not still, f"{still} of the earlier server live beside the new one"
        self._look()

    def finish(self) -> str:
        """The whole journal, the rest of each session, a push; then the directory of a server that ended well."""
        with Wire(self._host) as wire:
            for client in self._clients:
                verifier = Verifier(wire, client.journal)
                verifier.check_all()
                for kind, repository, name in list(client.journal.held):
                    if kind == "upload":
                        verifier.finish_session(repository, name)
        stop = threading.Event()
        threading.Timer(0.5, stop.set).start()
        before = self.acknowledged
        self._clients[0].run(stop)
        self._raise_failures()
        assert self.acknowledged > before
        assert self._server.stop() == 0
        return str(inspect(self._data))

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._server.process.pid, signal.SIGKILL)
        self._server.process.wait()

    def _start(self) -> running.Running:
        return running.start(
            self._data, "--workers", "2", port=self._port, environment={**_without_own(), **ENVIRONMENT}
        )

    def _pause(self) -> None:
        time.sleep(self._random.uniform(0.02, 0.7))

    def _kill_a_worker(self) -> None:
        workers = _children(self._server.process.pid)
        if workers:
            self.kills["one worker"] += 1
            _kill([self._random.choice(workers)])
        # Its supervisor starts another one, and the other one serves all the while.
        assert self._server.process.poll() is None

    def _kill_the_server(self) -> list[int]:
        supervisor = self._server.process.pid
        everything = [supervisor, *_children(supervisor)]
        alone = self._random.random() < 0.4
        self.kills["the supervisor" if alone else "everything"] += 1
        self._random.shuffle(everything)
        _kill([supervisor] if alone else everything)
        self._server.process.wait()
        if alone and self._random.random() < 0.5:
            _wait_for_deaths(everything)
        return everything

    def _look(self) -> None:
        self._raise_failures()
        self._restarts += 1
        with Wire(self._host) as wire:
            for client in self._clients:
                verifier = Verifier(wire, client.journal)
                verifier.settle()
                verifier.check_changed(self._random, SAMPLE)
        if self._restarts % INSPECT_EVERY == 0:
            self._inspect()

    def _inspect(self) -> None:
        """No load runs, so rows and files stand still."""
        left = inspect(self._data)
        # Each client has one request at a time, so a kill leaves at most one of each.
        most = CLIENTS * self.kills.total()
        assert left.staged <= most
        assert left.orphans <= most

    def _raise_failures(self) -> None:
        for client in self._clients:
            if client.failure is not None:
                raise AssertionError(f"a client saw what may not be (seed {SEED})") from client.failure


def _without_own() -> dict[str, str]:
    """The server refuses variables that begin like its settings and are none."""
    for name in ("PIERHEAD_CRASH_SEED", "PIERHEAD_SOAK"):
        os.environ.pop(name, None)
    return {}


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _lives(pid: int) -> bool:
    """A zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _wait_for_deaths(pids: list[int]) -> None:
    deadline = time.monotonic() + DEATH_SECONDS
    while any(_lives(pid) for pid in pids):
        assert time.monotonic() < deadline, "workers outlive their supervisor"
        time.sleep(0.005)


@pytest.mark.timeout(0 if SOAK else 900)
def test_what_was_acknowledged_survives_kills(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crashing = Crashing(tmp_path / "data", SEED)
    began = time.monotonic()
    try:
        while crashing.kills.total() < KILLS:
            crashing.round()
        left = crashing.finish()
    except (AssertionError, NoAnswer) as error:
        error.add_note(f"PIERHEAD_CRASH_SEED={SEED}; {dict(crashing.kills)}; log: {tmp_path / 'data.log'}")
        raise
    finally:
        crashing.kill()

    with capsys.disabled():
        print(  # noqa: T201  what was done is part of the result
            f"\ncrash test: seed {SEED}, kills {dict(crashing.kills)}, {crashing.acknowledged} acknowledged,"
            f" {left}, {time.monotonic() - began:.0f} s"
        )
