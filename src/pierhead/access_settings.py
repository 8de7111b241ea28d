"""Settings of who may come in, what he may do, and what is told of it."""

from typing import Annotated, Literal

from pydantic import Field

from pierhead.setting_kinds import (
    Allowed,
    FilePath,
    HeaderName,
    Section,
    ServiceName,
    SyslogUrl,
    Text,
    Texts,
)

RoleName = Annotated[Literal["reader", "writer", "maintainer", "admin"], Allowed("reader, writer, maintainer or admin")]


class AccessSettings(Section):
    """Who may come in."""

    htpasswd: FilePath | None = Field(
        default=None, description="File of accounts as `htpasswd` writes it; re-read on change."
    )
    allow_anonymous: bool = Field(
        default=False,
        description="Without accounts: everybody may do everything, from anywhere. "
        "With accounts: everybody may pull everything.",
    )
    setup: bool = Field(
        default=False,
        description="Without accounts: serve nothing but the page that makes the first administrator, from anywhere. "
        "Its address is printed at the start.",
    )
    first_admin: Text | None = Field(
        default=None, description="An administrator of this name is made at the start, where there are no users yet."
    )
    first_admin_password_file: FilePath | None = Field(
        default=None, description="File whose first line is their password; read only when they are made."
    )
    verified_seconds: float = Field(
        default=300, ge=0, le=86400, description="A verified password is not hashed again for so long."
    )
    verified_entries: int = Field(
        default=10_000, ge=16, le=1_000_000, description="Verified passwords remembered per worker."
    )
    hash_concurrency: int = Field(default=2, ge=1, le=64, description="Password hashes computed at once per worker.")
    hash_queue: int = Field(
        default=64, ge=1, le=10_000, description="Password checks that may wait per worker; more get 429."
    )
    wrong_passwords: int = Field(
        default=5,
        ge=0,
        le=1000,
        description="After so many wrong passwords for a name from an address, the next one has to wait; 0: never.",
    )
    longest_wait_seconds: float = Field(
        default=900, ge=1, le=86400, description="The wait doubles with each wrong password, up to so long."
    )


class HtpasswdSettings(Section):
    """What the users of the htpasswd file may do."""

    role: RoleName = Field(default="maintainer", description="The role that each of them has, everywhere.")
    admins: Texts = Field(default=(), description="Those who are administrators of the system.")


class PasswordSettings(Section):
    """Passwords of local accounts."""

    min_length: int = Field(default=10, ge=1, le=128, description="The fewest characters that a password has.")


class ProjectSettings(Section):
    """Projects: what a repository's name begins with."""

    create: Annotated[Literal["users", "granted"], Allowed("users or granted")] = Field(
        default="users",
        description="Who may make a project, by pushing to it too: every user, or who holds the verb project.create.",
    )
    personal: bool = Field(
        default=False, description="Give each user a project of his own name, where no other one has it."
    )


class CertificateSettings(Section):
    """Client certificates, as a trusted proxy passes them on."""

    header: HeaderName | None = Field(
        default=None,
        description="The header in which the proxies of server.trusted_proxies pass a client's verified certificate, "
        "as PEM in percent-encoding. They must set it on each request, also where there is none.",
    )
    name: Annotated[Literal["cn", "dns", "email", "uri"], Allowed("cn, dns, email or uri")] = Field(
        default="cn",
        description="Which part of it is the name: the subject's common name, or its only alternative name of a kind.",
    )


class LimitSettings(Section):
    """How many requests somebody may make, in each worker; more get 429."""

    account_rate: float = Field(
        default=0, ge=0, le=1_000_000, description="Requests a second of one account, in the long run; 0: no limit."
    )
    account_burst: int = Field(default=1000, ge=1, le=1_000_000, description="Requests of one account at once.")
    address_rate: float = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="Requests a second from one address that nobody signed in for, in the long run; 0: no limit.",
    )
    address_burst: int = Field(default=1000, ge=1, le=1_000_000, description="Such requests at once.")


class TokenSettings(Section):
    """Tokens: those that clients are given at /token, personal ones, and those of robots."""

    service: ServiceName = Field(
        default="pierhead",
        description="What the registry is called in them: their issuer and their audience, and the service of the "
        "challenge.",
    )
    life_seconds: int = Field(
        default=900,
        ge=60,
        le=86400,
        description="A bearer token is good for so long. What may be done with it is decided at each request.",
    )
    leeway_seconds: float = Field(
        default=5, ge=0, le=300, description="A bearer token may begin so much later than it is now."
    )
    max_scopes: int = Field(
        default=50, ge=1, le=256, description="Scopes that a client may ask for at once; more get 400."
    )
    key_days: float = Field(default=30, ge=0.1, le=3660, description="A key signs tokens for so long, then the next.")
    verified_entries: int = Field(
        default=10_000, ge=16, le=1_000_000, description="Verified bearer tokens remembered per worker."
    )
    refresh_days: float = Field(
        default=90,
        ge=0,
        le=3660,
        description="A refresh token that is not used for so long ends; 0: none are given, and clients keep passwords.",
    )
    max_refresh: int = Field(
        default=100,
        ge=1,
        le=100_000,
        description="Refresh tokens of one account; with one more, the one that was not used for longest ends.",
    )
    personal_days: float = Field(
        default=0, ge=0, le=3660, description="The longest that a personal token lasts; 0: as long as its owner wants."
    )
    robot_days: float = Field(
        default=0, ge=0, le=3660, description="The longest that a secret of a robot lasts; 0: as long as asked for."
    )
    max_personal: int = Field(default=100, ge=1, le=100_000, description="Personal tokens that a user may have.")
    max_robot: int = Field(default=20, ge=1, le=1000, description="Secrets that a robot may have at once.")


class AuditSettings(Section):
    """What happened, who did it, and proving that nobody changed what is told of it."""

    pulls: Literal["none", "sampled", "all"] = Field(
        default="none", description="Pulls of manifests that become events; changes and sign-ins always do."
    )
    pull_sample: float = Field(default=0.01, gt=0, le=1, description="With sampled: this part of the pulls.")
    pulls_of_blobs: bool = Field(default=False, description="Whether pulls of blobs become events too.")
    buffer_events: int = Field(
        default=10_000,
        ge=100,
        le=1_000_000,
        description="Pulls, sign-ins and refusals that wait to be written, per worker; more are dropped and counted.",
    )
    refusals_per_minute: int = Field(
        default=120,
        ge=1,
        le=100_000,
        description="Refusals told one by one in a minute, per worker; what comes beyond them is one event.",
    )
    keep_days: float = Field(
        default=0,
        ge=0,
        le=36600,
        description="Events go after so long, but for those that history and the trash need; 0: they stay.",
    )
    head_seconds: float = Field(
        default=60, ge=1, le=86400, description="How often it is signed how far the chain of events goes."
    )
    heads_file: FilePath | None = Field(
        default=None, description="File that gets what was signed, a line each; keep it where the database is not."
    )
    file: FilePath | None = Field(default=None, description="File that gets all events, a line of JSON each.")
    syslog: SyslogUrl | None = Field(
        default=None, description="Syslog server that gets all events and what was signed."
    )
    syslog_ca: FilePath | None = Field(
        default=None, description="PEM file of the authorities that a tls:// server is trusted by; unset: the system's."
    )


class PageSettings(Section):
    """The pages for people."""

    enabled: bool = Field(default=True, description="Whether there are any; without them people use the command line.")
    session_idle_hours: float = Field(
        default=24, ge=0.01, le=24 * 90, description="Who does nothing for so long has to sign in again."
    )
    session_hours: float = Field(
        default=24 * 7, ge=0.01, le=24 * 365, description="And so does everybody, so long after signing in."
    )
    sign_in_rate: float = Field(
        default=1,
        ge=0,
        le=10_000,
        description="Attempts to sign in, a second and in the long run, that each worker takes from an address; "
        "0: no limit.",
    )
    sign_in_burst: int = Field(default=20, ge=1, le=100_000, description="Such attempts at once.")
