"""What may be done, once: the verbs that roles are made of. The reference page is derived from this list."""

from collections.abc import Iterable
from enum import StrEnum, unique
from typing import Literal, Self


@unique
class Verb(StrEnum):
    """A verb and where it counts: in a repository (or its project), or in the system alone."""

    about: str
    system: bool

    def __new__(cls, word: str, about: str, where: Literal["repository", "system"] = "repository") -> Self:
        made = str.__new__(cls, word)
        made._value_ = word
        made.about = about
        made.system = where == "system"
        return made

    PULL = "pull", "Pull manifests and blobs, list tags and referrers, mount blobs from here."
    PUSH = "push", "Push blobs and manifests, make new tags."
    MOVE_TAG = "tag.move", "Let an existing tag point to another manifest."
    DELETE_TAG = "tag.delete", "Delete tags."
    DELETE_MANIFEST = "manifest.delete", "Delete manifests, with the tags that point to them."
    DELETE_BLOB = "blob.delete", "Take a blob out of a repository."
    READ_HISTORY = "history.read", "See what tags pointed to, and who moved them."
    RESTORE = "restore", "Bring back from the trash, roll a tag back."
    PIN = "pin", "Hold tags and digests, and let go of them."
    PURGE = "purge", "Remove what is in the trash for good."
    DELETE_REPOSITORY = "repository.delete", "Delete a repository."
    RENAME_REPOSITORY = "repository.rename", "Give a repository another name, in this project or another one."
    READ_POLICY = "policy.read", "See the settings of a project."
    WRITE_POLICY = "policy.write", "Change the settings of a project, but not who may do what."
    READ_MEMBERS = "member.read", "See who holds which role."
    WRITE_MEMBERS = "member.write", "Give and take roles, make a project or repository public or private."
    READ_ROBOTS = "robot.read", "See the robot accounts."
    WRITE_ROBOTS = "robot.write", "Make, change and remove robot accounts, and their secrets."
    READ_AUDIT = "audit.read", "Read the audit trail."
    DELETE_PROJECT = "project.delete", "Delete a project."
    RENAME_PROJECT = "project.rename", "Give a project another name."
    CREATE_PROJECT = "project.create", "Make projects, by pushing too.", "system"
    READ_USERS = "user.read", "See users and teams.", "system"
    WRITE_USERS = "user.write", "Make, change and disable users and teams.", "system"
    WRITE_ROLES = "role.write", "Make and change custom roles.", "system"
    READ_SYSTEM = "system.read", "See settings, jobs and the state of the system.", "system"
    WRITE_SYSTEM = "system.write", "Run and change what concerns the whole system.", "system"


Verbs = frozenset[Verb]
BY_WORD: dict[str, Verb] = {verb.value: verb for verb in Verb}
NONE: Verbs = frozenset()
ALL: Verbs = frozenset(Verb)

_READER: Verbs = frozenset({Verb.PULL, Verb.READ_HISTORY, Verb.READ_POLICY})
_WRITER = _READER | {Verb.PUSH, Verb.MOVE_TAG}
_MAINTAINER = _WRITER | {
    Verb.DELETE_TAG, Verb.DELETE_MANIFEST, Verb.DELETE_BLOB, Verb.RESTORE, Verb.PIN, Verb.DELETE_REPOSITORY,
    Verb.WRITE_POLICY, Verb.READ_MEMBERS, Verb.READ_ROBOTS,
}  # fmt: skip
_AUDITOR = _READER | {
    Verb.READ_MEMBERS, Verb.READ_ROBOTS, Verb.READ_AUDIT, Verb.READ_USERS, Verb.READ_SYSTEM,
}  # fmt: skip

# Granted on a project, a role has those of its verbs that count there; granted on the system, all, and everywhere.
ROLES: dict[str, Verbs] = {
    "reader": _READER,
    "writer": _WRITER,
    "maintainer": _MAINTAINER,
    "admin": ALL,
    "auditor": _AUDITOR,
}


def known(words: Iterable[str]) -> Verbs:
    """The verbs of these words. A word that a later version knew counts for nothing."""
    return frozenset(BY_WORD[word] for word in words if word in BY_WORD)


# What clients call it in the scope of a token (distribution, "Token Scope Documentation").
ACTIONS: dict[str, Verbs] = {
    "pull": frozenset({Verb.PULL, Verb.READ_HISTORY}),
    "push": frozenset({Verb.PUSH, Verb.MOVE_TAG}),
    "delete": frozenset({Verb.DELETE_TAG, Verb.DELETE_MANIFEST, Verb.DELETE_BLOB}),
}
