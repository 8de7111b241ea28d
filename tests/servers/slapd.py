"""OpenLDAP's server with a small company in it, over LDAP, StartTLS and LDAPS."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import components
from tests.running import free_port
from tests.servers import process

PEOPLE = "ou=people,dc=example,dc=org"
GROUPS = "ou=groups,dc=example,dc=org"
READER = "cn=reader,dc=example,dc=org"
READER_PASSWORD = "reads people"

_CONFIGURATION = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
modulepath /usr/lib/ldap
moduleload back_mdb
loglevel stats
pidfile {folder}/slapd.pid
{tls}
database mdb
suffix dc=example,dc=org
directory {folder}/data
maxsize 33554432
dbnosync
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="cn=reader,dc=example,dc=org" read by * none
"""

_TLS = """\
TLSCACertificateFile {folder}/tls/ca.pem
TLSCertificateFile {folder}/tls/server.pem
TLSCertificateKeyFile {folder}/tls/server.key
TLSVerifyClient never
"""

_ADMINISTRATOR = "rootdn cn=admin,dc=example,dc=org\nrootpw admin\n"

_COMPANY = """\
dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: cn=reader,dc=example,dc=org
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: reader
userPassword: reads people

dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people

dn: ou=groups,dc=example,dc=org
objectClass: organizationalUnit
ou: groups
"""


@dataclass(frozen=True, slots=True)
class Server:
    port: int
    tls_port: int
    authority: Path  # the certificate of who vouches for it
    stranger: Path  # that of somebody else
    log: Path

    @property
    def plain(self) -> str:
        return f"ldap://localhost:{self.port}"

    @property
    def tls(self) -> str:
        return f"ldaps://localhost:{self.tls_port}"

    def add(self, ldif: str) -> None:
        """Entries, as LDIF. The server's own administrator adds them, by way of its database."""
        self._client("ldapadd", ldif)

    def modify(self, ldif: str) -> None:
        self._client("ldapmodify", ldif)

    def remove(self, dn: str) -> None:
        self._client("ldapmodify", f"dn: {dn}\nchangetype: delete\n", "-M")

    def lines(self, containing: str) -> list[str]:
        """Of its log, which has a line for each connection and each operation."""
        return [line for line in self.log.read_text(errors="replace").splitlines() if containing in line]

    def _client(self, program: str, ldif: str, *options: str) -> None:
        administrator = ["-x", "-D", "cn=admin,dc=example,dc=org", "-w", "admin"]
        command = [str(components.require(program)), "-H", f"ldap://localhost:{self.port}", *administrator, *options]
        ran = subprocess.run(command, input=ldif, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr


@contextmanager
def slapd(*, tls: bool = True, port: int | None = None) -> Iterator[Server]:
    """Without `tls` it knows neither StartTLS nor LDAPS. The port is a free one where none is given."""
    with process.scratch("slapd") as folder:
        files = folder / "tls"
        server = Server(port or free_port(), free_port(), files / "ca.pem", files / "stranger.pem", folder / "log")
        _certificates(files)
        program, configuration = _prepared(folder, _TLS.format(folder=folder) if tls else "")
        addresses = f"ldap://localhost:{server.port}/"
        if tls:
            addresses += f" ldaps://localhost:{server.tls_port}/"
        command: list[str | Path] = [program, "-f", configuration, "-h", addresses, "-d", "stats"]
        with process.running(command, folder, lambda: process.accepts(server.tls_port if tls else server.port)):
            yield server


def _prepared(folder: Path, tls: str) -> tuple[Path, Path]:
    """The program, and a configuration with a database in which the company is."""
    # Debian's AppArmor profile goes by the path, and keeps that program to the system's own directory.
    for name in ("slapd", "slapadd"):
        shutil.copy(components.require("slapd"), folder / name)
    configuration, company = folder / "slapd.conf", folder / "company.ldif"
    configuration.write_text(_CONFIGURATION.format(folder=folder, tls=tls) + _ADMINISTRATOR)
    company.write_text(_COMPANY)
    (folder / "data").mkdir()
    _run([str(folder / "slapadd"), "-q", "-f", str(configuration), "-l", str(company)])
    return folder / "slapd", configuration


def _certificates(folder: Path) -> None:
    """Of two authorities, and one for localhost by the first."""
    folder.mkdir()
    openssl = str(components.require("openssl"))
    new = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    for name in ("ca", "stranger"):
        _run([*new, "-subj", f"/CN={name}", "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem"])
    signed = ["-CA", f"{folder}/ca.pem", "-CAkey", f"{folder}/ca.key"]
    extensions = ["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"]
    files = ["-keyout", f"{folder}/server.key", "-out", f"{folder}/server.pem"]
    _run([*new, "-subj", "/CN=localhost", *extensions, *signed, *files])


def _run(command: list[str]) -> None:
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
