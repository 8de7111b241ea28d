"""One worker: its parts, opened in order and closed in reverse, and which part answers a path."""

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

from pierhead import __version__, backends, memory, worker
from pierhead.access import opening
from pierhead.access.authenticator import Access
from pierhead.access.opening import Doors
from pierhead.asgi.cors import Cors
from pierhead.asgi.types import App, Receive, Scope, Send
from pierhead.distribution import challenges
from pierhead.distribution.app import Distribution
from pierhead.distribution.face import Face
from pierhead.distribution.tokens import Tokens
from pierhead.metadata.database import Copyable
from pierhead.metadata.sqlite import engine
from pierhead.metadata.sqlite.database import SqliteDatabase
from pierhead.observability import logs, tracing
from pierhead.observability.observability import Observability
from pierhead.operations import Operations
from pierhead.registry.registry import Registry
from pierhead.settings import Settings
from pierhead.web.pages import Pages, is_page
from pierhead.web.parts import Parts

_GARBAGE_OBJECTS = 50_000
_HEALTH = frozenset((b"/healthz", b"/readyz"))


def build() -> App:
    """The application of a worker process of `pierhead serve`."""
    return Server(worker.settings())


class Server:
    """Answers `lifespan` by opening and closing the parts, and `http` by passing on."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._distribution: App
        self._tokens: App
        self._operations: App
        self._pages: App | None = None
        self._access: Access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["raw_path"].startswith(b"/v2"):
            await self._distribution(scope, receive, send)
        elif scope["raw_path"] in challenges.PATHS:
            await self._tokens(scope, receive, send)
        elif self._pages is not None and (is_page(scope["raw_path"]) or await self._is_set_up_first(scope)):
            await self._pages(scope, receive, send)
        else:
            await self._operations(scope, receive, send)

    async def _is_set_up_first(self, scope: Scope) -> bool:
        """Whether even metrics wait for the first administrator."""
        access = self._access
        return access.needs_setup and scope["raw_path"] not in _HEALTH and await access.is_open()

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        memory.keep_freed()
        async with AsyncExitStack() as stack:
            await self._open(stack)
            # What is loaded by now stays; the collector need not look at it again.
            gc.collect()
            gc.freeze()
            # Requests leave no cycles behind: looking for them at every 700th object is wasted.
            gc.set_threshold(_GARBAGE_OBJECTS, 20, 20)
            await send({"type": "lifespan.startup.complete"})
            worker.ready()
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _open(self, stack: AsyncExitStack) -> None:
        settings = self._settings
        log_format = logs.resolve(settings.log.format)
        observability = await stack.enter_async_context(
            Observability(access=settings.log.access, format=log_format, shared=worker.metrics_directory())
        )
        metrics = observability.metrics
        database = await self._open_rows(stack, observability)
        store = await stack.enter_async_context(backends.store(settings, metrics.stored))
        doors = await stack.enter_async_context(opening.opened(database, settings, metrics.authenticated))
        registry = Registry(database, store, settings, copies=backends.copies(settings, store), observe=metrics)
        await stack.enter_async_context(_beside(registry.marks.run()))
        await stack.enter_async_context(_beside(registry.audit.run()))
        await self._open_faces(stack, observability, registry, doors)

        async def ping_storage() -> dict[str, str]:
            await store.ping()
            return {}

        pings = {"database": database.ping, "storage": ping_storage}
        self._operations = Operations(observability, pings, settings.metrics.allow, metrics=settings.metrics.enabled)

    async def _open_rows(self, stack: AsyncExitStack, observability: Observability) -> Copyable:
        metrics = observability.metrics
        database = backends.database(self._settings, backends.observer(metrics))
        await stack.enter_async_context(database)
        if isinstance(database, SqliteDatabase):
            lookups = database.take_lookups
            metrics.wal_bytes.watch(database.log_length)
            observability.folds.append(lambda: metrics.looked_up("rows", *lookups()))
        else:
            metrics.watch_pool(database.pool)
        metrics.build.watch(lambda: 1, __version__, engine.version())
        return database

    async def _open_faces(
        self, stack: AsyncExitStack, observability: Observability, registry: Registry, doors: Doors
    ) -> None:
        """What answers requests, behind CORS and tracing."""
        settings, self._access = self._settings, doors.access
        traced = await stack.enter_async_context(tracing.open_tracing(os.environ, observability, __version__))
        face = Face.of(registry, doors.access, settings, observability.metrics.uploads)
        self._distribution = traced(Cors.around(Distribution(face, observability), settings.cors))
        tokens = Tokens(face, doors.issuer, doors.keys, observability, settings.tokens)
        self._tokens = traced(Cors.around(tokens, settings.cors))
        if settings.pages.enabled:
            self._pages = traced(Pages(Parts.of(doors, settings, registry.audit), observability))


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Work that goes on while the block runs."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
