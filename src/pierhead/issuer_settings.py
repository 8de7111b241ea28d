"""Settings of issuers of OpenID Connect, by whose word people and machines sign in, and of asking other servers."""

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from pierhead.addresses import is_usable
from pierhead.setting_kinds import (
    KIB,
    MIB,
    Allowed,
    Bytes,
    FilePath,
    Names,
    Networks,
    Secret,
    Section,
    Table,
    Text,
    Texts,
    list_of_items,
)

# What the sign-in itself puts there, or what would make the answer come in another way than it is awaited.
_OWN_PARAMETERS = frozenset(
    (
        *("client_id", "client_secret", "redirect_uri", "response_mode", "response_type", "scope"),
        *("code_challenge", "code_challenge_method", "nonce", "request", "request_uri", "state"),
    )
)
_SCOPE = re.compile(r"[!#-\[\]-~]+", re.ASCII)


def _url(value: str) -> str:
    # A query or a trailing slash too many would make it another issuer than the one whose tokens come.
    if not is_usable(value) or "?" in value:
        raise ValueError
    return value


def _scopes(value: tuple[str, ...]) -> tuple[str, ...]:
    if "openid" not in value or not all(map(_SCOPE.fullmatch, value)):
        raise ValueError
    return value


def _parameters(value: dict[str, str]) -> dict[str, str]:
    if _OWN_PARAMETERS & value.keys():
        raise ValueError
    return value


HttpsUrl = Annotated[str, AfterValidator(_url), Allowed("https://HOST[:PORT][/PATH]; http:// on this machine only")]
Scopes = Annotated[
    tuple[str, ...],
    BeforeValidator(list_of_items),
    AfterValidator(_scopes),
    Allowed("a list of scopes, openid among them"),
]
Parameters = Annotated[
    Names, AfterValidator(_parameters), Allowed('a table such as {prompt = "login"}, without what the sign-in sets')
]


class OutboundSettings(Section):
    """Requests of the registry to other servers."""

    private_networks: Networks = Field(
        default=(),
        description="Networks that may be asked although they are not public, and no operator named the address.",
    )
    connect_seconds: float = Field(default=5, ge=0.1, le=60, description="A connection must be open after so long.")
    seconds: float = Field(default=10, ge=0.1, le=300, description="A whole answer must be there after so long.")
    max_bytes: Bytes = Field(default=MIB, ge=16 * KIB, le=64 * MIB, description="Longest answer, in bytes.")


class IssuerSettings(Section):
    """Whoever signs tokens by which people and machines come in: how often they are asked, and how long believed."""

    refresh_seconds: float = Field(
        default=3600, ge=10, le=86400, description="An issuer is asked for its keys again after so long."
    )
    unknown_key_seconds: float = Field(
        default=30,
        ge=0.1,
        le=3600,
        description="And earlier, for a token of a key that is not known, but so often at most.",
    )
    retry_seconds: float = Field(
        default=5, ge=0.1, le=3600, description="An issuer that did not answer is left alone for so long."
    )
    keep_hours: float = Field(
        default=24, ge=0.1, le=24 * 30, description="The keys of one that does not answer count for so long."
    )
    leeway_seconds: float = Field(
        default=30, ge=0, le=300, description="So far may the clocks of an issuer and of the registry lie apart."
    )
    sign_in_seconds: int = Field(
        default=600, ge=30, le=3600, description="A sign-in in the browser must be complete so long after its begin."
    )
    max_token_bytes: Bytes = Field(
        default=16 * KIB, ge=2 * KIB, le=256 * KIB, description="Longest token of an issuer, in bytes."
    )
    others_max: int = Field(
        default=256,
        ge=1,
        le=100_000,
        description="Issuers remembered per worker beside those of the configuration; then one unused for long goes.",
    )


class OidcSettings(Table):
    """Issuers by whose word people sign in to the pages, offered in this order; each table is one of them."""

    issuer: HttpsUrl = Field(description="The issuer, exactly as it calls itself.")
    client_id: Text = Field(description="What the issuer calls this registry.")
    client_secret: Secret | None = Field(
        default=None, description="What the registry proves itself with; unset: by PKCE alone, as a public client."
    )
    client_secret_file: FilePath | None = Field(
        default=None, description="File whose first line it is; read at each sign-in."
    )
    ca_certificate: FilePath | None = Field(
        default=None, description="PEM file of the authorities that may vouch for it; unset: those of the system."
    )
    label: Text | None = Field(default=None, description="What the button of the sign-in page says; unset: the name.")
    scopes: Scopes = Field(
        default=("openid", "profile", "email"), description="What is asked for; many issuers tell groups for one more."
    )
    authorize_parameters: Parameters = Field(default={}, description="Parameters that the issuer is sent besides.")
    audiences: Texts = Field(
        default=(), description="Others that its tokens may be meant for beside this registry; all else is refused."
    )
    name_claim: Text = Field(default="preferred_username", description="Holds the user's name here.")
    display_claim: Text = Field(default="name", description="Holds the name that people read.")
    email_claim: Text = Field(
        default="email", description="Holds the address of their mail; one that is not verified is left out."
    )
    groups_claim: Text | None = Field(
        default=None, description="Holds the groups; a dot leads into a table. Unset: no groups are looked for."
    )
    groups: Texts = Field(
        default=(), description="Patterns of the groups that are taken over, such as registry-*; empty: all."
    )
    groups_max: int = Field(
        default=1000, ge=1, le=100_000, description="Who is in more groups than this cannot sign in."
    )
    required_groups: Texts = Field(
        default=(),
        description="Only members of one of these groups may sign in; empty: everybody whom the issuer knows.",
    )
    admin_groups: Texts = Field(default=(), description="Groups whose members administer the registry.")
    auditor_groups: Texts = Field(default=(), description="Groups whose members read everything and change nothing.")
    teams: Names = Field(default={}, description="Which team a group's members belong to.")
    onboarding: bool = Field(
        default=True, description="Whether somebody new gets an account by signing in; false: only who has one may."
    )
    renew_days: int = Field(
        default=0,
        ge=0,
        le=3650,
        description="Whoever did not sign in at the pages for so long has to before tokens count again; 0: never.",
    )


class KeylessSettings(Table):
    """Workflows that sign in with a token of their own issuer, and no secret of this registry; each table is a rule."""

    issuer: HttpsUrl = Field(description="The issuer, exactly as its tokens name it.")
    audience: Text = Field(description="What the token must be meant for (aud): an address of this registry, best.")
    claims: Names = Field(
        min_length=1,
        description="What else the token must say: a value for each claim. * stands for anything but / and :, ** for "
        "anything; a dot leads into a table.",
    )
    role: Text = Field(description="What it is then: reader, writer, maintainer, admin, or a role of your own.")
    scope: Text = Field(description="And where: a project, PROJECT/PATTERN such as team/web/**, or * for everywhere.")
    ca_certificate: FilePath | None = Field(
        default=None,
        description="PEM file of the authorities that may vouch for the issuer; unset: those of the system.",
    )
    jwks_file: FilePath | None = Field(
        default=None, description="File of its keys (a JWK set), where it cannot be asked; re-read as it would be."
    )
    jwks_url: HttpsUrl | None = Field(
        default=None, description="Address of its keys, where its discovery document cannot be asked."
    )
    token_file: FilePath | None = Field(
        default=None, description="File of a bearer token that it wants to see before it tells its keys."
    )
