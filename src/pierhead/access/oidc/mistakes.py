"""Settings of issuers that are each right alone and wrong together. Cheap: no library is needed for it."""

from collections.abc import Iterator
from dataclasses import fields

from pierhead.access.oidc.federation import Rule, mistakes
from pierhead.access.oidc.trusts import Trust, trusts
from pierhead.issuer_settings import KeylessSettings, OidcSettings
from pierhead.settings import Settings

_OF_GROUPS = ("groups", "required_groups", "admin_groups", "auditor_groups", "teams")


def contradictions(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """Each as the name of a table, that of a setting in it, and what is wrong with it."""
    for one in settings.oidc:
        yield from ((f"oidc.{one.name}", name, text) for name, text in _of_people(one))
    for rule in settings.keyless:
        yield from ((f"keyless.{rule.name}", name, text) for name, text in _of_machines(rule))
    yield from _of_issuers(settings)


def _of_people(one: OidcSettings) -> Iterator[tuple[str, str]]:
    if one.client_secret is not None and one.client_secret_file is not None:
        yield "client_secret_file", "client_secret is given too; one of them is enough"
    if one.groups_claim is None:
        for name in _OF_GROUPS:
            if getattr(one, name):
                yield name, "needs groups_claim, which holds the groups"


def _of_machines(one: KeylessSettings) -> Iterator[tuple[str, str]]:
    yield from mistakes(Rule.of(one))
    if one.jwks_file is not None:
        for name in ("jwks_url", "ca_certificate", "token_file"):
            if getattr(one, name) is not None:
                yield name, "is of no use beside jwks_file: nobody is asked"


def _of_issuers(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """Two tables of one issuer must not say different things about it: there is one of it."""
    whole = trusts(settings)
    for kind, tables in (("oidc", settings.oidc), ("keyless", settings.keyless)):
        for table in tables:
            for part in fields(Trust):
                said = getattr(table, part.name, None)
                if said is not None and said != getattr(whole[table.issuer], part.name):
                    yield f"{kind}.{table.name}", part.name, "another table says something else of the same issuer"
    people = {one.issuer for one in settings.oidc}
    for rule in settings.keyless:
        if rule.issuer in people and (rule.jwks_file or rule.jwks_url):
            name = "jwks_file" if rule.jwks_file else "jwks_url"
            yield f"keyless.{rule.name}", name, "people sign in by this issuer too, so that it must be asked"
