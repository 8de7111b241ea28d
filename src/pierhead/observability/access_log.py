"""One line per request, written by a thread, so that no request ever waits for who reads the log.

`add` appends a tuple; every 100 ms or 100 entries the batch is formatted, in small bites on the loop since
a thread under load waits 5 ms for each turn of the GIL, and given to the thread. Where the reader is slow,
entries beyond MAX_WAITING are dropped and counted.
"""

import asyncio
import threading
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import time
from typing import Literal

from pierhead.observability import access_lines, lines
from pierhead.observability.access_lines import Entry
from pierhead.observability.instruments import Counter
from pierhead.observability.logs import STDERR, Format
from pierhead.observability.requests import RequestRecord

Choice = Literal["all", "changes", "none"]

INTERVAL = 0.1  # seconds
BATCH = 100  # entries; formatting them holds the loop for about 0.5 ms
MAX_WAITING = 20_000  # entries handed to the thread and not yet written
SLOW = 1.0  # seconds after which `changes` logs a successful read too
CLOSING = 2.0  # seconds that a stuck reader may hold up the end
PATH_MAX = 512  # bytes
AGENT_MAX = 256  # bytes


def is_worth_a_line(record: RequestRecord, seconds: float) -> bool:
    """The rule of `changes`: everything but reads that went well and fast."""
    return not (record.method in ("GET", "HEAD") and 200 <= record.status < 400 and seconds < SLOW)  # noqa: PLR2004


class AccessLog:
    def __init__(self, format: Format, dropped: Counter, *, file: int = STDERR) -> None:  # noqa: A002 -- the setting
        self._format = access_lines.FORMATS[format]
        self._dropped = dropped
        self._file = file
        self._entries: list[Entry] = []
        self._queue: SimpleQueue[list[bytes] | None] = SimpleQueue()
        # One counter for each side, so that neither needs a lock.
        self._handed = 0
        self._taken = 0
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)

    def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def add(self, record: RequestRecord, seconds: float) -> None:
        entries = self._entries
        if not entries:
            self._loop.call_later(INTERVAL, self._flush)
        entries.append(_entry(record, seconds))
        if len(entries) >= BATCH:
            self._flush()

    def _flush(self) -> None:
        if not self._entries:
            return  # a full batch went ahead of its timer
        batch, self._entries = self._entries, []
        if self._handed - self._taken + len(batch) > MAX_WAITING:
            self._dropped.add(len(batch))
            return
        self._handed += len(batch)
        self._queue.put([self._format(entry) for entry in batch])

    def _run(self) -> None:
        ended = False
        while not ended:
            batches = self._waiting_batches()
            ended = None in batches
            written = [line for batch in batches if batch for line in batch]
            try:
                lines.write(self._file, written)
            except OSError:
                self._dropped.add(len(written))
            self._taken += len(written)

    def _waiting_batches(self) -> list[list[bytes] | None]:
        # All at once: under load each system call may wait 5 ms for the GIL.
        batches = [self._queue.get()]
        with suppress(Empty):
            while True:
                batches.append(self._queue.get_nowait())
        return batches

    async def close(self) -> None:
        self._flush()
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join, CLOSING)


def _entry(record: RequestRecord, seconds: float) -> Entry:
    scope = record.scope
    agent = b""
    for name, value in scope["headers"]:
        if name == b"user-agent":
            agent = value[:AGENT_MAX]
            break
    client = scope.get("client")
    return (
        time() - seconds,
        seconds,
        record.request_id,
        record.method,
        scope.get("raw_path", b"")[:PATH_MAX],
        scope["query_string"],
        record.status,
        record.operation,
        record.repository,
        record.reference,
        record.bytes_in,
        record.bytes_out,
        record.principal,
        record.address or (client[0] if client else ""),
        agent,
        record.error,
    )
