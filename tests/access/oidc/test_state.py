"""What a browser carries while it is away."""

import base64
import hashlib
import time

import pytest

from pierhead.access.oidc.state import Attempt, Seal, local_path
from pierhead.access.oidc.tokens import Refused

SECRET = bytes(range(32))


@pytest.fixture
def attempt() -> Attempt:
    return Attempt.new("corp", "https://registry.example.org/sign-in/oidc/corp/callback", "/projects?page=2")


def test_what_was_sealed_in_one_process_is_opened_in_another(attempt: Attempt) -> None:
    assert Seal(SECRET, 600).open(Seal(SECRET, 600).close(attempt)) == attempt


def test_a_browser_cannot_read_what_it_carries(attempt: Attempt) -> None:
    sealed = Seal(SECRET, 600).close(attempt)

    opened = base64.urlsafe_b64decode(sealed)
    assert not any(part.encode() in sealed + opened for part in (attempt.state, attempt.nonce, attempt.verifier))
    assert attempt.verifier not in repr(attempt)
    assert len(sealed) < 2048


def test_it_fits_into_a_cookie_however_long_the_way_back_is() -> None:
    attempt = Attempt.new("c" * 32, "https://registry.example.org:5000/sign-in/oidc/x/callback", "/" + "p" * 2000)

    assert len(Seal(SECRET, 600).close(attempt)) < 4000


@pytest.mark.parametrize("change", [b"", b"x", bytes(5000), b"gAAAAA", "é".encode()])
def test_what_is_no_seal_is_refused(change: bytes) -> None:
    with pytest.raises(Refused, match="begin anew"):
        Seal(SECRET, 600).open(change)


def test_what_was_changed_or_sealed_elsewhere_is_refused(attempt: Attempt) -> None:
    sealed = Seal(SECRET, 600).close(attempt)
    middle = len(sealed) // 2
    changed = sealed[:middle] + (b"A" if sealed[middle : middle + 1] != b"A" else b"B") + sealed[middle + 1 :]

    for wrong in (changed, Seal(SECRET[::-1], 600).close(attempt)):
        with pytest.raises(Refused, match="begin anew"):
            Seal(SECRET, 600).open(wrong)


def test_it_is_good_for_a_while_only(attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    seal = Seal(SECRET, 600)
    sealed = seal.close(attempt)
    now = time.time()

    monkeypatch.setattr(time, "time", lambda: now + 599)
    assert seal.open(sealed) == attempt
    monkeypatch.setattr(time, "time", lambda: now + 602)
    with pytest.raises(Refused, match="too long ago"):
        seal.open(sealed)


def test_each_attempt_has_secrets_of_its_own(attempt: Attempt) -> None:
    other = Attempt.new("corp", attempt.redirect_uri, attempt.return_to)

    parts = {attempt.state, attempt.nonce, attempt.verifier, other.state, other.nonce, other.verifier}
    assert len(parts) == 6
    assert all(len(part) >= 43 for part in parts)


def test_the_challenge_is_the_hash_of_the_verifier(attempt: Attempt) -> None:
    expected = base64.urlsafe_b64encode(hashlib.sha256(attempt.verifier.encode()).digest())

    assert attempt.challenge == expected.decode().rstrip("=")


@pytest.mark.parametrize("path", ["/", "/projects", "/projects/a?page=2&x=%2F", "/-/x"])
def test_the_way_back_may_lead_anywhere_here(path: str) -> None:
    assert local_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\/evil.example",
        "/projects\\..",
        "/\t/evil.example",
        "/\n/evil.example",
        "/x\r\nset-cookie: a=b",
        " /x",
        "javascript:alert(1)",
        "projects",
        "",
        "/é",
        "/" + "x" * 5000,
    ],
)
def test_the_way_back_leads_to_the_front_page_where_it_would_lead_away(path: str) -> None:
    assert local_path(path) == "/"
