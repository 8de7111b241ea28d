"""What the clients of a cluster push together: contents by their digests, and the images made of them."""

import hashlib
import itertools
import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.crash.journal import Content, Journal, image

MIB = 1024 * 1024
SHARED = 16  # contents that everybody pushes everywhere
REMEMBERED = 300  # images that are moved, pulled and deleted
# By how often they are pushed; the last ones are longer than one part of an object store.
SIZES = (*[300] * 4, *[5000] * 4, *[40_000] * 4, *[700_000] * 2, 6 * MIB, 11 * MIB)
LARGE = 100_000  # bytes
LARGE_CHANCE = 0.1
ROOM = 1200 * MIB  # for large contents that nobody else pushes


@dataclass(frozen=True, slots=True)
class Image:
    repository: str
    digest: str
    text: bytes
    blobs: tuple[str, ...]
    tags: tuple[str, ...]


@dataclass(slots=True)
class Works:
    """Each image is pushed once, so that a tag never has the same value twice."""

    seed: int
    images: deque[Image] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _journal: Journal = field(default_factory=Journal)
    _room: int = ROOM
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def content(self, digest: str) -> bytes:
        return self._journal.contents[digest].bytes

    def pick(self, chance: random.Random) -> str:
        """The digest of a new content, or of one that everybody pushes."""
        if chance.random() < 0.5:
            number = chance.randrange(SHARED)
            return self._journal.add(Content(SIZES[number], number))
        large = self._room > 0 and chance.random() < LARGE_CHANCE
        size = chance.choice([size for size in SIZES if (size > LARGE) is large]) + chance.randrange(1000)
        self._room -= size if large else 0
        return self._journal.add(Content(size, chance.getrandbits(48)))

    def fresh(self, chance: random.Random) -> str:
        """The digest of a small content that nobody else pushes."""
        return self._journal.add(Content(100, chance.getrandbits(48)))

    def image(self, repository: str, blobs: Sequence[str], tags: Sequence[str]) -> Image:
        text = image(self._journal, list(blobs), f"{self.seed} {next(self._numbers)}")
        digest = f"sha256:{hashlib.sha256(text).hexdigest()}"
        return Image(repository, digest, text, tuple(blobs), tuple(tags))

    def known(self, chance: random.Random) -> Image | None:
        return chance.choice(list(self.images)) if self.images else None
