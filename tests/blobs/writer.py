"""A process that writes to an upload session until it is killed: `python -m tests.blobs.writer FOLDER SESSION`.

Its bytes are those of `body`. It prints where the session stands whenever it has had bytes accepted.
"""

import asyncio
import json
import random
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tests.contracts.blob_store import files, session, writing

SEED = 7


def body() -> Iterator[bytes]:
    """Endless, and the same in every process."""
    source = random.Random(SEED)
    while True:
        yield source.randbytes(300_000)


async def write(folder: Path, identity: str) -> None:
    async with files(folder) as store, writing(store, replace(session(), id=identity)) as appender:
        for number, frame in enumerate(body()):
            await appender.write(frame)
            if number % 5 == 4:
                accepted = await appender.flush()
                state = accepted.state.hex() if accepted.state else None
                sys.stdout.write(json.dumps([accepted.offset, state, accepted.boot]) + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1]), sys.argv[2]))
