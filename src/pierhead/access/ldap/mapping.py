"""What the settings of a directory make of its groups. A directory does not tell A from a; so neither does this."""

from collections.abc import Iterable
from typing import Literal

from pierhead.source_settings import LdapSettings


def role_of(settings: LdapSettings, groups: Iterable[str]) -> Literal["admin", "auditor"] | None:
    """The role for the whole registry."""
    held = {group.casefold() for group in groups}
    if held & {group.casefold() for group in settings.admin_groups}:
        return "admin"
    return "auditor" if held & {group.casefold() for group in settings.auditor_groups} else None


def teams_of(settings: LdapSettings, groups: Iterable[str]) -> tuple[str, ...]:
    """The teams that the settings name for these groups, sorted."""
    teams = {group.casefold(): team for group, team in settings.teams.items()}
    return tuple(sorted({teams[group.casefold()] for group in groups if group.casefold() in teams}))
