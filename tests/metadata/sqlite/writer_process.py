"""A process that writes as fast as it can: `writer_process <folder> <name> <seconds>`; prints one line of JSON."""

import asyncio
import json
import sys
import time
from functools import partial
from pathlib import Path

from pierhead.metadata.sqlite.database import SqliteDatabase
from tests.contracts.database import put

ASKERS = 8


async def main(folder: str, name: str, seconds: str) -> None:
    waits: list[float] = []
    async with SqliteDatabase(Path(folder) / "pierhead.db") as database:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        ending = time.monotonic() + float(seconds)

        async def ask(asker: int) -> None:
            while time.monotonic() < ending:
                began = time.monotonic()
                await database.write(partial(put, name=f"{name} {asker} {began}"))
                waits.append(time.monotonic() - began)

        await asyncio.gather(*(ask(asker) for asker in range(ASKERS)))
    sys.stdout.write(json.dumps({"writes": len(waits), "longest": max(waits)}) + "\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
