"""The issuers that the configuration names, and what it says about each of them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from pierhead.issuer_settings import KeylessSettings, OidcSettings
from pierhead.settings import Settings


@dataclass(frozen=True, slots=True)
class Trust:
    """What the configuration adds to the name of an issuer."""

    ca_certificate: Path | None = None
    jwks_file: Path | None = None  # its keys, where it cannot be asked
    jwks_url: str | None = None  # where its keys are, when not where its discovery document says
    token_file: Path | None = None  # what it wants to see before it tells its keys


def trusts(settings: Settings) -> Mapping[str, Trust]:
    """The issuers that the configuration names, each with all that it adds to the name."""
    tables: list[OidcSettings | KeylessSettings] = [*settings.oidc, *settings.keyless]
    found: dict[str, Trust] = {}
    for table in tables:
        known, new = found.get(table.issuer, Trust()), _trust(table)
        found[table.issuer] = Trust(*(getattr(new, part.name) or getattr(known, part.name) for part in fields(Trust)))
    return found


def _trust(table: OidcSettings | KeylessSettings) -> Trust:
    return Trust(**{part.name: getattr(table, part.name, None) for part in fields(Trust)})
