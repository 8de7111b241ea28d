"""Workflows that bring a token of their own issuer as password, or as bearer token: by which rules they come in."""

# ruff: noqa: PLC0415  what verifies them is loaded by the first that comes

import time
from typing import TYPE_CHECKING

from pierhead.access.oidc.tokens import is_token
from pierhead.access.principal import Principal
from pierhead.access.sources import SourceUnavailable
from pierhead.errors import SignInUnavailable, Unauthenticated

if TYPE_CHECKING:
    from pierhead.access.oidc.federation import Rule
    from pierhead.access.oidc.issuers import Issuers

_NAME_MAX = 255


class Machines:
    def __init__(self, rules: "tuple[Rule, ...]", issuers: "Issuers", *, max_bytes: int) -> None:
        self._rules = rules
        self._issuers = issuers
        self._max_bytes = max_bytes

    def suits(self, password: bytes) -> bool:
        """Whether it looks like a token of an issuer."""
        return is_token(password)

    async def check(self, password: bytes) -> tuple[Principal, float]:
        """Which workflow it is, and for how many seconds its token is good still.

        Raises Unauthenticated, and SignInUnavailable where its issuer cannot be asked.
        """
        from pierhead.access.oidc.federation import match
        from pierhead.access.oidc.machines import verify_machine
        from pierhead.access.oidc.tokens import Refused

        try:
            claims = await verify_machine(
                password.decode("ascii", "replace"), self._rules, self._issuers, max_bytes=self._max_bytes
            )
        except Refused as error:
            raise Unauthenticated(str(error)) from error
        except SourceUnavailable as error:
            # Why is in the log; whoever asks need not hear what stands where in this network.
            raise SignInUnavailable("the issuer of this token") from error
        rules = match(self._rules, claims)
        if not rules:
            raise Unauthenticated("no rule of this registry lets this workflow in")
        name = f"{rules[0].name}:{claims['sub']}"[:_NAME_MAX]
        return Principal(name, "oidc", rule=",".join(rule.name for rule in rules)), claims["exp"] - time.time()
