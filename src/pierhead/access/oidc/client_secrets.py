"""The secret of a client at its issuer, which may lie in a file that something else replaces."""

import asyncio

from pierhead.access.sources import SourceUnavailable
from pierhead.issuer_settings import OidcSettings

_LONGEST = 64 * 1024  # bytes of the file


async def client_secret(settings: OidcSettings) -> str | None:
    """None: a public client, which has none. Raises SourceUnavailable where its file cannot be read."""
    if settings.client_secret is not None:
        return settings.client_secret.get_secret_value()
    return None if settings.client_secret_file is None else await asyncio.to_thread(_first_line, settings)


def _first_line(settings: OidcSettings) -> str:
    assert settings.client_secret_file is not None  # noqa: S101 - for the type checker
    try:
        with settings.client_secret_file.open(encoding="utf-8") as file:
            line = file.readline(_LONGEST).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceUnavailable(f"oidc.{settings.name}.client_secret_file cannot be read") from error
    if not line:
        raise SourceUnavailable(f"oidc.{settings.name}.client_secret_file is empty")
    return line
