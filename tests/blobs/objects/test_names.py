"""Names of objects, and what can be read from them."""

import uuid

import pytest

from pierhead.blobs.objects import names
from pierhead.models import Digest, Mark

SESSION = str(uuid.UUID(int=7))
DIGEST = Digest(f"sha256:{'ab' * 32}")


def test_a_key_is_never_given_twice() -> None:
    assert len({names.new_key(SESSION) for _ in range(1000)}) == 1000


def test_keys_and_tails_tell_their_session() -> None:
    assert names.session_of(names.new_key(SESSION)) == SESSION
    assert names.session_of(names.new_tail(SESSION)) == SESSION


@pytest.mark.parametrize("name", ["", "blobs/07/x", f"blobs/08/{SESSION}-{'0' * 16}", "ping", f"staged/{SESSION}/"])
def test_other_names_tell_nothing(name: str) -> None:
    assert names.session_of(name) is None
    assert not names.is_key(name)
    assert names.marked(name) is None


@pytest.mark.parametrize("digest", [DIGEST, Digest(f"sha512:{'cd' * 64}")])
def test_a_mark_says_which_digest_a_key_holds(digest: Digest) -> None:
    key = names.new_key(SESSION)

    assert names.marked(names.mark(digest, key)) == Mark(digest, key)
