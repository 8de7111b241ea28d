"""From claims to an identity."""

from typing import Any

import pytest

from pierhead.access.oidc.claims import claim, fits
from pierhead.access.oidc.identities import identity, lacks
from pierhead.access.oidc.tokens import Refused
from pierhead.access.sources import Identity
from pierhead.issuer_settings import OidcSettings

ALICE = {
    "sub": "248289761001",
    "preferred_username": "alice",
    "name": "Alice Adams",
    "email": "alice@example.org",
    "email_verified": True,
    "groups": ["developers", "registry-admins"],
}


def settings(**changed: Any) -> OidcSettings:
    table = {"name": "corp", "issuer": "https://issuer.example.org", "client_id": "x", "groups_claim": "groups"}
    return OidcSettings.model_validate(table | changed)


def test_claims_become_an_identity() -> None:
    assert identity(ALICE, settings()) == Identity(
        source="oidc:corp",
        name="alice",
        subject="248289761001",
        display="Alice Adams",
        email="alice@example.org",
        groups=("developers", "registry-admins"),
    )


def test_the_settings_say_which_claims_hold_what() -> None:
    claims = {"sub": "1", "upn": "alice", "nick": "Al", "mail": "a@example.org", "realm_access": {"roles": ["dev"]}}
    chosen = settings(name_claim="upn", display_claim="nick", email_claim="mail", groups_claim="realm_access.roles")

    found = identity(claims, chosen)

    assert (found.name, found.display, found.email) == ("alice", "Al", "a@example.org")
    assert found.groups == ("dev",)


@pytest.mark.parametrize("name", [None, "", 7, ["alice"], "a" * 256, "alice\nadmin", "alice\x00"])
def test_without_a_usable_name_nobody_comes_in(name: object) -> None:
    with pytest.raises(Refused, match=r"oidc\.name_claim"):
        identity(ALICE | {"preferred_username": name}, settings())


@pytest.mark.parametrize("subject", ["a" * 256, "a\nb"])
def test_without_a_usable_subject_nobody_comes_in(subject: str) -> None:
    with pytest.raises(Refused):
        identity(ALICE | {"sub": subject}, settings())


@pytest.mark.parametrize("verified", [False, "false"])
def test_an_address_that_is_not_verified_is_left_out(verified: object) -> None:
    assert identity(ALICE | {"email_verified": verified}, settings()).email == ""


@pytest.mark.parametrize(
    ("told", "groups"),
    [
        ("developers", ("developers",)),
        (["b", "a", "b"], ("a", "b")),
        (["a", 7, None, "", "x\ny", {"name": "b"}], ("a",)),
        ({"a": 1}, ()),
        (None, ()),
        (7, ()),
    ],
)
def test_groups_are_what_is_a_name(told: object, groups: tuple[str, ...]) -> None:
    assert identity(ALICE | {"groups": told}, settings()).groups == groups


def test_without_a_claim_for_them_no_groups_are_taken() -> None:
    assert identity(ALICE, settings(groups_claim=None)).groups == ()


def test_only_groups_that_fit_are_taken_and_those_that_a_setting_names() -> None:
    told = ["registry-dev", "registry-ops", "canteen", "auditors"]

    found = identity(ALICE | {"groups": told}, settings(groups=["registry-*"], auditor_groups=["auditors"]))

    assert found.groups == ("auditors", "registry-dev", "registry-ops")


def test_who_is_in_no_required_group_does_not_come_in() -> None:
    assert identity(ALICE, settings(required_groups=["developers", "others"])).name == "alice"
    with pytest.raises(Refused, match="members of certain groups"):
        identity(ALICE | {"groups": ["canteen"]}, settings(required_groups=["developers"]))


def test_too_many_groups_are_refused_and_not_cut() -> None:
    with pytest.raises(Refused, match=r"oidc\.groups_max"):
        identity(ALICE | {"groups": ["a", "b", "c"]}, settings(groups_max=2))


def test_the_issuer_is_asked_for_more_where_something_is_missing() -> None:
    assert not lacks(ALICE, settings())
    assert lacks({name: value for name, value in ALICE.items() if name != "groups"}, settings())
    assert not lacks({name: value for name, value in ALICE.items() if name != "groups"}, settings(groups_claim=None))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("sub", "x"),
        ("a.b", "inner"),
        ("kubernetes.io", {"namespace": "ci", "pod": {"name": "build"}}),
        ("kubernetes.io.namespace", "ci"),
        ("kubernetes.io.pod.name", "build"),
        ("kubernetes.io.pod.name.first", None),
        ("sub.x", None),
        ("https://example.org/groups", ["g"]),
        ("missing", None),
        ("", None),
        (".", None),
    ],
)
def test_a_dot_leads_into_a_table(path: str, value: object) -> None:
    claims = {
        "sub": "x",
        "a": {"b": "inner"},
        "kubernetes.io": {"namespace": "ci", "pod": {"name": "build"}},
        "https://example.org/groups": ["g"],
    }

    assert claim(claims, path) == value


@pytest.mark.parametrize(
    ("pattern", "text", "fit"),
    [
        ("refs/heads/main", "refs/heads/main", True),
        ("refs/heads/main", "refs/heads/main2", False),
        ("refs/heads/main", "refs/heads/MAIN", False),
        ("refs/heads/*", "refs/heads/main", True),
        ("refs/heads/*", "refs/heads/feature/x", False),
        ("refs/heads/**", "refs/heads/feature/x", True),
        ("refs/heads/*", "refs/heads/", True),
        ("repo:acme/*:ref:refs/heads/main", "repo:acme/app:ref:refs/heads/main", True),
        ("repo:acme/*:ref:refs/heads/main", "repo:acme/app:environment:x:ref:refs/heads/main", False),
        ("repo:acme/*", "repo:acme/app:pull_request", False),
        ("a.c", "abc", False),
        ("[ab]", "a", False),
        ("a?", "ab", False),
        ("a*", "a\nb", True),
        ("a", "a\n", False),
        ("**", "anything: at/all", True),
        ("", "", True),
    ],
)
def test_a_star_stands_for_a_part_and_two_for_anything(pattern: str, text: str, *, fit: bool) -> None:
    assert fits(pattern, text) is fit


def test_a_pattern_of_many_stars_is_not_slow() -> None:
    assert not fits("*a" * 12, "a" * 200 + "b")
