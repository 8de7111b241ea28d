"""What a setting may be: each kind with how it is read, and how a refusal names it. And what a section is."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, StringConstraints

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

_UNITS = {"": 1, "KIB": KIB, "MIB": MIB, "GIB": GIB, "TIB": 1024 * GIB}
_SIZE = re.compile(r"(\d{1,18}) ?([KMGT]iB)?", re.ASCII | re.IGNORECASE)
_SERVICE = re.compile(r"[A-Za-z0-9._:-]{1,255}", re.ASCII)
_SYSLOG_URL = re.compile(r"(udp|tcp|tls)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?|unix:///[!-~]+", re.ASCII)
_PUBLIC_URL = re.compile(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?", re.ASCII | re.IGNORECASE)

# A / ? or # of a password that is not written as %2F would end it early, and be told as part of a port.
_HOST = r"(\[[0-9a-f:.%]+\]|[^\[\]:,/?#@\s]*)(:\d{1,5})?"
_DATABASE_URL = re.compile(rf"postgres(ql)?://([^/?#]*@)?{_HOST}(,{_HOST})*([/?].*)?", re.ASCII | re.IGNORECASE)

# Without user:password@: a secret does not belong into a URL.
_STORAGE_URL = re.compile(
    r"(s3|gs|az)://[A-Za-z0-9][A-Za-z0-9._-]{0,254}(/[A-Za-z0-9._/-]*)?(\?[!-~]*)?|file:///.+", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a field takes, for the message that refuses something else."""

    text: str


def _size(value: object) -> object:
    matched = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    return int(matched[1]) * _UNITS[(matched[2] or "").upper()] if matched else value


def _network(value: object) -> IPv4Network | IPv6Network:
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    return ip_network(str(value).strip(), strict=False)


def list_of_items(value: object) -> object:
    """Comma-separated text (an environment variable, a flag) is a list too."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _pairs(value: object) -> object:
    """`there=here, more=less` is a table too. A text that holds a comma or an = can be written in the file only."""
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in value.split(",") if part.strip()]
    return {there.strip(): here.strip() for there, _, here in pairs}


def _public_url(value: str) -> str:
    trimmed = value.rstrip("/")
    if not _PUBLIC_URL.fullmatch(trimmed):
        raise ValueError
    return trimmed


def _database_url(value: SecretStr) -> SecretStr:
    if not _DATABASE_URL.fullmatch(value.get_secret_value()):
        raise ValueError
    return value


def _syslog_url(value: str) -> str:
    if not _SYSLOG_URL.fullmatch(value):
        raise ValueError
    return value


def _storage_url(value: str) -> str:
    if not _STORAGE_URL.fullmatch(value):
        raise ValueError
    return value


def _printable(value: str) -> str:
    if not value or not value.isprintable() or " " in value:
        raise ValueError
    return value


def _service(value: str) -> str:
    if not _SERVICE.fullmatch(value):
        raise ValueError
    return value


def _file(value: object) -> object:
    if value == "":
        raise ValueError
    return value


def _one_line(value: str) -> str:
    if not value or not value.isprintable():
        raise ValueError
    return value


Bytes = Annotated[int, BeforeValidator(_size), Allowed("a number of bytes, such as 65536 or 4MiB,")]
Host = Annotated[str, AfterValidator(_printable), Allowed("an address or a host name")]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$"), Allowed("the name of a header")]
ServiceName = Annotated[str, AfterValidator(_service), Allowed("letters, digits and . : _ -, at most 255,")]
FilePath = Annotated[Path, BeforeValidator(_file), Allowed("the path of a file")]
Folder = Annotated[Path, BeforeValidator(_file), Allowed("the path of a directory")]
PublicUrl = Annotated[str, AfterValidator(_public_url), Allowed("http://HOST[:PORT] or https://HOST[:PORT], no path")]
Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)]
Networks = Annotated[
    tuple[Network, ...], BeforeValidator(list_of_items), Allowed("a list of addresses or networks, such as 10.0.0.0/8")
]
Patterns = Annotated[
    tuple[str, ...], BeforeValidator(list_of_items), Allowed("a list of patterns, such as Docker-Client/17.*")
]
DatabaseUrl = Annotated[
    SecretStr, AfterValidator(_database_url), Allowed("postgresql://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE")
]
StorageUrl = Annotated[
    str,
    AfterValidator(_storage_url),
    Allowed("s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX, each with ?OPTIONS, or file:///PATH"),
]
SyslogUrl = Annotated[
    str,
    AfterValidator(_syslog_url),
    Allowed("udp://HOST[:PORT], tcp://HOST[:PORT], tls://HOST[:PORT] or unix:///PATH"),
]
Origin = Annotated[str, AfterValidator(lambda text: text if text == "*" else _public_url(text))]
Origins = Annotated[
    tuple[Origin, ...],
    BeforeValidator(list_of_items),
    Allowed('a list of origins, such as https://ui.example.org, or "*"'),
]
TableName = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$"),
    Allowed("a name of lower-case letters, digits and - between them, at most 32"),
]
Text = Annotated[str, AfterValidator(_one_line), Allowed("a text of one line")]
Texts = Annotated[tuple[Text, ...], BeforeValidator(list_of_items), Allowed("a list of texts")]
Secret = Annotated[SecretStr, Field(min_length=1), Allowed("a secret that is not empty")]
Names = Annotated[Mapping[Text, Text], BeforeValidator(_pairs), Allowed('a table of texts, such as {there = "here"}')]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False)


class Table(Section):
    """One of several of its kind, `[[kind]]` in the file: told apart, and reached from the environment, by its name."""

    name: TableName = Field(description="Its name, unlike that of the others.")
