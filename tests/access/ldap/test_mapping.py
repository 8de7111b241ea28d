"""Roles and teams of groups."""

import pytest

from pierhead.access.ldap.filters import escaped, filled
from pierhead.access.ldap.mapping import role_of, teams_of
from pierhead.source_settings import LdapSettings

SETTINGS = LdapSettings(
    name="corp",
    url=("ldaps://localhost",),
    base_dn="ou=people",
    group_base_dn="ou=groups",
    admin_groups=("Registry Admins",),
    auditor_groups=("revision",),
    teams={"Developers": "dev", "interns": "dev", "operators": "ops"},
)


@pytest.mark.parametrize(
    ("groups", "role"),
    [
        (("Registry Admins", "revision"), "admin"),
        (("registry admins", "revision"), "auditor"),
        (("developers",), None),
        ((), None),
    ],
)
def test_the_highest_role_of_the_groups_counts(groups: tuple[str, ...], role: str | None) -> None:
    assert role_of(SETTINGS, groups) == role


def test_groups_are_in_the_teams_that_the_settings_name() -> None:
    assert teams_of(SETTINGS, ("interns", "Developers", "elsewhere", "operators")) == ("dev", "ops")


def test_a_text_in_a_filter_is_letters_digits_and_escaped_bytes() -> None:
    assert escaped("Jö *)(\0") == "J\\c3\\b6\\20\\2a\\29\\28\\00"


def test_a_text_that_names_another_place_stays_what_it_is() -> None:
    assert filled("(&(a={dn})(b={name})(c={login}))", dn="{name}", name="x") == "(&(a=\\7bname\\7d)(b=x)(c={login}))"
