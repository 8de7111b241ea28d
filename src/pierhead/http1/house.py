"""What the connections of a process share: the application, the limits, a clock, and one buffer to read into."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pierhead.asgi.types import App
from pierhead.http1.exchange import Exchange
from pierhead.threads import finished

if TYPE_CHECKING:
    from pierhead.http1.connection import Connection

T = TypeVar("T")

# Read at once from a socket.
_BUFFER_BYTES: Final = 256 * 1024
# Files are sent by so many threads at once: they wait for the disk, or copy within the kernel.
_SENDING_THREADS: Final = 16


class House:
    def __init__(
        self, app: App, *, header_seconds: float, idle_seconds: float, max_header_bytes: int, keep_alive: bool
    ) -> None:
        self._app = app
        self.header_seconds = header_seconds
        self.idle_seconds = idle_seconds  # after which a client that takes nothing of its answer is cut
        self.max_header_bytes = max_header_bytes
        self.keep_alive = keep_alive
        self.loop = asyncio.get_running_loop()
        # One for all: an event loop fills it and hands it over in one step.
        self.buffer = bytearray(_BUFFER_BYTES)
        self.view = memoryview(self.buffer)
        self.connections: set[Connection] = set()
        self.on_left: Callable[[], None] = _nothing
        self.ending = False
        self.date = b""  # the header, for the second that it is
        self._tasks: set[asyncio.Task[None]] = set()
        self._sending = ThreadPoolExecutor(_SENDING_THREADS, "pierhead-send")
        self.tick()

    def entered(self, connection: "Connection") -> None:
        self.connections.add(connection)
        if self.ending:
            connection.leave()

    def left(self, connection: "Connection") -> None:
        self.connections.discard(connection)
        self.on_left()

    def start(self, exchange: Exchange) -> None:
        task = self.loop.create_task(exchange.run(self._app))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def in_thread(self, call: Callable[..., T], *arguments: Any) -> T:
        return await finished(self.loop.run_in_executor(self._sending, call, *arguments))

    def tick(self) -> None:
        """To be called once a second."""
        self.date = b"date: " + formatdate(usegmt=True).encode() + b"\r\n"
        now = self.loop.time()
        for connection in [one for one in self.connections if one.due < now]:
            connection.expire()

    @property
    def busy(self) -> bool:
        return bool(self.connections or self._tasks)

    def end(self) -> None:
        """Answers what was begun, and nothing else."""
        self.ending = True
        for connection in tuple(self.connections):
            connection.leave()


def _nothing() -> None: ...
