"""Signing in with a real directory: who is let in, as whom, and who is not."""

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pierhead.access.ldap.directory import LdapDirectory
from pierhead.access.ldap.lookup import _identifier
from pierhead.access.sources import Identity, SourceUnavailable, WrongPassword
from pierhead.errors import ConfigurationError
from pierhead.source_settings import LdapSettings
from tests.access.ldap.company import ALICE, asked, groups, settings, sign_in, written
from tests.servers.slapd import PEOPLE, READER, Server, slapd

GROUP_SEARCH = 'SRCH base="ou=groups'
BOTH_FILTERS = "(|(uid={login})(mail={login}))"


@pytest.mark.parametrize("way", ["ldaps", "starttls", "plain"])
def test_somebody_signs_in(way: str, company: Server) -> None:
    url = company.tls if way == "ldaps" else company.plain

    identity = sign_in(settings(company, url=[url], start_tls=way == "starttls"))

    assert identity is not None
    assert identity == Identity(
        "ldap:corp",
        "alice",
        identity.subject,
        display="Alice",
        email="alice@example.org",
        groups=("developers", "posix", "unique"),
    )
    assert len(identity.subject) == len("0e3f3d3e-7d88-1041-9b6a-0f0e6b5f9d3a")


def test_a_wrong_password_of_a_known_name_is_not_an_unknown_name(company: Server) -> None:
    with pytest.raises(WrongPassword):
        sign_in(settings(company), "alice", "builder")

    assert sign_in(settings(company), "nobody", "builder") is None


def test_letters_that_ascii_has_not_are_taken_in_names_and_passwords(company: Server) -> None:
    identity = sign_in(settings(company), "jörg", "größer")

    assert identity is not None
    assert identity.name == "jörg"


def test_the_name_is_the_directorys_spelling(company: Server) -> None:
    names = {
        sign_in(settings(company, filter=BOTH_FILTERS), login) for login in ("alice", "ALICE", "alice@example.org")
    }

    assert len(names) == 1


def test_of_several_names_it_is_always_the_same(company: Server) -> None:
    found = [sign_in(settings(company), login, "builder") for login in ("bob", "robert")]

    assert [identity.name for identity in found if identity] == ["bob", "bob"]


@pytest.mark.parametrize("password", ["", "\0", "wonderland\0", "w" * 4097])
def test_a_password_that_cannot_be_one_is_refused_without_a_question(password: str, company: Server) -> None:
    before = len(company.lines("ACCEPT"))

    with pytest.raises(WrongPassword):
        sign_in(settings(company), "alice", password)

    assert len(company.lines("ACCEPT")) == before


def test_an_account_without_a_password_lets_nobody_in(company: Server) -> None:
    with pytest.raises(WrongPassword):
        sign_in(settings(company), "dave", "anything")


@pytest.mark.parametrize(
    "login",
    [
        "*",
        "al*",
        "alice)(objectClass=*",
        "*)(uid=*))(|(uid=*",
        "alice)(&",
        "\\61lice",
        "\\2a",
        "alice\0",
        "alice\n",
        "{login}",
        "{dn}",
        "=alice",
        "~=alice",
        ":caseExactMatch:=alice",
        "",
        "a" * 257,
        "alice" + " " * 300,
    ],
)
def test_a_name_is_never_a_part_of_the_filter(login: str, company: Server) -> None:
    assert sign_in(settings(company), login) is None


def test_what_is_special_in_a_filter_may_stand_in_a_name(company: Server) -> None:
    identity = sign_in(settings(company, group_base_dn=None), "o(pe)n*\\", "odd")

    assert identity is not None
    assert identity.name == "o(pe)n*\\"


def test_the_filter_says_who_may_sign_in(company: Server) -> None:
    staff = settings(company, filter="(&(uid={login})(employeeType=staff))")

    assert sign_in(staff) is not None
    assert sign_in(staff, "bob", "builder") is None


def test_somebody_is_found_without_a_password_until_they_are_gone(company: Server) -> None:
    company.add(f"dn: uid=gus,{PEOPLE}\nobjectClass: inetOrgPerson\nuid: gus\ncn: Gus\nsn: G\nuserPassword: gus\n")
    with LdapDirectory(settings(company)) as directory:
        signed_in = asked(directory, "gus", "gus")
        assert signed_in is not None
        look_up = partial(directory.look_up, "gus", signed_in.subject)
        found = asyncio.run(look_up())
        company.modify(f"dn: uid=gus,{PEOPLE}\nchangetype: modrdn\nnewrdn: uid=gustav\ndeleteoldrdn: 1\n")
        renamed = asyncio.run(look_up())
        company.add(f"dn: uid=gus,{PEOPLE}\nobjectClass: inetOrgPerson\nuid: gus\ncn: Another\nsn: G\n")
        beside = asyncio.run(look_up())
        company.remove(f"uid=gustav,{PEOPLE}")
        gone = asyncio.run(look_up())
        company.remove(f"uid=gus,{PEOPLE}")

    assert found == signed_in
    assert renamed == beside == replace(signed_in, name="gustav")
    assert gone is None


def test_who_is_known_by_the_place_of_an_entry_is_found_there_whatever_the_name(company: Server) -> None:
    with LdapDirectory(settings(company)) as directory:
        found = asyncio.run(directory.look_up("of-old", f"uid=alice,{PEOPLE}"))
        gone = asyncio.run(directory.look_up("of-old", f"uid=nobody-at-all,{PEOPLE}"))

    assert found is not None
    assert found.name == "alice"
    assert gone is None


def test_two_entries_for_one_name_let_nobody_in(company: Server) -> None:
    with pytest.raises(SourceUnavailable, match="more than one entry is found"):
        sign_in(settings(company, filter=BOTH_FILTERS), "twin@example.org", "two")


def test_one_level_is_not_the_tree_below_it(company: Server) -> None:
    assert sign_in(settings(company, base_dn="dc=example,dc=org")) is not None
    assert sign_in(settings(company, base_dn="dc=example,dc=org", scope="one")) is None


def test_an_entry_without_a_name_lets_nobody_in(company: Server) -> None:
    with pytest.raises(SourceUnavailable, match="has no roomNumber"):
        sign_in(settings(company, name_attribute="roomNumber"))


def test_a_renamed_person_is_the_same_subject(company: Server) -> None:
    company.add(f"dn: uid=fay,{PEOPLE}\nobjectClass: inetOrgPerson\nuid: fay\ncn: Fay\nsn: F\nuserPassword: fay\n")
    before = sign_in(settings(company), "fay", "fay")
    company.modify(f"dn: uid=fay,{PEOPLE}\nchangetype: modrdn\nnewrdn: uid=faye\ndeleteoldrdn: 1\n")
    after = sign_in(settings(company), "faye", "fay")

    assert before is not None
    assert after is not None
    assert (before.name, after.name, before.subject == after.subject) == ("fay", "faye", True)


def test_the_subject_may_be_an_attribute_of_choice(company: Server) -> None:
    identity = sign_in(settings(company, subject_attribute="employeeType"))

    assert identity is not None
    assert identity.subject == "staff"
    with pytest.raises(SourceUnavailable, match="has no employeeType"):
        sign_in(settings(company, subject_attribute="employeeType"), "bob", "builder")


@pytest.mark.parametrize(
    ("value", "subject"),
    [
        (bytes.fromhex("33221100554477668899aabbccddeeff"), "00112233-4455-6677-8899-aabbccddeeff"),
        (b"0e3f3d3e-7d88-1041-9b6a-0f0e6b5f9d3a", "0e3f3d3e-7d88-1041-9b6a-0f0e6b5f9d3a"),
        (b"\xff\xfe", "fffe"),
    ],
)
def test_an_identifier_is_a_text(value: bytes, subject: str) -> None:
    """The first is how Active Directory keeps an objectGUID."""
    assert _identifier(value) == subject


@pytest.mark.parametrize("start_tls", [False, True])
def test_a_server_of_an_unknown_authority_is_told_nothing(company: Server, *, start_tls: bool) -> None:
    url = company.plain if start_tls else company.tls
    before = len(company.lines(" BIND "))

    with pytest.raises(SourceUnavailable, match="certificate verify failed"):
        sign_in(settings(company, url=[url], start_tls=start_tls, ca_certificate=company.stranger))

    assert len(company.lines(" BIND ")) == before


def test_a_server_of_another_name_is_told_nothing(company: Server) -> None:
    before = len(company.lines(" BIND "))

    with pytest.raises(SourceUnavailable, match="IP address mismatch"):
        sign_in(settings(company, url=[company.tls.replace("localhost", "127.0.0.1")]))

    assert len(company.lines(" BIND ")) == before


def test_who_does_not_verify_believes_any_certificate(company: Server) -> None:
    assert sign_in(settings(company, ca_certificate=None, verify=False)) is not None


def test_a_server_without_starttls_is_told_nothing() -> None:
    with slapd(tls=False) as server:
        with pytest.raises(SourceUnavailable, match="StartTLS was refused"):
            sign_in(settings(server, url=[server.plain], start_tls=True))

        assert server.lines(" BIND ") == []


def test_the_account_that_looks_people_up_may_be_wrong(company: Server) -> None:
    with pytest.raises(SourceUnavailable, match=f"the password of {READER} is refused"):
        sign_in(settings(company, bind_password="hunter2"))


def test_its_password_may_stand_in_a_file(company: Server, tmp_path: Path) -> None:
    file = written(tmp_path / "password", "reads people\nand nothing else\n")

    assert sign_in(settings(company, bind_password=None, bind_password_file=file)) is not None


def test_who_looks_people_up_must_be_allowed_to(company: Server) -> None:
    with pytest.raises(SourceUnavailable, match=r"the search below .* was refused: noSuchObject"):
        sign_in(settings(company, bind_dn=None, bind_password=None))


def test_a_base_that_is_not_there_is_told(company: Server) -> None:
    with pytest.raises(SourceUnavailable, match="the search below ou=nowhere,dc=example,dc=org was refused"):
        sign_in(settings(company, base_dn="ou=nowhere,dc=example,dc=org"))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"filter": "(uid={login}))(()"}, "ldap.corp.filter = '(uid={login}))(()': is no filter that can be read"),
        ({"group_filter": "(&{dn})"}, "ldap.corp.group_filter = '(&{dn})': is no filter"),
        ({"ca_certificate": "nowhere.pem"}, "ldap.corp.ca_certificate = nowhere.pem: No such file"),
        ({"ca_certificate": __file__}, f"ldap.corp.ca_certificate = {__file__}: holds no certificate"),
        ({"bind_password_file": "nowhere"}, "ldap.corp.bind_password_file = nowhere: cannot be read: No such file"),
        ({"bind_password_file": "/dev/null"}, "ldap.corp.bind_password_file = /dev/null: its first line is empty"),
    ],
)
def test_what_is_found_out_by_looking_is_told_before_the_start(changed: dict[str, Any], told: str) -> None:
    wanted = LdapSettings(name="corp", url=("ldaps://localhost",), base_dn="ou=a", **changed)

    with pytest.raises(ConfigurationError) as caught:
        LdapDirectory(wanted)

    [mistake] = caught.value.mistakes
    assert mistake.startswith(told)


def test_groups_are_not_asked_for_without_a_place_to_look(company: Server) -> None:
    assert groups(settings(company, group_base_dn=None)) == ()


def test_an_entry_with_anything_in_its_name_is_found_in_groups(company: Server) -> None:
    assert groups(settings(company), "eve", "drop") == ("developers",)


def test_groups_in_groups_are_followed_to_their_end(company: Server) -> None:
    before = len(company.lines(GROUP_SEARCH))
    above = ("developers", "everybody", "posix", "ring-one", "ring-two", "unique", "world")

    assert groups(settings(company, nested_groups="follow")) == above
    # A circle is not gone round: each level once, and one in which there is nothing new.
    assert len(company.lines(GROUP_SEARCH)) == before + 4


def test_groups_in_groups_are_followed_so_far_and_no_further(company: Server) -> None:
    followed = groups(settings(company, nested_groups="follow", nested_depth=1))

    assert followed == ("developers", "everybody", "posix", "ring-one", "unique")


def test_a_directory_that_follows_groups_itself_is_asked_once(company: Server) -> None:
    before = len(company.lines(GROUP_SEARCH))
    groups(settings(company, nested_groups="chain"))

    [search] = company.lines(GROUP_SEARCH)[before:]
    assert "(?=undefined)" in search  # Active Directory's rule is unknown to this server


def test_a_group_may_be_called_by_its_distinguished_name(company: Server) -> None:
    named = groups(settings(company, group_name_attribute="dn"), "eve", "drop")

    assert named == ("cn=developers,ou=groups,dc=example,dc=org",)


@pytest.mark.parametrize("nested", ["none", "follow"])
def test_too_many_groups_let_nobody_in(nested: str, company: Server) -> None:
    most = {"none": 2, "follow": 6}[nested]

    with pytest.raises(SourceUnavailable, match=f"{ALICE} is in more than {most} groups"):
        sign_in(settings(company, groups_max=most, nested_groups=nested))

    assert len(groups(settings(company, groups_max=most + 1, nested_groups=nested))) == most + 1


def test_groups_that_cannot_be_looked_up_let_nobody_in(company: Server) -> None:
    with pytest.raises(SourceUnavailable, match="the search below ou=nowhere,dc=example,dc=org was refused"):
        sign_in(settings(company, group_base_dn="ou=nowhere,dc=example,dc=org"))


def test_no_secret_is_in_what_is_logged_and_told(company: Server, caplog: pytest.LogCaptureFixture) -> None:
    told = []
    for changed in ({"bind_password": "hunter2"}, {"base_dn": "ou=nowhere,dc=example,dc=org"}, {"verify": True}):
        wanted = settings(company, **changed)
        with pytest.raises((SourceUnavailable, WrongPassword)) as caught:
            sign_in(wanted, "alice", "hunter2")
        told += [repr(caught.value), repr(caught.value.__cause__), repr(wanted)]

    assert "hunter2" not in "\n".join([*told, caplog.text])
    assert "reads people" not in "\n".join([*told, caplog.text])
