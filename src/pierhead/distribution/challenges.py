"""How a client is told to sign in: `WWW-Authenticate` (RFC 9110, section 11.6.1; RFC 6750, section 3).

One challenge only: some clients take the first that they know, others the last.
"""

from urllib.parse import urlsplit

from pierhead.access import scopes
from pierhead.access.bearer import BearerBounds
from pierhead.access.proxy import HOST, Client
from pierhead.distribution.call import Call
from pierhead.errors import QueryInvalid, RepositoryNameInvalid, TokenInvalid, Unauthenticated
from pierhead.models import RepositoryName
from pierhead.verbs import Verb

BASIC = b'Basic realm="pierhead", charset="UTF-8"'
TOKEN_PATH = "/token"  # noqa: S105  no secret
KEYS_PATH = "/token/keys"
PATHS = frozenset({TOKEN_PATH.encode(), KEYS_PATH.encode()})

_ACTIONS = {Verb.PULL: ("pull",), Verb.PUSH: ("pull", "push"), Verb.MOVE_TAG: ("pull", "push")}


def client(call: Call) -> Client:
    """Who asks, and by which name: what a trusted proxy says of it, or what came here."""
    scope, proxies = call.scope, call.face.proxies
    peer = scope["client"][0] if scope.get("client") else ""
    host = (call.header(b"host") or b"").decode("latin-1")
    return proxies.client(peer, scope["headers"], scheme=scope["scheme"], host=host)


def came_by_proxy(call: Call) -> bool:
    """Whether a trusted proxy passes the request on."""
    peer = call.scope["client"][0] if call.scope.get("client") else ""
    return call.face.trusts_proxies and call.face.proxies.trusts(peer)


def origin(call: Call) -> str:
    """Scheme, host and port by which the client knows this registry; the setting server.public_url says it for all."""
    if call.face.public_url:
        return call.face.public_url
    told = client(call)
    return f"{told.scheme}://{told.host}" if HOST.fullmatch(told.host) else ""


def own_hosts(call: Call) -> frozenset[str]:
    """What clients call this registry, in lower case, with the port."""
    return frozenset(filter(None, (urlsplit(call.face.public_url).netloc.lower(), client(call).host.lower())))


def for_refused(call: Call, error: Unauthenticated) -> bytes:
    """Where to get a token, and which. Basic where nobody can tell by which address the client came."""
    base = origin(call)
    if not base:
        return BASIC
    told = {
        "realm": f"{base}{TOKEN_PATH}",
        "service": call.face.token_service,
        "scope": _scope(call),
        "error": _error(call, error),
    }
    return b"Bearer " + ",".join(f'{name}="{value}"' for name, value in told.items() if value).encode("ascii")


def _scope(call: Call) -> str:
    """What a client has to ask for, to do what was refused."""
    matched = call.match
    if matched.operation == "list_repositories":
        return scopes.CATALOG
    if matched.needs is None:
        return ""
    wanted = scopes.written(matched.repository, _ACTIONS.get(matched.needs, ("delete",)))
    source = _mounted_from(call)
    if source is None or _opens(call, source):
        return wanted
    return f"{wanted} {scopes.written(source, ('pull',))}"


def _opens(call: Call, name: RepositoryName) -> bool:
    """Whether a bearer token came that is for a repository: then that is not what is missing.

    Podman and its kin ask for both sides of a mount by themselves, and complain of a challenge that names two.
    """
    narrowed = call.admitted.principal.narrowed if call.is_admitted else None
    return isinstance(narrowed, BearerBounds) and name in narrowed.opened


def _mounted_from(call: Call) -> RepositoryName | None:
    if call.match.operation != "start_upload":
        return None
    try:
        source = call.query("from")
        return RepositoryName.parse(source) if source else None
    except (QueryInvalid, RepositoryNameInvalid):
        return None


def _error(call: Call, error: Unauthenticated) -> str:
    """RFC 6750, section 3.1. Nothing where no token came: a client that has none did nothing wrong."""
    if isinstance(error, TokenInvalid):
        return "invalid_token"
    authorization = call.header(b"authorization") or b""
    return "insufficient_scope" if authorization[:7].lower() == b"bearer " else ""
