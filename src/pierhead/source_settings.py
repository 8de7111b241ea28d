"""Sources of accounts elsewhere: of each kind there may be several, told apart by their names."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from pierhead.setting_kinds import Allowed, FilePath, Names, Secret, Table, Texts, list_of_items

_LDAP_URL = re.compile(r"ldaps?://(\[[0-9a-f:]+\]|[a-z0-9._-]+)(:\d{1,5})?", re.ASCII | re.IGNORECASE)


def _ldap_url(value: str) -> str:
    trimmed = value.rstrip("/")
    if not _LDAP_URL.fullmatch(trimmed):
        raise ValueError
    return trimmed


def _filter(value: str) -> str:
    """Whether its parts are what a filter is made of is found out by the directory's library."""
    if not (value.startswith("(") and value.endswith(")") and value.isprintable()):
        raise ValueError
    return value


def _login_filter(value: str) -> str:
    if "{login}" not in value:
        raise ValueError
    return _filter(value)


def _group_filter(value: str) -> str:
    if "{dn}" not in value and "{name}" not in value:
        raise ValueError
    return _filter(value)


LdapUrl = Annotated[str, AfterValidator(_ldap_url)]
LdapUrls = Annotated[
    tuple[LdapUrl, ...],
    BeforeValidator(list_of_items),
    Field(min_length=1),
    Allowed("a list of servers of one directory, each ldap://HOST[:PORT] or ldaps://HOST[:PORT]"),
]
DistinguishedName = Annotated[
    str,
    StringConstraints(pattern=r"^[^=\x00-\x1f]+=[^\x00-\x1f]+$"),
    Allowed("a distinguished name, such as ou=people,dc=example,dc=org"),
]
Attribute = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,127}$"), Allowed("the name of an attribute, such as uid")
]
LoginFilter = Annotated[
    str, AfterValidator(_login_filter), Allowed("a filter with {login} in it, such as (uid={login})")
]
GroupFilter = Annotated[
    str, AfterValidator(_group_filter), Allowed("a filter with {dn} or {name} in it, such as (member={dn})")
]


class LdapSettings(Table):
    """Directories that know people and check their passwords, asked in this order; each table is one of them."""

    url: LdapUrls = Field(description="Its servers; one that does not answer is followed by the next.")
    start_tls: bool = Field(
        default=False, description="Change to TLS on an ldap:// connection, before anything is said."
    )
    ca_certificate: FilePath | None = Field(
        default=None, description="PEM file of the authorities that may vouch for it; unset: those of the system."
    )
    verify: bool = Field(
        default=True, description="false: any certificate is believed; for a try, never for a service."
    )
    allow_plaintext: bool = Field(
        default=False, description="Send passwords over ldap:// without TLS, and not to this machine only."
    )
    bind_dn: DistinguishedName | None = Field(
        default=None, description="Account that looks people up; unset: they are looked up without signing in."
    )
    bind_password: Secret | None = Field(default=None, description="The password of `bind_dn`.")
    bind_password_file: FilePath | None = Field(
        default=None, description="File whose first line it is; read at the start and at a reload."
    )
    base_dn: DistinguishedName = Field(description="People are looked for below this entry.")
    scope: Literal["subtree", "one"] = Field(default="subtree", description="one: only directly below it.")
    filter: LoginFilter = Field(
        default="(uid={login})",
        description="Finds the one entry of whom signs in, by their name and by what else they may type: {login}.",
    )
    name_attribute: Attribute = Field(default="uid", description="Holds the user's name here.")
    display_attribute: Attribute = Field(default="cn", description="Holds the name that people read.")
    email_attribute: Attribute = Field(default="mail", description="Holds the address of their mail.")
    subject_attribute: Attribute | None = Field(
        default=None,
        description="Holds what stays the same when somebody is renamed; unset: entryUUID, objectGUID, nsUniqueId or "
        "ipaUniqueID, whichever the entry has, and else its distinguished name.",
    )
    group_base_dn: DistinguishedName | None = Field(
        default=None, description="Groups are looked for below this entry; unset: groups are not asked for."
    )
    group_filter: GroupFilter | None = Field(
        default=None,
        description="Finds the groups of somebody; {dn} is their entry or, with follow, that of a group, {name} their "
        "name. Unset: (|(member={dn})(uniqueMember={dn})(memberUid={name})), and with chain "
        "(member:1.2.840.113556.1.4.1941:={dn}).",
    )
    group_name_attribute: Attribute = Field(
        default="cn", description="Holds the name of a group; dn: its distinguished name is its name."
    )
    nested_groups: Literal["none", "follow", "chain"] = Field(
        default="none",
        description="Groups in groups; follow: level by level, chain: by one search that Active Directory follows.",
    )
    nested_depth: int = Field(default=8, ge=1, le=64, description="Levels that follow goes up.")
    groups_max: int = Field(
        default=1000, ge=1, le=10_000, description="Who is in more groups than this cannot sign in."
    )
    admin_groups: Texts = Field(default=(), description="Groups whose members administer the registry.")
    auditor_groups: Texts = Field(default=(), description="Groups whose members read everything and change nothing.")
    teams: Names = Field(default={}, description="Which team a group's members belong to.")
    recheck_minutes: float = Field(
        default=60,
        ge=0,
        le=60 * 24 * 30,
        description="Who signed in once is looked up again so often: whom it knows no more is suspended. 0: never.",
    )
    leavers_share: float = Field(
        default=0.2,
        gt=0,
        le=1,
        description="Where it knows more than this part of them no more at once, and 5 at least, nobody is suspended.",
    )
    connect_seconds: float = Field(
        default=3, ge=0.1, le=60, description="A connection to an address, and TLS on it, must be made within so long."
    )
    operation_seconds: float = Field(
        default=5, ge=0.1, le=300, description="A search or a check of a password may take so long."
    )
    total_seconds: float = Field(
        default=15, ge=0.1, le=600, description="All that a sign-in needs, also other servers, may take so long."
    )
    retry_seconds: float = Field(
        default=30, ge=0.1, le=3600, description="A server that failed is not asked again for so long."
    )
    pool_size: int = Field(
        default=4, ge=1, le=64, description="Sign-ins checked at once, per worker; each with up to two connections."
    )
    queue: int = Field(
        default=64,
        ge=0,
        le=10_000,
        description="Sign-ins that may wait, per worker; for more the directory is not there.",
    )
    idle_seconds: float = Field(
        default=60, ge=0, le=3600, description="An unused connection is kept for so long; 0: none is kept."
    )
