"""Machines that come with a token of their own issuer (keyless): rules, and which of them a token fulfils.

A rule says issuer, audience and claims, all of which must hold. A token that fulfils several rules has what each
of them gives. Rules come from the settings and from rows; finding out whether a token is genuine is `machines`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from pierhead.access.oidc.claims import Claims, claim, fits
from pierhead.addresses import is_usable
from pierhead.errors import RepositoryNameInvalid
from pierhead.issuer_settings import KeylessSettings
from pierhead.models import RepositoryName
from pierhead.patterns import Pattern

EVERYWHERE = "*"
_CLAIMS_MAX = 32


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    issuer: str
    audience: str
    claims: tuple[tuple[str, str], ...]  # a path and a pattern, each
    role: str
    scope: str  # a project, PROJECT/PATTERN, or everywhere

    @classmethod
    def of(cls, settings: KeylessSettings) -> Self:
        claims = tuple(settings.claims.items())
        return cls(settings.name, settings.issuer, settings.audience, claims, settings.role, settings.scope)

    def holds(self, claims: Claims) -> bool:
        return (
            claims.get("iss") == self.issuer
            and bool(self.claims)
            and all(self.says(claims, path, wanted) for path, wanted in (("aud", self.audience), *self.claims))
        )

    def says(self, claims: Claims, path: str, wanted: str) -> bool:
        """Whether a claim is what the rule wants. What the token is meant for is compared letter by letter."""
        values = _values(claim(claims, path))
        return wanted in values if path == "aud" else any(fits(wanted, text) for text in values)


def match(rules: Iterable[Rule], claims: Claims) -> list[Rule]:
    """Those that verified claims fulfil, in their order."""
    return [rule for rule in rules if rule.holds(claims)]


def mistakes(rule: Rule) -> list[tuple[str, str]]:
    """What is wrong with a rule, as the name of a part and a text; of the settings and of the rows alike."""
    found = []
    if not is_usable(rule.issuer) or "?" in rule.issuer:
        found.append(("issuer", "must be https://HOST[:PORT][/PATH]"))
    if not rule.audience:
        found.append(("audience", "must be given: else tokens that were made for others would do"))
    if len(rule.claims) > _CLAIMS_MAX:
        found.append(("claims", f"must be at most {_CLAIMS_MAX}"))
    if all(not pattern.strip("*") for _, pattern in rule.claims):
        found.append(("claims", "must name whose workflow it is: without that, everybody's would do"))
    if rule.scope != EVERYWHERE and (text := _wrong_scope(rule.scope)):
        found.append(("scope", text))
    return found


def _wrong_scope(scope: str) -> str:
    project, slash, pattern = scope.partition("/")
    try:
        RepositoryName.parse(project)
        if slash:
            Pattern.parse(pattern)
    except (RepositoryNameInvalid, ValueError):
        return "must be *, a project, or PROJECT/PATTERN"
    return ""


def _values(value: Any) -> Sequence[str]:
    """A claim's value as text; of a list any of them counts."""
    if isinstance(value, list):
        return [text for one in value if not isinstance(one, list) for text in _values(one)]
    if isinstance(value, bool):
        return ["true" if value else "false"]
    return [str(value)] if isinstance(value, str | int) else []
