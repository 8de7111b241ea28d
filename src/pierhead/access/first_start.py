"""What a server finds out before it serves: whether its store has accounts, and how the first one comes to be."""

import logging
import socket
from dataclasses import dataclass, field
from pathlib import Path

from pierhead.access.decisions import has_sources
from pierhead.access.loopback import start_mistake
from pierhead.accounts.first import FirstAdministrator
from pierhead.errors import AccountInvalid, ConfigurationError, PasswordRefused
from pierhead.metadata import rights
from pierhead.metadata.database import Database
from pierhead.settings import Settings

log = logging.getLogger("pierhead.supervisor")


@dataclass(frozen=True, slots=True)
class Start:
    """Whether whoever comes is let in, and what the setup page opens with."""

    is_open: bool
    setup_token: str | None = field(default=None, repr=False)


async def look(database: Database, settings: Settings) -> Start:
    """Raises ConfigurationError where strangers could do everything."""
    first = FirstAdministrator(database, settings.passwords)
    await _by_settings(first, settings)
    if has_sources(settings) or (await database.read(rights.epoch)).closed is not None:
        return Start(is_open=False)
    mistake = start_mistake(settings.server.host, settings.access)
    if mistake is not None:
        raise ConfigurationError([f"server.host = {settings.server.host!r}: {mistake}"])
    return Start(is_open=True, setup_token=await first.offer() if settings.pages.enabled else None)


async def _by_settings(first: FirstAdministrator, settings: Settings) -> None:
    name, file = settings.access.first_admin, settings.access.first_admin_password_file
    if name is None or file is None:
        return
    if await first.is_late():
        return
    try:
        await first.create_by_settings(name, _first_line(file))
    except (AccountInvalid, PasswordRefused) as error:
        key = "first_admin" if isinstance(error, AccountInvalid) else "first_admin_password_file"
        raise ConfigurationError([f"access.{key}: {error}"]) from None


def _first_line(file: Path) -> str:
    try:
        return file.read_text("utf-8").partition("\n")[0].removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise ConfigurationError([f"access.first_admin_password_file = {str(file)!r}: {reason}"]) from error


def announce(start: Start, settings: Settings, url: str) -> None:
    """Says who may do what, and how to change it, where there are no accounts."""
    access = settings.access
    if start.is_open and access.allow_anonymous:
        log.warning("no accounts and --allow-anonymous: everybody may push, pull and delete")
    elif start.is_open and access.setup:
        log.info("no accounts: nothing is served but the setup page, until it has made the first administrator")
    elif start.is_open:
        log.info("no accounts: every local client may push, pull and delete (--htpasswd FILE changes that)")
    if start.setup_token is not None:
        base = settings.server.public_url or _from_elsewhere(url)
        log.info("make the first administrator at %s/setup?token=%s", base, start.setup_token)


def _from_elsewhere(url: str) -> str:
    """Where a server listens on all addresses: by the name of its machine, as nobody can open `0.0.0.0`."""
    for everywhere in ("//0.0.0.0", "//[::]"):
        url = url.replace(everywhere, f"//{socket.gethostname()}")
    return url
