"""The process that does background work: beside the workers of `pierhead serve`, or alone as `pierhead worker`."""

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import uvloop

from pierhead import __version__, backends, priority, worker
from pierhead.access.ldap.directory import LdapDirectory
from pierhead.access.leavers import Leavers
from pierhead.jobs import kinds
from pierhead.jobs.kind import Kind
from pierhead.jobs.runner import Runner
from pierhead.metadata.database import Database
from pierhead.observability import logs
from pierhead.observability.observability import Observability
from pierhead.registry.registry import Registry
from pierhead.settings import Settings
from pierhead.source_settings import LdapSettings
from pierhead.worker import RETIRE_SIGNAL

# What a drain leaves for giving jobs back, before the supervisor has no more patience.
_GIVING_BACK_SECONDS = 2.0

log = logging.getLogger(__name__)


class Background:
    def __init__(self, settings: Settings, metrics: Path | None = None) -> None:
        self._settings = settings
        self._metrics = metrics  # where the processes of a server show one another their numbers

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Works until SIGTERM or SIGINT; what runs then has `server.drain_seconds`, after a second one no time."""
        priority.give_way()
        async with AsyncExitStack() as stack:
            runner = await self._open(stack)
            self._obey_signals(runner)
            gc.collect()
            gc.freeze()
            ready()
            await runner.run()

    async def _open(self, stack: AsyncExitStack) -> Runner:
        settings = self._settings
        log_format = logs.resolve(settings.log.format)
        observability = await stack.enter_async_context(
            Observability(access="none", format=log_format, shared=self._metrics, answers=False)
        )
        metrics = observability.metrics
        database = backends.database(settings, backends.observer(metrics))
        await stack.enter_async_context(database)
        store = await stack.enter_async_context(backends.store(settings, metrics.stored))
        registry = Registry(database, store, settings, copies=backends.copies(settings, store), observe=metrics)
        rechecks = [
            _recheck(stack.enter_context(LdapDirectory(told)), told, database)
            for told in settings.ldap
            if told.recheck_minutes
        ]
        known = kinds.known(registry, database, settings.jobs, metrics, settings.tokens, rechecks=rechecks)
        return Runner(database, known, settings.jobs, ended=metrics.job_ended, counted=metrics.jobs_counted)

    def _obey_signals(self, runner: Runner) -> None:
        server, asked = self._settings.server, asyncio.Event()

        def stop() -> None:
            runner.stop(0.0 if asked.is_set() else _patience(server.drain_seconds))
            asked.set()

        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, stop)
        loop.add_signal_handler(signal.SIGINT, stop)
        loop.add_signal_handler(RETIRE_SIGNAL, runner.stop, _patience(server.reload_drain_seconds))


def _recheck(directory: LdapDirectory, told: LdapSettings, database: Database) -> Kind:
    leavers = Leavers(database, directory, share=told.leavers_share)
    return kinds.recheck(told.name, leavers, minutes=told.recheck_minutes)


def _patience(drain: float) -> float:
    return max(drain / 2, drain - _GIVING_BACK_SECONDS)


def build() -> Background:
    """The background work of `pierhead serve`."""
    return Background(worker.settings(), worker.metrics_directory())


def run(entry: Callable[[], Background], listener: socket.socket, settings: Settings) -> None:
    """A process beside the workers of a supervisor."""
    logs.configure(logs.resolve(settings.log.format), settings.log.level)
    work = entry()
    listener.close()  # it takes no connections, and must not keep the socket open when the others end
    uvloop.run(work.run(worker.ready))


def alone(settings: Settings) -> None:
    """Works in this process until it is told to end."""
    log.info("pierhead %s does background work, %d jobs at once", __version__, settings.jobs.concurrency)
    uvloop.run(Background(settings).run())
