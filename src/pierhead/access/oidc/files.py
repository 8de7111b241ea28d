"""Files that tables of issuers name, looked at when the program starts: later they are read as they then are."""

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

from pierhead.access.oidc import tokens
from pierhead.errors import ConfigurationError
from pierhead.issuer_settings import KeylessSettings, OidcSettings
from pierhead.settings import Settings


def check(settings: Settings) -> None:
    """Raises ConfigurationError for all that cannot be read, or is not what it should be."""
    tables: list[tuple[str, OidcSettings | KeylessSettings]] = [
        *(("oidc", one) for one in settings.oidc),
        *(("keyless", rule) for rule in settings.keyless),
    ]
    mistakes = [mistake for kind, table in tables for mistake in _mistakes(f"{kind}.{table.name}", table)]
    if mistakes:
        raise ConfigurationError(mistakes)


def _mistakes(section: str, table: OidcSettings | KeylessSettings) -> Iterator[str]:
    looks: dict[str, Callable[[Path], object]] = {
        "client_secret_file": _text,
        "token_file": _text,
        "ca_certificate": lambda path: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path),
        "jwks_file": lambda path: tokens.keys(path.read_bytes()),
    }
    for name, look in looks.items():
        path = getattr(table, name, None)
        if path is None:
            continue
        try:
            look(path)
        except ssl.SSLError:
            yield f"{section}.{name} = {str(path)!r}: is no PEM file of certificates"
        except OSError as error:
            yield f"{section}.{name} = {str(path)!r}: cannot be read: {error.strerror}"
        except ValueError as error:
            yield f"{section}.{name} = {str(path)!r}: {error}"


def _text(path: Path) -> None:
    try:
        empty = not path.read_text("utf-8").strip()
    except UnicodeDecodeError as error:
        raise ValueError("is no text") from error
    if empty:
        raise ValueError("is empty")
