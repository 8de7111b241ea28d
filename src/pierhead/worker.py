"""A worker process: bound to its supervisor, with its part in the lock, and given its settings.

Nothing here runs in the supervisor but the making of a `Handover`.
"""

import ctypes
import importlib
import os
import signal
import socket
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pierhead import data_directory
from pierhead.errors import ConfigurationError
from pierhead.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

# Queued by the kernel with its sender's pid, unlike an ordinary signal: two at once are two.
READY_SIGNAL = signal.SIGRTMIN

# Asks a worker to accept no more, and to end once what it accepted last has had time to speak.
RETIRE_SIGNAL = signal.SIGUSR1

_PR_SET_PDEATHSIG = 1
_RETIRING_SECONDS = 0.5
_CANNOT_START = 3  # exit code


@dataclass(frozen=True, slots=True)
class Handover:
    """What a worker is born with."""

    settings: Settings
    supervisor: int  # pid
    listener: int  # descriptor of the listening socket
    close: tuple[int, ...] = ()  # descriptors that are the supervisor's alone
    metrics: Path | None = None  # where workers show one another their numbers


class _Worker:
    """The one piece of state of the process: a worker serves one supervisor for all its life."""

    handover: Handover | None = None
    lock: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """What granian calls in the new process to get the application."""

    target: str  # module:factory
    handover: Handover

    def __call__(self) -> Any:
        _Worker.handover = self.handover
        bind_to_supervisor()
        module, _, factory = self.target.partition(":")
        build: Callable[[], Any] = getattr(importlib.import_module(module), factory)
        try:
            return build()
        except ConfigurationError as error:
            for mistake in error.mistakes:
                sys.stderr.write(f"pierhead: {mistake}\n")
            sys.exit(_CANNOT_START)


def settings() -> Settings:
    """The settings this worker was given."""
    return _handover().settings


def metrics_directory() -> Path | None:
    """Where the workers of this server show one another their numbers."""
    return _handover().metrics


def bind_to_supervisor() -> None:
    """Dies when the supervisor dies, and holds the workers' lock till then. Called again, does nothing."""
    handover = _handover()
    if _Worker.lock is not None:
        return
    _take_signals_back()
    # A terminal's Ctrl-C is for the supervisor, which then ends its workers in order.
    os.setpgid(0, 0)
    # SIGKILL: what is acknowledged survives it, and the next server need not wait.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    for descriptor in handover.close:
        os.close(descriptor)
    _Worker.lock = data_directory.share(handover.settings.server.data)
    # It may have died before the first line; now that the lock is ours, nobody can have come after it.
    if os.getppid() != handover.supervisor:
        os._exit(_CANNOT_START)


def ready() -> None:
    """Tells the supervisor that this worker can serve: to be called at the end of the lifespan's start."""
    if _Worker.handover is not None:
        os.kill(_Worker.handover.supervisor, READY_SIGNAL)


def _retire(*_: object) -> None:
    """Granian stops accepting and closes silent connections in one step, which would lose those just accepted.

    A socket that nobody can reach takes the place of the listening one, in this process alone.
    """
    with socket.socket(socket.AF_UNIX) as unreachable:
        unreachable.bind("")  # the kernel chooses an abstract name
        unreachable.listen(1)
        unreachable.setblocking(False)
        os.dup2(unreachable.fileno(), _handover().listener, inheritable=False)
    threading.Timer(_RETIRING_SECONDS, os.kill, (os.getpid(), signal.SIGTERM)).start()


def _handover() -> Handover:
    if _Worker.handover is None:
        raise RuntimeError("this process is no worker of `pierhead serve`")
    return _Worker.handover


def _take_signals_back() -> None:
    """The supervisor blocks the signals that it waits for, and a fork inherits that."""
    # A terminal sends these to the whole group: reloading is the supervisor's business.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(RETIRE_SIGNAL, _retire)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
