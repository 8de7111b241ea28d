"""A process that runs jobs of the tests' kinds: `process <database's kind> <where> <diary> [<kind>...]`."""

import asyncio
import signal
import sys
from pathlib import Path

from pierhead.jobs.runner import Runner
from pierhead.observability import logs
from tests.contracts.database import Place
from tests.jobs.kinds import FAST, Diary


async def main(kind: str, where: str, diary: str, *names: str) -> None:
    logs.configure("json")
    kinds = {name: made for name, made in Diary(Path(diary)).kinds().items() if name in names}
    async with Place(kind, where).open() as database:
        runner = Runner(database, kinds, FAST)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, runner.stop, 0.5)
        await runner.run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
