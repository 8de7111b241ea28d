"""Worker processes, as the supervisor starts and ends them.

Without TLS there is HTTP/1.1 alone, and `http1` speaks it. HTTP/2 comes with TLS only, as clients
negotiate it, and granian speaks both there.
"""

import multiprocessing
import os
from collections.abc import Callable
from contextlib import suppress
from socket import socket
from typing import Any, Protocol

from pierhead import background
from pierhead.granian_fleet import GranianFleet
from pierhead.http1 import process
from pierhead.settings import Settings
from pierhead.worker import RETIRE_SIGNAL


class WorkerProcess:
    """One started process."""

    def __init__(self, process: Any) -> None:
        self._process = process
        self.pid: int = process.pid

    def alive(self) -> bool:
        return bool(self._process.is_alive())

    @property
    def exit_code(self) -> int:
        """Of an ended process; below zero, the signal that ended it."""
        return int(self._process.exitcode)

    def terminate(self) -> None:
        self._process.terminate()

    def retire(self) -> None:
        """Ends it as `terminate` does, without losing a connection that has not spoken yet."""
        with suppress(ProcessLookupError):  # it may just have died
            os.kill(self.pid, RETIRE_SIGNAL)

    def kill(self) -> None:
        self._process.kill()


class Starter(Protocol):
    """Makes the processes of one kind of worker, not started yet."""

    def process(self, slot: int, entry: Callable[[], Any]) -> Any: ...


class Fleet:
    """Starts workers with one set of settings, on a socket that is already listening."""

    def __init__(self, settings: Settings, sock: socket, workers: int) -> None:
        multiprocessing.set_start_method("fork", force=True)
        self._settings = settings
        self._socket = sock
        most = max(1, settings.server.max_connections // workers)
        self._starter: Starter
        if settings.server.tls_certificate:
            self._starter = GranianFleet(settings, sock, workers, most)
        else:
            self._starter = Http1Fleet(settings, sock, most)

    def start(self, slot: int, entry: Callable[[], Any]) -> WorkerProcess:
        return _started(self._starter.process(slot, entry))

    def start_jobs(self, entry: Callable[[], Any]) -> WorkerProcess:
        """The process that does background work, and serves nobody."""
        arguments = (entry, self._socket, self._settings)
        return _started(multiprocessing.Process(name="pierhead-jobs", target=background.run, args=arguments))


def _started(process: Any) -> WorkerProcess:
    process.start()
    return WorkerProcess(process)


class Http1Fleet:
    def __init__(self, settings: Settings, sock: socket, most: int) -> None:
        self._settings = settings
        self._socket = sock
        self._most = most

    def process(self, slot: int, entry: Callable[[], Any]) -> Any:
        arguments = (entry, self._socket, self._settings, self._most)
        return multiprocessing.Process(name=f"pierhead-{slot}", target=process.run, args=arguments)
