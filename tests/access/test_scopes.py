"""What clients ask for at /token."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pierhead.access import scopes
from pierhead.access.scopes import Asked, Wanted
from pierhead.errors import ScopeInvalid
from pierhead.models import RepositoryName
from pierhead.verbs import ACTIONS

OWN = frozenset({"hub.example", "hub.example:5000"})
ALL = frozenset({"pull", "push", "delete"})
PULL = frozenset({"pull"})


def parse(*values: str, most: int = 50) -> Asked:
    return scopes.parse(values, hosts=OWN, most=most)


def asked(*values: str) -> dict[str, frozenset[str]]:
    return {wanted.name: wanted.actions for wanted in parse(*values).repositories}


def test_a_scope_names_a_repository_and_actions() -> None:
    assert asked("repository:team/app:pull,push") == {"team/app": frozenset({"pull", "push"})}


def test_scopes_come_in_several_parameters_and_in_one() -> None:
    assert asked("repository:a:pull repository:b:push", "repository:c:delete").keys() == {"a", "b", "c"}


def test_a_repeated_scope_is_one() -> None:
    assert asked(*["repository:a:pull"] * 10, "repository:a:push") == {"a": frozenset({"pull", "push"})}
    assert len(parse("repository:a:pull", "repository:a:push").repositories) == 1


def test_a_star_is_all_actions() -> None:
    assert asked("repository:a/b:pull,*") == {"a/b": ALL}


@pytest.mark.parametrize("kind", ["repository", "repository(plugin)", "repository(image)"])
def test_the_class_is_ignored(kind: str) -> None:
    assert asked(f"{kind}:a:pull") == {"a": frozenset({"pull"})}


def test_the_catalog_is_asked_for_with_a_star() -> None:
    assert parse("registry:catalog:*").catalog
    assert not parse("registry:catalog:pull").catalog
    assert not parse("registry:other:*").catalog
    assert not parse("repository:catalog:*").catalog


def test_the_own_host_before_a_name_is_understood() -> None:
    found = parse("repository:hub.example/team/app:pull", "repository:HUB.example:5000/other:push").repositories

    assert found == (
        Wanted("hub.example/team/app", RepositoryName("team/app"), RepositoryName("hub.example/team/app"), PULL),
        Wanted("HUB.example:5000/other", RepositoryName("other"), None, frozenset({"push"})),
    )


def test_another_host_before_a_name_is_a_part_of_the_name_or_nothing() -> None:
    assert asked("repository:docker.io/library/app:pull").keys() == {"docker.io/library/app"}
    assert asked("repository:docker.io:443/library/app:pull") == {}


@pytest.mark.parametrize(
    "scope",
    [
        "",
        ":",
        "::",
        "repository",
        "repository:a",
        "repository::pull",
        "repository:a:",
        "repository:a:none",
        "repository:a:Pull",
        "repository:a: pull",
        "repository:A:pull",
        "Repository:a:pull",
        "repository(:a:pull",
        "repository():a:pull",
        "repository(plugin)x:a:pull",
        "repository:a//b:pull",
        "repository:/a:pull",
        "repository:a/:pull",
        "repository:../a:pull",
        "repository:a/b@sha256:pull",
        "repository:hub.example:pull:x",
        "repository:hub.example//a:pull",
        "repository:" + "a" * 256 + ":pull",
        "repository:" + "a/" * 5000 + "a:pull",
        "artifact:a:pull",
        "registry:catalog",
        "repository:\u0430pp:pull",  # a Cyrillic letter
        "repository:app\u200b:pull",  # no width
        "repository:app:\u217cull",
        "repository:app:pull\u2024",
        "reposit\u043ery:app:pull",
        "repository:caf\u00e9:pull",
        "repository:app\n:pull",
        "repository:app:pull\n",
        "repository\u3000:app:pull",
        "repository:\uff41\uff50\uff50:pull",
        "repository:a\x00:pull",
    ],
)
def test_what_is_no_scope_here_is_left_out(scope: str) -> None:
    assert parse(scope) == Asked()
    assert asked(scope, "repository:app:pull") == {"app": PULL}


def test_only_a_space_parts_scopes() -> None:
    assert asked("repository:a:pull\u00a0repository:b:pull\trepository:c:pull") == {}


def test_more_scopes_than_allowed_are_refused_even_those_that_mean_nothing() -> None:
    assert parse(*["repository:a:pull"] * 50).repositories
    for values in (["repository:a:pull"] * 51, ["x"] * 51, ["x " * 51]):
        with pytest.raises(ScopeInvalid):
            parse(*values)


def test_a_million_characters_are_read_in_no_time() -> None:
    began = time.perf_counter()
    for value in ("repository:" * 100_000, "repository:a:" + "pull," * 200_000, "a(" * 500_000):
        parse(value)
    with pytest.raises(ScopeInvalid):
        parse("a " * 500_000)

    assert time.perf_counter() - began < 2


def test_a_scope_is_written_as_it_is_read() -> None:
    assert scopes.written("team/app", {"push", "pull"}) == "repository:team/app:pull,push"
    assert asked(scopes.written("a", ALL)) == {"a": ALL}


_PIECES = st.sampled_from(
    ["repository", "repository(plugin)", "registry", ":", "/", ",", " ", "*", "pull", "push", "delete", "catalog",
     "team", "app", "hub.example", "hub.example:5000", "other.example", "A", "\u0430", "..", "%2f", "@", "-", "_"]
)  # fmt: skip
_SCOPES = st.lists(st.one_of(st.text(max_size=20), st.lists(_PIECES, max_size=12).map("".join)), max_size=8)


@given(_SCOPES)
def test_whatever_comes_nothing_is_understood_that_was_not_asked(values: list[str]) -> None:
    try:
        found = scopes.parse(values, hosts=OWN, most=20)
    except ScopeInvalid:
        return

    given_whole = " ".join(values)
    for wanted in found.repositories:
        assert RepositoryName.parse(wanted.name) == wanted.name
        assert wanted.actions
        assert wanted.actions <= ALL == ACTIONS.keys()
        assert wanted.asked.endswith(wanted.name)
        assert f":{wanted.asked}:" in given_whole
        assert "*" in given_whole or all(action in given_whole for action in wanted.actions)
        host = wanted.asked.removesuffix(wanted.name).removesuffix("/")
        assert not host or host.lower() in OWN
    assert len({wanted.asked for wanted in found.repositories}) == len(found.repositories)
    assert not found.catalog or "registry:catalog:" in given_whole


_NAMES = st.from_regex(r"[a-z0-9]+([._-][a-z0-9]+)?(/[a-z0-9]+){0,3}", fullmatch=True)


@given(st.dictionaries(_NAMES, st.sets(st.sampled_from(sorted(ALL)), min_size=1), max_size=20))
def test_every_scope_that_was_written_is_read(wanted: dict[str, set[str]]) -> None:
    text = " ".join(scopes.written(name, actions) for name, actions in wanted.items())

    read = {found.asked: found.actions for found in scopes.parse([text], hosts=frozenset(), most=20).repositories}

    assert read == wanted
