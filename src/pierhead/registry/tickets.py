"""Ids of upload sessions that prove themselves, so that beginning one writes nothing.

32 hexadecimal digits in the shape of a UUID, big-endian:

    seconds since 1970 (4 bytes) · the process (4) · a count, and in its lowest bit the algorithm (2) · a seal (6)

The seconds are the database's, which all nodes agree on. The seal is a keyed BLAKE2b of the rest and of the repository,
cut to 6 bytes: whoever may push there could begin a session anyway, and nobody else comes as far as here.
"""

import secrets
import struct
import uuid
from hashlib import blake2b
from hmac import compare_digest

from pierhead.models import HEX_LENGTHS, RepositoryName, Upload
from pierhead.registry.clock import Clock

_BODY = struct.Struct(">I4sH")
_SEAL_BYTES = 6
_ALGORITHMS = tuple(HEX_LENGTHS)
_COUNT = 1 << 15
_SECOND = 1_000_000


class Tickets:
    """The same `secret` makes and reads them in every process."""

    def __init__(self, secret: bytes, clock: Clock) -> None:
        self._secret = secret
        self._clock = clock
        self._process = secrets.token_bytes(4)
        self._count = 0

    def new(self, repository: RepositoryName, algorithm: str) -> Upload:
        self._count = (self._count + 1) % _COUNT
        seconds = self._clock.now() // _SECOND
        body = _BODY.pack(seconds, self._process, self._count << 1 | _ALGORITHMS.index(algorithm))
        identity = str(uuid.UUID(bytes=body + self._seal(body, repository)))
        return self._fresh(identity, repository, algorithm, seconds)

    def read(self, upload_id: str, repository: RepositoryName, *, since: int) -> Upload | None:
        """The session that was begun under this id, where that was not before `since` (microseconds since 1970)."""
        try:
            content = bytes.fromhex(upload_id.replace("-", ""))
            body, seal = content[: _BODY.size], content[_BODY.size :]
            seconds, _, count = _BODY.unpack(body)
        except (ValueError, struct.error):
            return None
        genuine = compare_digest(seal, self._seal(body, repository)) and str(uuid.UUID(bytes=content)) == upload_id
        if not genuine or seconds * _SECOND < since:
            return None
        return self._fresh(upload_id, repository, _ALGORITHMS[count & 1], seconds)

    def _seal(self, body: bytes, repository: RepositoryName) -> bytes:
        return blake2b(body + repository.encode(), key=self._secret, digest_size=_SEAL_BYTES).digest()

    def _fresh(self, identity: str, repository: RepositoryName, algorithm: str, seconds: int) -> Upload:
        return Upload(
            id=identity,
            repository=repository,
            algorithm=algorithm,
            offset=0,
            epoch=0,
            touched_at=seconds * _SECOND,
            idle=max(0, self._clock.now() - seconds * _SECOND),
            saved=False,
        )
