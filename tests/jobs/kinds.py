"""Kinds of jobs for tests. What they do is lines in a file: a word, the job's key, the process."""

import asyncio
import os
from pathlib import Path

from pierhead.jobs.kind import Kind
from pierhead.metadata.jobs import Job
from pierhead.settings import JobSettings

FAST = JobSettings(poll_seconds=0.05, lease_seconds=1)


class Diary:
    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, word: str, job: Job) -> None:
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, f"{word} {job.key or '-'} {os.getpid()}\n".encode())
        os.close(file)

    def lines(self, word: str) -> list[str]:
        text = self._path.read_text() if self._path.exists() else ""
        return [line for line in text.splitlines() if line.startswith(f"{word} ")]

    def kinds(self) -> dict[str, Kind]:
        made = [
            Kind("note", self._note),
            Kind("sleep", self._sleep),
            Kind("fail", self._fail, attempts=3, first_pause=0.05),
            Kind("tick", self._note, every=0.5),
        ]
        return {kind.name: kind for kind in made}

    async def _note(self, job: Job) -> None:
        self.write("noted", job)

    async def _sleep(self, job: Job) -> None:
        self.write("began", job)
        await asyncio.sleep(job.arguments["seconds"])
        self.write("ended", job)

    async def _fail(self, job: Job) -> None:
        self.write("failing", job)
        raise RuntimeError("as it is meant to")
