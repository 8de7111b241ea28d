"""What the audit trail hears of the door: who signed in, and who was refused. What is done inside tells of itself."""

from pierhead.access.authenticator import basic_credentials
from pierhead.distribution.call import Call
from pierhead.errors import AccessDenied, PierheadError, TooManyRequests, Unauthenticated
from pierhead.models import Actor, RepositoryName

_REFUSALS = (Unauthenticated, AccessDenied, TooManyRequests)


def signed_in(call: Call) -> None:
    """Where a credential was verified for this request, and not lately."""
    if call.admitted.fresh and call.admitted.principal.credential != "bearer":
        call.face.registry.audit.signed_in(call.actor, way=call.admitted.principal.credential)


def refused(call: Call, error: PierheadError) -> None:
    """Where somebody said who it is. A request that says nothing of that is a question for the way in."""
    if not isinstance(error, _REFUSALS):
        return
    header = call.header(b"authorization")
    known = call.is_admitted and not call.admitted.anonymous
    if not known and header is None and not call.claimed:
        return
    actor = call.actor if known else _claimed(call, header or b"")
    why = f"{type(error).__doc__}: {error}" if str(error) else str(type(error).__doc__)
    repository = RepositoryName(call.record.repository) if call.record.repository else None
    call.face.registry.audit.refused(actor, why, repository=repository)


def _claimed(call: Call, header: bytes) -> Actor:
    """By the name that somebody gave without proving it."""
    try:
        name = call.claimed or basic_credentials(header)[0]
    except Unauthenticated:
        name = "(unknown)"
    agent = call.header(b"user-agent") or b""
    return Actor(
        name=name, address=call.address, agent=agent[:256].decode("latin-1"), request_id=call.record.request_id
    )
