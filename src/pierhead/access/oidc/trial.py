"""Issuers and rules tried out, for the administrator who writes their settings."""

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

from pierhead.access.oidc import tokens
from pierhead.access.oidc.claims import Claims, claim
from pierhead.access.oidc.federation import Rule
from pierhead.access.oidc.issuers import Issuers
from pierhead.access.oidc.machines import verify_machine
from pierhead.access.oidc.people import AFTERWARDS, CALLBACK
from pierhead.access.oidc.tokens import Refused
from pierhead.access.oidc.trusts import trusts
from pierhead.access.sources import SourceUnavailable
from pierhead.issuer_settings import KeylessSettings, OidcSettings
from pierhead.settings import Settings


@dataclass(frozen=True, slots=True)
class Step:
    """What was tried, and what came of it; the facts are for who reads them by a program."""

    name: str
    passed: bool
    said: str
    facts: dict[str, object] = field(default_factory=dict)


def issuers_of(settings: Settings) -> Issuers:
    return Issuers(settings.issuers, settings.outbound, trusts(settings))


async def reach(settings: Settings, name: str | None) -> AsyncIterator[Step]:
    """Each table of this name, or all: whether its issuer tells its keys, and what to register there."""
    tables: list[OidcSettings | KeylessSettings] = [*settings.oidc, *settings.keyless]
    async with issuers_of(settings) as issuers:
        for table in tables:
            if name in (None, table.name):
                yield await _reached(table, issuers, settings)


async def _reached(table: OidcSettings | KeylessSettings, issuers: Issuers, settings: Settings) -> Step:
    issuer = issuers.get(table.issuer)
    facts: dict[str, object] = {"issuer": table.issuer}
    try:
        told, keys = await issuer.metadata(), await issuer.keys()
    except SourceUnavailable as error:
        return Step(table.name, passed=False, said=str(error), facts=facts)
    said = [f"{table.issuer} has {len(keys)} {'key' if len(keys) == 1 else 'keys'}"]
    if isinstance(table, OidcSettings):
        lacking = [] if told.authorization and told.token else ["it does not say where people sign in"]
        here = settings.server.public_url or f"http://127.0.0.1:{settings.server.port}"
        facts["redirect_uri"] = here + CALLBACK.format(name=table.name)
        facts["signed_out_uri"] = here + AFTERWARDS if told.end_session else None
        said += [*lacking, f"  register there: {facts['redirect_uri']}"]
        said += [f"  and for signing out: {facts['signed_out_uri']}"] if told.end_session else []
        return Step(table.name, passed=bool(keys) and not lacking, said="\n".join(said), facts=facts)
    return Step(table.name, passed=bool(keys), said=said[0], facts=facts)


async def try_token(settings: Settings, token: str) -> list[Step]:
    """A machine's token: whether it is genuine, and what it lacks for each rule of its issuer."""
    rules = [Rule.of(table) for table in settings.keyless]
    try:
        issuer = tokens.look(token, max_bytes=settings.issuers.max_token_bytes).issuer
        async with issuers_of(settings) as issuers:
            claims = await verify_machine(token, rules, issuers, max_bytes=settings.issuers.max_token_bytes)
    except (Refused, SourceUnavailable) as error:
        return [Step("token", passed=False, said=str(error))]
    ends = int(claims["exp"] - time.time())
    told = "\n".join(f"  {name}: {value}" for name, value in sorted(claims.items()))
    genuine = Step("token", passed=True, said=f"of {issuer}, good for {ends} seconds\n{told}", facts=dict(claims))
    return [genuine, *(_tried(rule, claims) for rule in rules if rule.issuer == issuer)]


def _tried(rule: Rule, claims: Claims) -> Step:
    missing = list(_missing(rule, claims))
    said = "\n  ".join(["is not fulfilled", *missing]) if missing else f"is fulfilled: {rule.role} of {rule.scope}"
    return Step(rule.name, passed=not missing, said=said, facts={"role": rule.role, "scope": rule.scope})


def _missing(rule: Rule, claims: Claims) -> Iterator[str]:
    for path, pattern in (("aud", rule.audience), *rule.claims):
        if not rule.says(claims, path, pattern):
            value = claim(claims, path)
            yield f"{path} must be {pattern}, and is {'missing' if value is None else value}"
