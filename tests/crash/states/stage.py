"""What is recorded: servers, several clients at once, and the commands that a person gives beside them."""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from tests import running
from tests.crash.states.recording import Recorder
from tests.crash.states.story import Story, Teller

CLIENTS = 3
STEPS = 35  # of each client, in each of three parts
# The least that can be set; the collector then waits for twice as long.
LEASE_SECONDS = 1
SETTINGS = f"""
[uploads]
lease_seconds = {LEASE_SECONDS}
[trash]
keep_hours = {{hours}}
[log]
access = "none"
"""


def record(root: Path, seed: int) -> Story:
    """From the first start on: pushes and deletes, and some are taken back; a restart, a purge, a collection."""
    root.mkdir(parents=True)
    stage = Stage(root, seed)
    try:
        _play(stage)
        return stage.story()
    except BaseException:
        stage.abandon()
        raise


def _play(stage: "Stage") -> None:
    with_trash = stage.serve(hours=24)
    stage.work()
    first, second, *_ = stage.clients
    stage.take_back(first, first.delete_a_tag())
    stage.take_back(second, second.delete_a_manifest())
    stage.end(with_trash)
    # What is deleted from here on is purged by the server itself, and by the collector's command.
    without_trash = stage.serve(hours=0.0001)
    stage.work()
    stage.collect()
    stage.work()
    stage.collect()
    stage.end(without_trash)


class Stage:
    def __init__(self, root: Path, seed: int) -> None:
        self._recorder = Recorder(root)
        self._data = root / "data"
        self._config = root.with_name("pierhead.toml")
        self._port = running.free_port()
        self._commands = 0
        self.clients = [Teller(number, f"127.0.0.1:{self._port}", seed * 100 + number) for number in range(CLIENTS)]

    def serve(self, *, hours: float) -> int:
        self._config.write_text(SETTINGS.format(hours=hours))
        server = self._recorder.start("serve", "--port", f"{self._port}", "--workers", "2", *self._place())
        ending = time.monotonic() + running.START_SECONDS
        # Not by a request: all answers in the recording are those of the clients.
        while not _listens(self._port):
            assert time.monotonic() < ending, f"the recorded server did not start: {self._recorder.root}.log"
            time.sleep(0.02)
        return server

    def _place(self) -> list[str | Path]:
        return ["--data", self._data, "--config", self._config]

    def end(self, server: int) -> None:
        for client in self.clients:
            client.close()
        assert self._recorder.end(server) == 0

    def work(self) -> None:
        """All clients at once."""
        _together([partial(client.work, STEPS) for client in self.clients])
        for client in self.clients:
            if client.failure is not None:
                raise AssertionError(f"a client failed, see {self._recorder.root}.log") from client.failure

    def take_back(self, client: Teller, deleted: str | None) -> None:
        """Restores what a client has just deleted."""
        if deleted is not None:
            client.noted(client.before, self._run("restore", deleted))

    def collect(self) -> None:
        """All that no manifest needs, once nobody may count on it any more."""
        began = self._mark()
        for client in self.clients:
            client.forget_unneeded(began)
        time.sleep(2 * LEASE_SECONDS + 0.1)
        self._run("gc", "--grace-hours", "0", "--no-rest")

    def abandon(self) -> None:
        self._recorder.abandon()

    def story(self) -> Story:
        return Story.of(self._recorder.finish(), self.clients, self._recorder.trace)

    def _run(self, *command: str) -> str:
        self._commands += 1
        mark = f"{command[0]}-{self._commands}"
        assert self._recorder.run(mark, *command, *self._place()) == 0, command
        return mark

    def _mark(self) -> str:
        self._commands += 1
        return self._recorder.say(f"moment-{self._commands}")


def _listens(port: int) -> bool:
    with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def _together(works: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
