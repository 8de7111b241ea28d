"""What `pierhead serve` runs: locks, one listening socket, and worker processes that it keeps alive.

Single-threaded and synchronous: it sleeps in `sigtimedwait`, so that forking is safe and no
signal is lost. Workers are granian's; when they start and end is decided here, because granian's
own loop gives up after two deaths within six seconds and is deaf to SIGTERM while it reloads.
"""

import asyncio
import gc
import importlib
import logging
import math
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from socket import socket

from pierhead import __version__, backends, listener, tls
from pierhead.access import first_start
from pierhead.access.first_start import Start
from pierhead.access.htpasswd import AccountsFile
from pierhead.access.ldap import directory
from pierhead.access.oidc import files as of_issuers
from pierhead.data_directory import ServeLock, prepare
from pierhead.errors import ConfigurationError, Unavailable
from pierhead.fleet import Fleet, WorkerProcess
from pierhead.metadata import moves
from pierhead.observability import slots
from pierhead.settings import ServerSettings, Settings
from pierhead.worker import READY_SIGNAL, Entry, Handover

logger = logging.getLogger("pierhead.supervisor")

TARGET = "pierhead.server:build"
JOBS_TARGET = "pierhead.background:build"
JOBS = -1  # the slot of the process that does background work
SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, READY_SIGNAL}
TICK_SECONDS = 1.0
READY_SECONDS = 10.0  # a worker that has not said so by then counts as ready
LONGEST_PAUSE = 5.0  # seconds between two starts of a worker that keeps dying
_HEALTHY_SECONDS = 10.0
_SETTLING_SECONDS = 0.3
# Background work leaves the first moments to the workers.
_JOBS_AFTER_SECONDS = 0.5
_OPEN_FILES = 65536
_FIXED = ("host", "port", "data", "backlog")
# Old workers finish their uploads beside the new ones, and what these acknowledge has to be found by all.
_FIXED_PLACES = (("database", "url"), ("storage", "url"), ("storage", "shared"))


@dataclass(slots=True, eq=False)
class Member:
    """One worker process as the supervisor sees it."""

    process: WorkerProcess
    slot: int
    generation: int
    born: float
    ready_at: float | None = None
    farewell: Callable[[], None] | None = None  # how it is asked to end, from the moment that it shall
    told: bool = False  # whether it was
    patience: float = math.inf  # until when it may take its time over that

    @property
    def ending(self) -> bool:
        return self.farewell is not None

    @property
    def serves(self) -> bool:
        return self.slot != JOBS

    @property
    def kind(self) -> str:
        return "worker" if self.serves else "jobs process"


class Supervisor:
    def __init__(
        self, settings: Settings, load: Callable[[], Settings], lock: ServeLock, sock: socket, started: Start
    ) -> None:
        self._settings = settings
        self._started = started
        self._load = load
        self._lock = lock
        self._socket = sock
        self._target = TARGET
        self._members: list[Member] = []
        self._pauses: dict[int, float] = {}  # slot -> seconds before the next start
        self._starts: list[tuple[float, int]] = []  # when, slot
        self._generation = 0
        self._previous: Settings | None = None  # while a reload is under way
        self._certificate = tls.Watch(settings.server)
        self._fleet = self._new_fleet()
        self._announced = False
        self._exit_code: int | None = None
        self._metrics = slots.prepare(settings.server.data / "run")

    def run(self, target: str = TARGET) -> int:
        """Serves until SIGTERM or SIGINT; returns the exit code."""
        self._target = target
        for slot in range(workers_of(self._settings.server)):
            self._start(slot)
        if self._settings.jobs.enabled:
            self._starts.append((time.monotonic() + _JOBS_AFTER_SECONDS, JOBS))
        while self._members or self._starts:
            self._take(signal.sigtimedwait(SIGNALS, self._patience()))
        return self._exit_code or 0

    def _take(self, received: signal.struct_siginfo | None) -> None:
        number = received.si_signo if received else None
        if number in (signal.SIGTERM, signal.SIGINT):
            self._drain()
        elif number == signal.SIGHUP:
            self._reload("SIGHUP")
        elif received and number == READY_SIGNAL:
            self._now_ready(received.si_pid)
        self._bury()
        self._keep_time()

    def _patience(self) -> float:
        now = time.monotonic()
        moments = [member.patience for member in self._members] + [moment for moment, _ in self._starts]
        moments += [_settled_at(member) for member in self._members if member.ending and not member.told]
        return max(0.0, min([TICK_SECONDS, *(moment - now for moment in moments)]))

    def _keep_time(self) -> None:
        now = time.monotonic()
        for member in self._members:
            if member.ending:
                _press(member, now)
            elif member.ready_at is None and now >= member.born + READY_SECONDS:
                self._now_ready(member.process.pid)
        due = [slot for moment, slot in self._starts if moment <= now]
        self._starts = [(moment, slot) for moment, slot in self._starts if moment > now]
        for slot in due:
            self._start(slot)
        if self._exit_code is None and self._certificate.changed():
            self._reload("the certificate changed")

    # Workers

    def _new_fleet(self) -> Fleet:
        return Fleet(self._settings, self._socket, workers_of(self._settings.server))

    def _slots(self) -> list[int]:
        return [*range(workers_of(self._settings.server)), *[JOBS] * self._settings.jobs.enabled]

    def _start(self, slot: int) -> None:
        handover = Handover(self._settings, os.getpid(), self._socket.fileno(), (self._lock.descriptor,), self._metrics)
        if slot == JOBS:
            process = self._fleet.start_jobs(Entry(JOBS_TARGET, handover))
        else:
            process = self._fleet.start(slot, Entry(self._target, handover))
        self._members.append(Member(process, slot, self._generation, time.monotonic()))

    def _end(self, members: list[Member], seconds: float) -> None:
        for member in members:
            _ask(member, member.process.terminate, seconds)

    def _retire(self, members: list[Member], seconds: float) -> None:
        for member in members:
            _ask(member, member.process.retire, seconds)

    def _now_ready(self, pid: int) -> None:
        for member in self._members:
            if member.process.pid == pid:
                member.ready_at = time.monotonic()
        if not self._announced and any(member.serves and member.ready_at is not None for member in self._members):
            self._announced = True
            _announce(self._settings, self._socket, self._started)
        young = [member for member in self._members if member.generation == self._generation]
        if self._previous and all(member.ready_at is not None for member in young):
            self._previous = None
            self._retire([m for m in self._members if m not in young], self._settings.server.reload_drain_seconds)
            logger.info("reloaded: %d new workers serve", sum(member.serves for member in young))

    def _bury(self) -> None:
        dead = [member for member in self._members if not member.process.alive()]
        self._members = [member for member in self._members if member not in dead]
        for member in dead:
            if not member.ending and self._exit_code is None and member.generation == self._generation:
                self._replace(member)

    def _replace(self, member: Member) -> None:
        code = member.process.exit_code
        refused = code > 0 and member.ready_at is None
        if refused and self._previous:
            self._take_back(code)
        elif refused and not self._announced:
            logger.error("a %s could not start (exit code %d): stopped", member.kind, code)
            self._drain(1)
        else:
            pause = self._pause(member, code)
            logger.error("%s %d ended (%s): another starts", member.kind, member.process.pid, _ending(code))
            self._starts.append((time.monotonic() + pause, member.slot))

    def _pause(self, member: Member, code: int) -> float:
        """None after a kill or a long life; ever longer for a worker that ends by itself again and again."""
        by_itself = code >= 0 and time.monotonic() - member.born < _HEALTHY_SECONDS
        pause = self._pauses.get(member.slot, 0.0)
        self._pauses[member.slot] = min(LONGEST_PAUSE, max(0.1, pause * 2)) if by_itself else 0.0
        return self._pauses[member.slot]

    # Ending and reloading

    def _drain(self, exit_code: int = 0) -> None:
        """The first time, transfers in flight may finish; the second time, they may not."""
        again = self._exit_code is not None
        self._exit_code = self._exit_code or exit_code
        self._starts.clear()
        self._socket.close()
        seconds = 0.0 if again else self._settings.server.drain_seconds
        if not again:
            logger.info("stopping: transfers in flight have %g seconds", seconds)
        self._end(self._members, seconds)

    def _reload(self, reason: str) -> None:
        if self._exit_code is not None or self._previous:
            return
        previous = self._settings
        try:
            self._settings = _reloadable(self._load(), previous)
            check_files(self._settings)
            fleet = self._new_fleet()
        except ConfigurationError as error:
            self._settings = previous
            # The mistakes say it all: a traceback would hide them.
            logger.error("not reloaded (%s): %s", reason, "; ".join(error.mistakes))  # noqa: TRY400
            return
        logger.info("reloading: %s", reason)
        self._fleet, self._previous = fleet, previous
        self._certificate = tls.Watch(self._settings.server)
        self._generation += 1
        self._starts.clear()
        for slot in self._slots():
            self._start(slot)

    def _take_back(self, code: int) -> None:
        """New workers cannot start: the old ones, which still serve, go on."""
        assert self._previous is not None  # noqa: S101 - for the type checker
        logger.error("not reloaded: a new worker could not start (exit code %d)", code)
        self._end([member for member in self._members if member.generation == self._generation], 1.0)
        self._settings, self._previous = self._previous, None
        with suppress(ConfigurationError):
            self._fleet = self._new_fleet()
        for member in self._members:
            if not member.ending:
                member.generation = self._generation
        serving = {member.slot for member in self._members if not member.ending}
        missing = set(self._slots()) - serving
        self._starts = [(time.monotonic(), slot) for slot in missing]


def _ask(member: Member, farewell: Callable[[], None], seconds: float) -> None:
    now = time.monotonic()
    member.farewell = member.farewell or farewell
    member.patience = min(member.patience, now + seconds)
    _press(member, now)


def _press(member: Member, now: float) -> None:
    """Asks once: a second signal would cut the transfers that the first one lets finish."""
    if now >= member.patience or member.ready_at is None:
        if member.ready_at is not None:
            logger.warning("%s %d did not end in time: killed", member.kind, member.process.pid)
        member.process.kill()  # one that does not serve yet has nothing to finish
        member.patience = math.inf
    elif member.farewell and not member.told and now >= _settled_at(member):
        member.told = True
        member.farewell()


def _settled_at(member: Member) -> float:
    """uvloop drops a signal that arrives between two runs of its loop, as at the end of a worker's start."""
    return (member.ready_at or 0.0) + _SETTLING_SECONDS


def serve(settings: Settings, load: Callable[[], Settings], target: str = TARGET) -> int:
    """Serves `settings.server.data`. `load` gives the settings anew on a reload. Raises ConfigurationError."""
    data = prepare(settings.server.data)
    settings = _with_server(settings, data=data)
    check_files(settings)
    _raise_open_files()
    with ServeLock(data) as lock, _store_lock(settings), listener.bound(settings.server) as sock:
        backends.prepare(settings)
        started = _look(settings)
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        # Once here rather than in each worker: a replaced worker then serves within milliseconds.
        for module in (target, JOBS_TARGET):
            importlib.import_module(module.partition(":")[0])
        # Shared with them, as long as no process's collector writes to it.
        gc.collect()
        gc.freeze()
        return Supervisor(settings, load, lock, sock, started).run(target)


def _look(settings: Settings) -> Start:
    """Raises ConfigurationError where the registry has moved, is only half here, or is open to strangers."""

    async def look() -> Start:
        async with backends.database(settings) as database:
            await moves.require_whole(database)
            return await first_start.look(database, settings)

    try:
        return asyncio.run(look())
    except Unavailable:  # workers say why, and when to try again
        return Start(is_open=False)


@contextmanager
def _store_lock(settings: Settings) -> Iterator[None]:
    """Keeps files elsewhere to one server, unless nodes share them. Workers inherit it, and hold it till they end."""
    root = backends.files(settings)
    if root is None or root == settings.server.data or settings.storage.shared:
        yield
        return
    with ServeLock(prepare(root)):
        yield


def check_files(settings: Settings) -> None:
    """The files that the settings name. Raises ConfigurationError with all mistakes."""
    mistakes: list[str] = []
    for check in (_check_accounts, _check_directories, of_issuers.check, tls.check, backends.check_store):
        try:
            check(settings)
        except ConfigurationError as error:
            mistakes += error.mistakes
    if mistakes:
        raise ConfigurationError(mistakes)


def _check_accounts(settings: Settings) -> None:
    if settings.access.htpasswd:
        AccountsFile(settings.access.htpasswd)


def _check_directories(settings: Settings) -> None:
    for one in settings.ldap:
        directory.prepare(one)


def default_workers() -> int:
    """One for each processor that this process may use, at most four."""
    return max(1, min(4, len(os.sched_getaffinity(0))))


def workers_of(server: ServerSettings) -> int:
    return server.workers or default_workers()


def _reloadable(new: Settings, old: Settings) -> Settings:
    """What the socket and the locks were made for stays until a restart, and so does where everything is."""
    same_data = new.server.data.resolve() == old.server.data
    changed = [name for name in _FIXED if getattr(new.server, name) != getattr(old.server, name)]
    for name in changed:
        if name != "data" or not same_data:
            logger.warning("server.%s changes with a restart only", name)
    new = _with_server(new, **{name: getattr(old.server, name) for name in _FIXED})
    for section, name in _FIXED_PLACES:
        given, kept = getattr(new, section), getattr(getattr(old, section), name)
        if getattr(given, name) != kept:
            logger.warning("%s.%s changes with a restart only", section, name)
            new = new.model_copy(update={section: given.model_copy(update={name: kept})})
    return new


def _with_server(settings: Settings, **values: str | int | Path) -> Settings:
    return settings.model_copy(update={"server": settings.server.model_copy(update=values)})


def _raise_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _announce(settings: Settings, sock: socket, started: Start) -> None:
    url = listener.url(settings.server, sock)
    workers = workers_of(settings.server)
    logger.info("pierhead %s serves %s from %s (%d workers)", __version__, url, settings.server.data, workers)
    if settings.database.url and settings.storage.url is None:
        logger.warning("blobs are files of this machine: other nodes of the database do not have them (storage.url)")
    first_start.announce(started, settings, url)


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"
