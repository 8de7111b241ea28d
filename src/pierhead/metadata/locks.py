"""What operations exclude one another by, and the one order in which they do.

An operation takes all its locks at once, as the first thing it does; the order of their kinds is

    blob < manifest < repository < tag < sweep < removing < signing keys < accounts

and inside a kind that of their keys. So no two operations ever wait for each other. Rows that it writes come after
its locks, and of rows that no lock covers (a project, a repository, an upload session) it waits for one at most.

A blob is committed alone. A manifest is pushed and deleted alone, whichever the repository. Deleting content has its
repository alone, pushing manifests shares it, so that what they need stays; tags move one after another, each of them.
"""

from dataclasses import dataclass
from hashlib import blake2b

from pierhead.models import Digest, RepositoryName, TagName

_BLOB, _MANIFEST, _REPOSITORY, _TAG, _SWEEP, _REMOVING, _SIGNING_KEYS, _ACCOUNTS = range(8)


@dataclass(frozen=True, slots=True, order=True)
class Lock:
    kind: int
    key: int  # 64 bits with a sign
    shared: bool = False


def blob(digest: Digest, *, shared: bool = False) -> Lock:
    return _lock(_BLOB, digest, shared=shared)


def key(name: str) -> Lock:
    """Of who names a key in the store, or lets nobody name it any more. In one order with those of blobs."""
    return _lock(_BLOB, name)


def manifest(digest: Digest) -> Lock:
    return _lock(_MANIFEST, digest)


def repository(name: RepositoryName, *, shared: bool = False) -> Lock:
    return _lock(_REPOSITORY, name, shared=shared)


def whole_repository(name: RepositoryName) -> set[Lock]:
    """Of a repository; of a deleted one also by the name that it had, under which somebody may be busy with it."""
    return {repository(name), repository(RepositoryName(name.partition("@")[0]))}


def tag(repository: RepositoryName, name: TagName) -> Lock:
    return _lock(_TAG, f"{repository}:{name}")


def sweep() -> Lock:
    """Of who changes many upload sessions at once."""
    return _lock(_SWEEP, "")


def removing(*, shared: bool = False) -> Lock:
    """Of who removes the rows of blobs; alone by who copies a registry, which must not begin in the midst of it."""
    return _lock(_REMOVING, "", shared=shared)


def signing_keys() -> Lock:
    """Of who makes, changes or removes keys that tokens are signed with."""
    return _lock(_SIGNING_KEYS, "")


def accounts() -> Lock:
    """Of who changes accounts, or what they hold: what such a change was decided on stays so to its end."""
    return _lock(_ACCOUNTS, "")


def _lock(kind: int, name: str, *, shared: bool = False) -> Lock:
    hashed = blake2b(f"{kind} {name}".encode(), digest_size=8, person=b"pierhead").digest()
    return Lock(kind, int.from_bytes(hashed, signed=True), shared)
