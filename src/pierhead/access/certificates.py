"""Client certificates, as a trusted proxy passes them on: it has asked for them and looked at who signed them.

nginx: `proxy_set_header X-Client-Certificate $ssl_client_escaped_cert`, with `ssl_verify_client`. A proxy must set the
header on each request, to nothing where there is no certificate, so that no client can bring one of its own. The server
that Pierhead runs on does not hand the peer's certificate over, so there is no other way in.
"""

# ruff: noqa: PLC0415  the library is imported by the first certificate

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from pierhead.access.sources import Identity
from pierhead.access_settings import CertificateSettings
from pierhead.errors import Unauthenticated

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

SOURCE = "certificate"
_LONGEST = 16 * 1024  # bytes
_NAME_MAX = 255


class Certificates:
    def __init__(self, settings: CertificateSettings) -> None:
        self.header = settings.header.lower().encode("ascii") if settings.header else None
        self._field = settings.name
        self._read = lru_cache(maxsize=1024)(self._read_one)

    def identify(self, header: bytes) -> Identity | None:
        """Who a certificate names; None where the header says that there is none. Raises Unauthenticated."""
        if not header.strip(b" -"):
            return None
        if len(header) > _LONGEST:
            raise Unauthenticated("the client certificate is too long")
        name, ends = self._read(header)
        if ends < datetime.now(UTC):
            raise Unauthenticated("the client certificate has expired")
        return Identity(SOURCE, name, name)

    def _read_one(self, header: bytes) -> tuple[str, datetime]:
        from cryptography import x509

        try:
            certificate = x509.load_pem_x509_certificate(unquote_to_bytes(header))
            name = self._name(certificate)
        except ValueError as error:
            raise Unauthenticated("the client certificate cannot be read") from error
        if not name or not name.isprintable() or len(name) > _NAME_MAX:
            raise Unauthenticated(f"the client certificate has no {self._field} that is a name")
        return name, certificate.not_valid_after_utc

    def _name(self, certificate: "Certificate") -> str:
        """Raises ValueError where the certificate is malformed."""
        from cryptography import x509
        from cryptography.x509.oid import NameOID

        if self._field == "cn":
            found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
            return str(found[0].value) if len(found) == 1 else ""
        try:
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return ""
        kinds: dict[str, type[x509.GeneralName]] = {
            "dns": x509.DNSName, "email": x509.RFC822Name, "uri": x509.UniformResourceIdentifier
        }  # fmt: skip
        told = [str(one.value) for one in names if isinstance(one, kinds[self._field])]
        return told[0] if len(told) == 1 else ""
