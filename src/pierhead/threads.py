"""Calls in threads, always waited for: a file must not be closed under a thread that still uses it."""

import asyncio
from typing import TypeVar

T = TypeVar("T")


async def finished(job: asyncio.Future[T]) -> T:
    """Waits for a job to its end, even when cancelled meanwhile."""
    try:
        return await asyncio.shield(job)
    except asyncio.CancelledError:
        await ended(job)
        raise


async def ended(job: asyncio.Future[T]) -> None:
    """Waits until a job is over, whatever became of it."""
    cancelled: asyncio.CancelledError | None = None
    while not job.done():
        try:
            await asyncio.wait([job])
        except asyncio.CancelledError as error:
            cancelled = error
    if not job.cancelled():
        job.exception()  # Seen here, so that nobody warns that it never was.
    if cancelled:
        raise cancelled
