"""Settings of a directory that are each right alone and wrong together. Cheap: no library is needed for it."""

from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from pierhead.source_settings import LdapSettings


def contradictions(settings: LdapSettings) -> Iterator[tuple[str, str]]:
    """Each as the name of a setting and what is wrong with it."""
    plain = [url for url in settings.url if urlsplit(url).scheme == "ldap"]
    if settings.start_tls and len(plain) < len(settings.url):
        yield "start_tls", "ldaps:// is TLS from the start; write ldap:// for StartTLS"
    if not (settings.start_tls or settings.allow_plaintext) and any(not _of_this_machine(url) for url in plain):
        yield "url", "passwords would go over the network in the clear: use ldaps://, start_tls or allow_plaintext"
    if settings.ca_certificate is not None and not settings.verify:
        yield "ca_certificate", "is of no use where verify is false"
    if settings.bind_password is not None and settings.bind_password_file is not None:
        yield "bind_password_file", "bind_password is given too; one of them is enough"
    has_password = settings.bind_password is not None or settings.bind_password_file is not None
    if settings.bind_dn is not None and not has_password:
        # A directory takes a name without a password for nobody's, and says that all is well.
        yield "bind_dn", "needs bind_password or bind_password_file"
    if settings.bind_dn is None and has_password:
        name = "bind_password" if settings.bind_password is not None else "bind_password_file"
        yield name, "needs bind_dn, whose password it is"
    yield from _about_groups(settings)


def _about_groups(settings: LdapSettings) -> Iterator[tuple[str, str]]:
    if settings.group_base_dn is not None:
        return
    for name in ("group_filter", "admin_groups", "auditor_groups", "teams"):
        if getattr(settings, name):
            yield name, "needs group_base_dn, below which groups are looked for"


def _of_this_machine(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
