"""Whether a token that a machine comes with is genuine. Nobody is asked about one whose issuer no rule names."""

from collections.abc import Collection

from pierhead.access.oidc import tokens
from pierhead.access.oidc.claims import Claims
from pierhead.access.oidc.federation import Rule
from pierhead.access.oidc.issuers import Issuers
from pierhead.access.oidc.tokens import Refused


async def verify_machine(token: str, rules: Collection[Rule], issuers: Issuers, *, max_bytes: int) -> Claims:
    """The claims of a genuine token of an issuer that rules name, for an audience of one of these.

    Whether a rule's claims hold too is `match`. Raises Refused, SourceUnavailable.
    """
    issuer = tokens.look(token, max_bytes=max_bytes).issuer
    audiences = {rule.audience for rule in rules if rule.issuer == issuer}
    if not audiences:
        raise Refused("the token is of an issuer that no rule of this registry names")
    return await issuers.get(issuer).verify(token, audiences)
