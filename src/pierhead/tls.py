"""The certificate: checked before it is used, and watched for changes."""

import ssl
from pathlib import Path

from pierhead.errors import ConfigurationError
from pierhead.settings import ServerSettings, Settings


def check(settings: Settings) -> None:
    """Raises ConfigurationError where certificate and key cannot be read or do not match."""
    server = settings.server
    if server.tls_certificate is None or server.tls_key is None:
        return
    names = f"server.tls_certificate = {str(server.tls_certificate)!r}, server.tls_key = {str(server.tls_key)!r}"
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(server.tls_certificate, server.tls_key, password=_no_password)
    except ssl.SSLError as error:
        reason = "do not match" if error.reason == "KEY_VALUES_MISMATCH" else "are no PEM certificate and key"
        raise ConfigurationError([f"{names}: {reason}"]) from error
    except (OSError, ValueError) as error:
        raise ConfigurationError([f"{names}: cannot be read: {error}"]) from error


def _no_password() -> str:
    """Instead of OpenSSL's question on the terminal."""
    raise ValueError("a key with a passphrase is not supported")


class Watch:
    """Tells once of each change of the two files, when they have been still for one look."""

    def __init__(self, server: ServerSettings) -> None:
        self._paths = [path for path in (server.tls_certificate, server.tls_key) if path]
        self._known = self._seen = self._state()

    def changed(self) -> bool:
        state = self._state()
        still, self._seen = state == self._seen, state
        if not still or state == self._known:
            return False
        self._known = state
        return True

    def _state(self) -> list[tuple[int, int, int] | None]:
        return [_signature(path) for path in self._paths]


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
