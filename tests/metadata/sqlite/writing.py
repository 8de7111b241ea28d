"""A process that writes to a database and tells what became of it: `writing <path>`."""

import asyncio
import json
import sys
from functools import partial
from pathlib import Path

from pierhead.errors import MetadataUnavailable
from pierhead.metadata.sqlite.database import SqliteDatabase
from tests.contracts.database import put


async def main(path: Path) -> None:
    async with SqliteDatabase(path) as database:
        for number in range(5):
            refused = False
            try:
                await database.write(partial(put, name=f"name {number}"))
            except MetadataUnavailable:
                refused = True
            head = path.with_name(path.name + "-wal").read_bytes()[16:24].hex()
            doubt = path.with_name(path.name + ".log-in-doubt").exists()
            print(json.dumps({"refused": refused, "doubt": doubt, "salt": head}))  # noqa: T201  the test reads it


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
