import hashlib
import random
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pierhead.blobs import hashing
from pierhead.blobs.hashing import Hashes

HASHES = Hashes.load()
ALGORITHMS = ["sha256", "sha512"]
DATA = random.Random(2).randbytes(100_000)

RESUME = """
import sys
from pierhead.blobs.hashing import Hashes
resumed = Hashes.load().resume(sys.argv[1], bytes.fromhex(sys.argv[2]), int(sys.argv[3]))
resumed.update(sys.stdin.buffer.read())
print(resumed.hexdigest())
"""


def saved(algorithm: str, data: bytes) -> bytes:
    hash_ = HASHES.new(algorithm)
    hash_.update(data)
    state = hash_.state
    assert state is not None
    return state


def test_libcrypto_passes_its_self_test_here() -> None:
    assert HASHES.resumable


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(data=st.binary(max_size=1000), cuts=st.lists(st.integers(0, 1000)))
def test_any_split_with_a_save_at_each_cut_is_what_hashlib_says(algorithm: str, data: bytes, cuts: list[int]) -> None:
    hash_, at = HASHES.new(algorithm), 0
    for cut in sorted({min(cut, len(data)) for cut in cuts} | {len(data)}):
        hash_.update(data[at:cut])
        resumed = HASHES.resume(algorithm, hash_.state, cut)
        assert resumed is not None
        hash_, at = resumed, cut

    assert hash_.hexdigest() == hashlib.new(algorithm, data).hexdigest()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_bytearrays_and_large_bytes_hash_alike(algorithm: str) -> None:
    first, second = HASHES.new(algorithm), HASHES.new(algorithm)

    first.update(DATA)
    second.update(bytearray(DATA))

    assert first.hexdigest() == second.hexdigest() == hashlib.new(algorithm, DATA).hexdigest()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_digest_does_not_end_the_hash(algorithm: str) -> None:
    hash_ = HASHES.new(algorithm)
    hash_.update(b"to")
    hash_.hexdigest()
    hash_.update(b"day")

    assert hash_.hexdigest() == hashlib.new(algorithm, b"today").hexdigest()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_another_process_goes_on_where_this_one_stopped(algorithm: str) -> None:
    state = saved(algorithm, DATA[:777]).hex()

    done = subprocess.run(
        [sys.executable, "-c", RESUME, algorithm, state, "777"], input=DATA[777:], capture_output=True, check=True
    )

    assert done.stdout.decode().strip() == hashlib.new(algorithm, DATA).hexdigest()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(at=st.integers(0), bit=st.integers(0, 7))
def test_a_state_with_one_bit_turned_is_not_resumed(algorithm: str, at: int, bit: int) -> None:
    state = bytearray(saved(algorithm, DATA[:777]))
    state[at % len(state)] ^= 1 << bit

    assert HASHES.resume(algorithm, bytes(state), 777) is None


@given(state=st.binary(max_size=300))
def test_nonsense_is_not_resumed(state: bytes) -> None:
    assert HASHES.resume("sha256", state, 0) is None


def test_a_state_of_another_length_is_not_resumed() -> None:
    assert HASHES.resume("sha256", saved("sha256", DATA[:777]), 778) is None


def test_a_state_of_another_algorithm_is_not_resumed() -> None:
    assert HASHES.resume("sha512", saved("sha256", b"x"), 1) is None


def test_a_state_of_another_library_is_not_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "_version", lambda _: "OpenSSL 99.0.0")
    other = Hashes.load()

    assert other.resumable
    assert other.resume("sha256", saved("sha256", b"x"), 1) is None


@pytest.mark.parametrize("library", [None, "/no/such/libcrypto.so", "libc.so.6"])
def test_without_libcrypto_hashlib_does_it_and_nothing_is_resumed(
    monkeypatch: pytest.MonkeyPatch, library: str | None
) -> None:
    monkeypatch.setattr(hashing, "_library", lambda: library)
    plain = Hashes.load()
    hash_ = plain.new("sha256")
    hash_.update(DATA)

    assert not plain.resumable
    assert hash_.state is None
    assert hash_.hexdigest() == hashlib.sha256(DATA).hexdigest()
    assert plain.resume("sha256", saved("sha256", b"x"), 1) is None


def test_a_library_with_another_struct_fails_the_self_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing._Layout, "holds", lambda *_: False)

    assert not Hashes.load().resumable
