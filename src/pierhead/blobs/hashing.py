"""Hashes that can be saved in one process and resumed in another.

libcrypto's legacy SHA256_* and SHA512_* keep all they know in a flat struct, so its bytes are the
state. A state is resumed only where the same build of the same library would have written it; in
every other case (another version, a malformed state, no libcrypto) the caller hashes again.
"""

import ctypes
import ctypes.util
import hashlib
import platform
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

SEAL = 8  # bytes
# A library whose struct were larger than ours would write here, and the self-test would see it.
_GUARD = b"\xa5" * 64
_LITTLE = 4096  # bytes


class Hash(Protocol):
    algorithm: str

    @property
    def state(self) -> bytes | None:
        """What `Hashes.resume` takes; None where this hash cannot be resumed."""
        ...

    def update(self, data: bytes | bytearray) -> None: ...

    def hexdigest(self) -> str:
        """Of all bytes so far; more may follow."""
        ...


@dataclass(frozen=True, slots=True)
class _Layout:
    """A context as openssl/sha.h declares it, unchanged since 0.9.8; the self-test checks it."""

    name: str
    fields: str  # struct format of: count of bits (low, high), bytes in the block, bytes of a digest
    word: int  # bits
    block: int  # bytes
    digest: int  # bytes

    @property
    def size(self) -> int:
        return struct.calcsize(self.fields)

    def holds(self, context: bytes, length: int) -> bool:
        """Whether a context can be one that has taken `length` bytes."""
        low, high, number, digest = struct.unpack(self.fields, context)
        return (low | high << self.word, number, digest) == (length * 8, length % self.block, self.digest)


_LAYOUTS = {
    "sha256": _Layout("SHA256", "=32xII64xII", word=32, block=64, digest=32),
    "sha512": _Layout("SHA512", "=64xQQ128xII", word=64, block=128, digest=64),
}


class _Routines:
    """One algorithm of a loaded libcrypto. Raises AttributeError where it lacks it."""

    def __init__(self, path: str, algorithm: str) -> None:
        self.algorithm = algorithm
        self.layout = _LAYOUTS[algorithm]
        # To let go of the GIL and wait for it again costs more than to hash a little.
        releasing, holding = ctypes.CDLL(path), ctypes.PyDLL(path)
        self.update = self._updater(releasing)
        self.update_little = self._updater(holding)
        self.final = holding[f"{self.layout.name}_Final"]
        self.final.argtypes = (ctypes.c_char_p, ctypes.c_void_p)
        self._build = f"{_version(holding)} {platform.machine()} {sys.byteorder} {algorithm}".encode()[:64]
        self.fresh = self._fresh(holding)

    def seal(self, context: bytes) -> bytes:
        return hashlib.blake2b(context, digest_size=SEAL, key=self._build).digest()

    def _updater(self, library: ctypes.CDLL) -> Callable[[object, object, int], int]:
        update = library[f"{self.layout.name}_Update"]
        update.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
        return update

    def _fresh(self, library: ctypes.CDLL) -> bytes:
        context = ctypes.create_string_buffer(bytes(self.layout.size) + _GUARD, self.layout.size + len(_GUARD))
        library[f"{self.layout.name}_Init"](context)
        return context.raw[: self.layout.size]


class ResumableHash:
    """A hash on libcrypto; bytes are hashed where they are."""

    def __init__(self, routines: _Routines, context: bytes) -> None:
        self.algorithm = routines.algorithm
        self._routines = routines
        self._context = ctypes.create_string_buffer(context + _GUARD, len(context) + len(_GUARD))

    @property
    def context(self) -> bytes:
        return self._context.raw[: self._routines.layout.size]

    @property
    def intact(self) -> bool:
        return self._context.raw[self._routines.layout.size :] == _GUARD

    @property
    def state(self) -> bytes | None:
        return self._routines.seal(self.context) + self.context

    def update(self, data: bytes | bytearray) -> None:
        update = self._routines.update if len(data) > _LITTLE else self._routines.update_little
        if isinstance(data, bytearray):
            window = (ctypes.c_char * len(data)).from_buffer(data)
            update(self._context, ctypes.byref(window), len(data))
        else:
            update(self._context, data, len(data))

    def hexdigest(self) -> str:
        copy = ctypes.create_string_buffer(self._context.raw, len(self._context))
        digest = ctypes.create_string_buffer(self._routines.layout.digest)
        self._routines.final(digest, copy)
        return digest.raw.hex()


class PlainHash:
    """hashlib's, where libcrypto cannot be used: without a state, so it is never resumed."""

    state = None

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm
        self._hash = hashlib.new(algorithm)
        self.update = self._hash.update
        self.hexdigest = self._hash.hexdigest


class Hashes:
    """Makes hashes, resumable for those algorithms that passed the self-test."""

    def __init__(self, routines: dict[str, _Routines]) -> None:
        self._routines = routines

    @classmethod
    def load(cls) -> Self:
        """On the libcrypto that hashlib uses itself, or without one."""
        path = _library()
        found = {name: _tested(path, name) for name in _LAYOUTS} if path else {}
        return cls({name: routines for name, routines in found.items() if routines})

    @classmethod
    def plain(cls) -> Self:
        return cls({})

    @property
    def resumable(self) -> bool:
        return bool(self._routines)

    def new(self, algorithm: str) -> Hash:
        routines = self._routines.get(algorithm)
        return ResumableHash(routines, routines.fresh) if routines else PlainHash(algorithm)

    def resume(self, algorithm: str, state: bytes | None, length: int) -> Hash | None:
        """The hash of `length` bytes that `state` is of; None where it cannot be trusted to be that."""
        routines = self._routines.get(algorithm)
        if routines is None or state is None or len(state) != SEAL + routines.layout.size:
            return None
        seal, context = state[:SEAL], state[SEAL:]
        if seal != routines.seal(context) or not routines.layout.holds(context, length):
            return None
        return ResumableHash(routines, context)


def _library() -> str | None:
    """The very libcrypto that `_hashlib` has loaded: its version is the one that the rest of Python reports."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        lines = []
    paths = sorted({line.split(maxsplit=5)[5] for line in lines if "/libcrypto" in line})
    return paths[0] if paths else ctypes.util.find_library("crypto")


def _version(library: ctypes.CDLL) -> str:
    describe = library["OpenSSL_version"]
    describe.restype = ctypes.c_char_p
    version: bytes = describe(0)
    return version.decode()


def _tested(path: str, algorithm: str) -> _Routines | None:
    try:
        routines = _Routines(path, algorithm)
    except (OSError, AttributeError):
        return None
    # On both sides of a block's end, and of `_LITTLE`.
    lengths = (0, 1, 63, 64, 127, 128, _LITTLE + 1)
    return routines if all(_agrees(routines, length) for length in lengths) else None


def _agrees(routines: _Routines, length: int) -> bool:
    """Whether a hash that is saved after `length` bytes goes on in a fresh context as hashlib's does."""
    head, tail = bytes(range(256)) * 17, b"Pierhead"
    first = ResumableHash(routines, routines.fresh)
    first.update(head[:length])
    second = ResumableHash(routines, first.context)
    second.update(bytearray(tail))
    sums = [hashlib.new(routines.algorithm, data).hexdigest() for data in (head[:length], head[:length] + tail)]
    return (
        [first.hexdigest(), second.hexdigest()] == sums
        and first.intact
        and second.intact
        and routines.layout.holds(first.context, length)
    )
