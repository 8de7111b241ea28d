"""What users, teams, robots and roles may be called."""

import re

from pierhead.errors import AccountInvalid, RepositoryNameInvalid
from pierhead.models import RepositoryName
from pierhead.verbs import ROLES

_USER = re.compile(r"[a-z0-9][a-z0-9._@-]{0,127}")
_SHORT = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_ROBOT = re.compile(r"[a-z0-9._-]*\+[a-z0-9._-]+")
_RESERVED = frozenset(("anonymous", "everyone", "unknown"))
_LINE_MAX = 256


def user(text: str) -> str:
    """Of a local one; other sources name theirs by themselves. All of these raise AccountInvalid."""
    if not _USER.fullmatch(text):
        raise AccountInvalid("a user is called by lower-case letters, digits, . _ @ - after the first, at most 128")
    if text in _RESERVED:
        raise AccountInvalid(f"{text} has a meaning of its own; choose another name")
    return text


def is_for_users(text: str) -> bool:
    """Whether somebody may have this name whom another source calls so: not that of a team or of a robot."""
    return not text.startswith("@") and _ROBOT.fullmatch(text) is None and text not in _RESERVED


def team(text: str) -> str:
    """With its @, given or not."""
    if not _SHORT.fullmatch(text.removeprefix("@")):
        raise AccountInvalid("a team is called by lower-case letters, digits, . _ - after the first, at most 64")
    return "@" + text.removeprefix("@")


def robot(text: str) -> tuple[str | None, str]:
    """The project that it belongs to, None for the system, and its whole name: `team+ci`, `+mirror`."""
    project, plus, short = text.partition("+")
    if not plus or not _SHORT.fullmatch(short):
        raise AccountInvalid("a robot is called PROJECT+NAME, or +NAME where it belongs to the system")
    return (parse_project(project) if project else None), text


def role(text: str) -> str:
    if not _SHORT.fullmatch(text):
        raise AccountInvalid("a role is called by lower-case letters, digits, . _ - after the first, at most 64")
    if text in ROLES:
        raise AccountInvalid(f"{text} comes with the program; choose another name")
    return text


def parse_project(text: str) -> str:
    """The first segment of a repository's name."""
    try:
        name = RepositoryName.parse(text)
    except RepositoryNameInvalid:
        name = RepositoryName()
    if not name or "/" in name:
        raise AccountInvalid("a project is called as the first segment of its repositories, such as team")
    return name


def line(text: str) -> str:
    """A text of one line that people read."""
    if len(text) > _LINE_MAX or not text.isprintable():
        raise AccountInvalid(f"a text of one line is expected, of at most {_LINE_MAX} characters")
    return text
