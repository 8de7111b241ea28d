"""A worker process that speaks HTTP/1.1 without TLS, from its first line to its last."""

import asyncio
import errno
import logging
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Self

import uvloop

from pierhead.asgi.types import App, Message
from pierhead.http1.connection import Connection
from pierhead.http1.house import House
from pierhead.observability import logs
from pierhead.settings import Settings
from pierhead.worker import RETIRE_SIGNAL

log = logging.getLogger(__name__)

_TICK_SECONDS: Final = 1.0
_ENDING_SECONDS: Final = 0.02
# Who connected last has so long to speak, before a retiring worker ends the silent.
_RETIRING_SECONDS: Final = 0.5
_SHORTAGE_SECONDS: Final = 0.5


def run(entry: Callable[[], App], listener: socket.socket, settings: Settings, most: int) -> None:
    """Serves until SIGTERM, at most so many connections at once."""
    logs.configure(logs.resolve(settings.log.format), settings.log.level)
    uvloop.run(_serve(entry(), listener, settings, most))


async def _serve(app: App, listener: socket.socket, settings: Settings, most: int) -> None:
    loop, stop, server = asyncio.get_running_loop(), asyncio.Event(), settings.server
    house = House(
        app,
        header_seconds=server.header_seconds,
        idle_seconds=server.idle_body_seconds,
        max_header_bytes=server.max_header_bytes,
        keep_alive=server.keep_alive,
    )
    door = Door(house, listener, most)

    def retire() -> None:
        door.close()
        loop.call_later(_RETIRING_SECONDS, stop.set)

    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(RETIRE_SIGNAL, retire)
    async with Lifespan(app):
        # Not before: whoever came earlier waits in the backlog, since nothing could answer yet.
        door.open()
        while not stop.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_TICK_SECONDS):
                    await stop.wait()
            house.tick()
        door.close()
        house.end()
        while house.busy or door.busy:
            await asyncio.sleep(_ENDING_SECONDS)
            house.tick()


class Lifespan:
    """The application's start and end (ASGI, "Lifespan Protocol"). What fails in them is raised."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._asked: asyncio.Queue[Message] = asyncio.Queue()
        self._answered = asyncio.Event()
        self._task: asyncio.Future[Any]

    async def __aenter__(self) -> Self:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}}
        self._task = asyncio.ensure_future(self._app(scope, self._asked.get, self._answer))
        await self._ask("lifespan.startup")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._ask("lifespan.shutdown")
        await self._task

    async def _ask(self, kind: str) -> None:
        self._answered.clear()
        self._asked.put_nowait({"type": kind})
        answered = asyncio.ensure_future(self._answered.wait())
        await asyncio.wait([answered, self._task], return_when=asyncio.FIRST_COMPLETED)
        if not answered.done():
            answered.cancel()
            self._task.result()
            raise RuntimeError(f"the application ended at {kind}")

    async def _answer(self, message: Message) -> None:
        if message["type"].endswith(".failed"):
            raise RuntimeError(message.get("message", ""))
        self._answered.set()


class Door:
    """Lets connections in, one at a time so that other workers get theirs, and none beyond the limit."""

    def __init__(self, house: House, listener: socket.socket, most: int) -> None:
        self._house = house
        self._listener = listener
        self._most = most
        self._open = False
        self._watching = False
        self._entering: set[asyncio.Task[Any]] = set()
        house.on_left = self._watch

    @property
    def busy(self) -> bool:
        """Whether somebody is still on the way in."""
        return bool(self._entering)

    def open(self) -> None:
        self._open = self._listener.fileno() >= 0
        self._watch()

    def shut(self) -> None:
        self._open = False
        self._watch()

    def close(self) -> None:
        """For good: whoever comes now finds another worker, or nobody. Who is at the door already is let in."""
        while self._watching and self._accept():
            pass
        self.shut()
        self._listener.close()

    def _watch(self) -> None:
        wanted = self._open and len(self._house.connections) + len(self._entering) < self._most
        if wanted and not self._watching:
            self._house.loop.add_reader(self._listener.fileno(), self._accept)
        elif self._watching and not wanted:
            self._house.loop.remove_reader(self._listener.fileno())
        self._watching = wanted

    def _accept(self) -> bool:
        """Whether somebody came in."""
        try:
            connected, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False  # another worker was faster, or the client has gone
        except OSError as error:
            log.warning("no connection can be accepted: %s", errno.errorcode.get(error.errno or 0))
            self.shut()
            self._house.loop.call_later(_SHORTAGE_SECONDS, self.open)
            return False
        connected.setblocking(False)
        task = self._house.loop.create_task(self._enter(connected))
        self._entering.add(task)
        task.add_done_callback(self._entered)
        self._watch()
        return True

    async def _enter(self, connected: socket.socket) -> None:
        try:
            await self._house.loop.connect_accepted_socket(lambda: Connection(self._house), connected)
        except OSError:  # gone already
            connected.close()

    def _entered(self, task: asyncio.Task[Any]) -> None:
        self._entering.discard(task)
        self._watch()
