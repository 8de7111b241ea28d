"""From the claims of an issuer to an identity: which of them hold a name, an address and groups."""

from collections.abc import Iterable
from typing import Any

from pierhead.access.oidc.claims import Claims, claim, fits
from pierhead.access.oidc.tokens import Refused
from pierhead.access.sources import Identity
from pierhead.issuer_settings import OidcSettings

_LONGEST = 255  # characters of a name, a subject, a group


def lacks(claims: Claims, settings: OidcSettings) -> bool:
    """Whether something is missing that the issuer may tell when it is asked for what it knows of somebody."""
    wanted = [settings.name_claim, settings.display_claim, settings.email_claim]
    wanted += [settings.groups_claim] if settings.groups_claim else []
    return any(claim(claims, path) is None for path in wanted)


def identity(claims: Claims, settings: OidcSettings) -> Identity:
    """Raises Refused: without a usable name, in too many groups, or in none of those that are required."""
    subject, name = claims["sub"], claim(claims, settings.name_claim)
    if not _is_name(subject) or not _is_name(name):
        raise Refused(f"the issuer tells no usable name in {settings.name_claim!r} (setting oidc.name_claim)")
    groups = _groups(claims, settings)
    if settings.required_groups and not groups & set(settings.required_groups):
        raise Refused("only members of certain groups may sign in here")
    kept = [group for group in groups if _is_kept(group, settings)]
    if len(kept) > settings.groups_max:
        raise Refused(f"you are in more than {settings.groups_max} groups (setting oidc.groups_max)")
    return Identity(
        source=f"oidc:{settings.name}",
        name=name,
        subject=subject,
        display=_text(claim(claims, settings.display_claim)),
        email=_email(claims, settings),
        groups=tuple(sorted(kept)),
    )


def _groups(claims: Claims, settings: OidcSettings) -> set[str]:
    told = claim(claims, settings.groups_claim) if settings.groups_claim else None
    if isinstance(told, str):
        told = [told]
    return {group for group in told if _is_name(group)} if isinstance(told, list) else set()


def _is_kept(group: str, settings: OidcSettings) -> bool:
    named: Iterable[str] = (
        *settings.admin_groups,
        *settings.auditor_groups,
        *settings.required_groups,
        *settings.teams,
    )
    return not settings.groups or group in named or any(fits(pattern, group) for pattern in settings.groups)


def _email(claims: Claims, settings: OidcSettings) -> str:
    # Some issuers write it as a text.
    if claims.get("email_verified", True) in (False, "false"):
        return ""
    return _text(claim(claims, settings.email_claim))


def _text(value: Any) -> str:
    return value if _is_name(value) else ""


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST and value.isprintable()
