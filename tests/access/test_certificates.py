"""Client certificates that a proxy passes on."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from pierhead.access.certificates import Certificates
from pierhead.access.sources import Identity
from pierhead.access_settings import CertificateSettings
from pierhead.errors import Unauthenticated

NAMES = [x509.DNSName("node-7.example.org"), x509.RFC822Name("alice@example.org"),
         x509.UniformResourceIdentifier("spiffe://example.org/ci")]  # fmt: skip


def certificate(common: str = "alice", *names: x509.GeneralName, days: float = 1) -> bytes:
    key = Ed25519PrivateKey.generate()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(days=10))
        .not_valid_after(now + timedelta(days=days))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    pem = builder.sign(key, None).public_bytes(serialization.Encoding.PEM)
    return quote(pem).encode()


def reader(name: str = "cn") -> Certificates:
    return Certificates(CertificateSettings.model_validate({"header": "X-Client-Certificate", "name": name}))


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("cn", "alice"),
        ("dns", "node-7.example.org"),
        ("email", "alice@example.org"),
        ("uri", "spiffe://example.org/ci"),
    ],
)
def test_the_chosen_part_of_a_certificate_is_the_name(field: str, name: str) -> None:
    assert reader(field).identify(certificate("alice", *NAMES)) == Identity("certificate", name, name)


@pytest.mark.parametrize("header", [b"", b"  ", b"-"])
def test_a_proxy_may_say_that_there_is_none(header: bytes) -> None:
    assert reader().identify(header) is None


def test_one_that_has_expired_or_is_none_lets_nobody_in() -> None:
    with pytest.raises(Unauthenticated, match="expired"):
        reader().identify(certificate(days=-1))
    for header in (b"nonsense", b"%2", b"-----BEGIN CERTIFICATE-----", b"A" * 20_000, certificate()[:-200]):
        with pytest.raises(Unauthenticated):
            reader().identify(header)


def test_one_without_that_name_or_with_two_lets_nobody_in() -> None:
    two = [x509.DNSName("a.example.org"), x509.DNSName("b.example.org")]
    for field, header in (
        ("email", certificate()),
        ("dns", certificate("alice", *two)),
        ("cn", certificate("\x1b[2J")),
    ):
        with pytest.raises(Unauthenticated, match="no "):
            reader(field).identify(header)
