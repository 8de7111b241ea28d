"""Another process that uses the same database: `other_process <kind> <where> put <name>...`."""

import asyncio
import sys
from functools import partial

from tests.contracts.database import Place, put


async def main(kind: str, where: str, command: str, *arguments: str) -> None:
    async with Place(kind, where).open() as database:
        assert command == "put"
        for name in arguments:
            await database.write(partial(put, name=name))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
