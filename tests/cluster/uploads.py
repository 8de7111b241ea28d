"""A blob's way into a repository: at once, mounted, or in chunks that each go to another node and survive its death."""

import random
import time
from dataclasses import dataclass

from tests.cluster.doors import Doors
from tests.cluster.history import THERE, History, Key

PATIENCE = 60.0  # seconds that a client goes on with one upload
PAUSE = 0.3


@dataclass(frozen=True, slots=True)
class Uploads:
    doors: Doors
    history: History
    chance: random.Random
    note: str

    def push(self, repository: str, digest: str, content: bytes) -> bool:
        """Whether it was acknowledged."""
        ways = (self._at_once, self._in_two_steps, self._mounted, self._in_chunks)
        weights = (3, 3, 2, 2) if len(content) < 100_000 else (1, 1, 1, 6)
        return self.chance.choices(ways, weights)[0](repository, digest, content)

    def _at_once(self, repository: str, digest: str, content: bytes) -> bool:
        return self._create("POST", f"/v2/{repository}/blobs/uploads/?digest={digest}", repository, digest, content)

    def _in_two_steps(self, repository: str, digest: str, content: bytes) -> bool:
        location = self._start(repository)
        return location is not None and self._create("PUT", f"{location}?digest={digest}", repository, digest, content)

    def _mounted(self, repository: str, digest: str, content: bytes) -> bool:
        """A 202 begins an upload: somebody deleted it meanwhile, or never had it."""
        path = f"/v2/{repository}/blobs/uploads/?mount={digest}"
        return self._create("POST", path, repository, digest, b"") or self._at_once(repository, digest, content)

    def _create(self, method: str, path: str, repository: str, digest: str, content: bytes) -> bool:
        key, begin, note = ("blob", repository, digest), self.history.now(), f"{self.note} {method}"
        answer = self.doors.try_to(self.doors.balancer, method, path, content)
        if answer is None:
            self.history.doubt({key: THERE}, begin, note)
            return False
        if answer.status == 202 and "mount=" in path:
            return False
        assert answer.status == 201, f"{method} {path}: {answer.status} {answer.body!r}"
        self.history.wrote({key: THERE}, begin, note)
        return True

    def _start(self, repository: str) -> str | None:
        answer = self.doors.try_to(self.doors.next_node(), "POST", f"/v2/{repository}/blobs/uploads/")
        assert answer is None or answer.status == 202, f"{answer}"
        return answer.headers["location"] if answer else None

    def _in_chunks(self, repository: str, digest: str, content: bytes) -> bool:
        location = self._start(repository)
        if location is None:
            return False
        deadline = time.monotonic() + PATIENCE
        offset: int | None = 0
        while offset is not None and offset < len(content):
            offset = self._chunk(location, content, offset, deadline)
        return offset is not None and self._finish(location, ("blob", repository, digest), deadline)

    def _chunk(self, location: str, content: bytes, offset: int, deadline: float) -> int | None:
        """Sends one chunk, and says how far the session came; None where the client gives up.

        One that does not say where it belongs may come late, behind its own repetition, and nobody could tell.
        """
        # Never one byte at first: `Range: 0-0` stands for no byte and for one.
        end = min(len(content), offset + max(2, self.chance.randrange(len(content))))
        stated = {"content-range": f"{offset}-{end - 1}"} if self.chance.random() < 0.8 else {}
        answer = self.doors.try_to(self.doors.next_node(), "PATCH", location, content[offset:end], stated)
        if answer is not None and answer.status == 202:
            assert answer.offset == end, f"{location}: {offset}-{end} was sent, {answer.offset} bytes are there"
            return end
        assert answer is None or answer.status == 416, f"PATCH {location}: {answer}"
        if answer is None and not stated:
            return None
        time.sleep(PAUSE)
        standing = self._standing(location, deadline)
        assert standing is None or standing >= offset, f"{location}: {offset} bytes were accepted, {standing} are there"
        return standing

    def _standing(self, location: str, deadline: float) -> int | None:
        while time.monotonic() < deadline:
            answer = self.doors.try_to(self.doors.next_node(), "GET", location)
            if answer is not None:
                assert answer.status == 204, f"GET {location}: {answer}"
                return answer.offset
            time.sleep(PAUSE)
        return None

    def _finish(self, location: str, key: Key, deadline: float) -> bool:
        """Sent until it is answered: the same twice is no mistake."""
        while time.monotonic() < deadline:
            begin, note = self.history.now(), f"{self.note} {location}"
            answer = self.doors.try_to(self.doors.next_node(), "PUT", f"{location}?digest={key[2]}")
            if answer is not None and answer.status == 201:
                self.history.wrote({key: THERE}, begin, note)
                return True
            assert answer is None or answer.status == 416, f"PUT {location}: {answer}"
            self.history.doubt({key: THERE}, begin, note)
            time.sleep(PAUSE)
        return False
