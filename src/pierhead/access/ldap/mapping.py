"""What the settings of a directory make of its groups, by their names as the directory spells them."""

from collections.abc import Iterable
from typing import Literal

from pierhead.source_settings import LdapSettings


def role_of(settings: LdapSettings, groups: Iterable[str]) -> Literal["admin", "auditor"] | None:
    """The role for the whole registry."""
    held = set(groups)
    if held & set(settings.admin_groups):
        return "admin"
    return "auditor" if held & set(settings.auditor_groups) else None


def teams_of(settings: LdapSettings, groups: Iterable[str]) -> tuple[str, ...]:
    """The teams that the settings name for these groups, sorted."""
    return tuple(sorted({settings.teams[group] for group in groups if group in settings.teams}))
