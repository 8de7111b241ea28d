"""Which endpoint a request to /v2 names.

Repository names hold slashes, so a path is read from its right-hand end: the last
segment is the target and the one before it says what kind of thing it is. The path is
the raw one; a `%` in it is refused, since no valid name, tag or digest needs it.
"""

from dataclasses import dataclass
from functools import lru_cache

from pierhead.errors import EndpointUnknown, MethodNotAllowed, RepositoryNameInvalid
from pierhead.models import RepositoryName
from pierhead.verbs import Verb

# (kind, method) -> (operation, the verb the caller needs on the repository)
ENDPOINTS: dict[tuple[str, str], tuple[str, Verb | None]] = {
    ("ping", "GET"): ("ping", None),
    ("ping", "HEAD"): ("ping", None),
    ("catalog", "GET"): ("list_repositories", None),
    ("manifests", "GET"): ("get_manifest", Verb.PULL),
    ("manifests", "HEAD"): ("get_manifest", Verb.PULL),
    ("manifests", "PUT"): ("put_manifest", Verb.PUSH),
    ("manifests", "DELETE"): ("delete_manifest", Verb.DELETE_MANIFEST),
    ("blobs", "GET"): ("get_blob", Verb.PULL),
    ("blobs", "HEAD"): ("get_blob", Verb.PULL),
    ("blobs", "DELETE"): ("delete_blob", Verb.DELETE_BLOB),
    ("uploads", "GET"): ("upload_status", Verb.PUSH),
    ("uploads", "PATCH"): ("append_to_upload", Verb.PUSH),
    ("uploads", "PUT"): ("finish_upload", Verb.PUSH),
    ("uploads", "DELETE"): ("cancel_upload", Verb.PUSH),
    ("new upload", "POST"): ("start_upload", Verb.PUSH),
    ("tags", "GET"): ("list_tags", Verb.PULL),
    ("referrers", "GET"): ("list_referrers", Verb.PULL),
}
# What may stand before the last segment of a path; a session's `uploads` is apart.
_KINDS = frozenset({"manifests", "blobs", "tags", "referrers"})
PATH_MAX = 1024


@dataclass(frozen=True, slots=True)
class Match:
    operation: str
    needs: Verb | None
    repository: RepositoryName
    target: str


# The same few paths are asked for again and again; what is refused is not remembered.
@lru_cache(maxsize=8192)
def match(method: str, raw_path: bytes) -> Match:
    """Raises EndpointUnknown, MethodNotAllowed, RepositoryNameInvalid."""
    if b"%" in raw_path or len(raw_path) > PATH_MAX or not raw_path.isascii():
        raise RepositoryNameInvalid(raw_path[:200].decode("ascii", "replace"))
    kind, repository, target = _split(raw_path.decode("ascii"))
    endpoint = ENDPOINTS.get((kind, method))
    if endpoint:
        operation, needs = endpoint
        if operation == "delete_manifest" and ":" not in target:
            needs = Verb.DELETE_TAG
        name = RepositoryName.parse(repository) if repository else RepositoryName()
        return Match(operation, needs, name, target)
    raise MethodNotAllowed(method, [other for known, other in ENDPOINTS if known == kind])


def _split(path: str) -> tuple[str, str, str]:
    """Kind, repository and target of a path; checks its shape, not its grammar."""
    if path in {"/v2", "/v2/"}:
        return "ping", "", ""
    if path == "/v2/_catalog":
        return "catalog", "", ""
    if not path.startswith("/v2/"):
        raise EndpointUnknown(path)
    rest, _, target = path.removeprefix("/v2/").rpartition("/")
    repository, _, kind = rest.rpartition("/")
    if kind == "uploads":
        repository, _, parent = repository.rpartition("/")
        well_formed = parent == "blobs"
        kind = "uploads" if target else "new upload"
    else:
        well_formed = kind in _KINDS and (target == "list" if kind == "tags" else bool(target))
    if not (repository and well_formed):
        raise EndpointUnknown(path)
    return kind, repository, target
