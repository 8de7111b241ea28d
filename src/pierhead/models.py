"""The words of the field as types: parsed once at the edge, then trusted everywhere.

No behaviour beyond parsing. Names, tags and digests are `str` to SQL and JSON, but a
raw `str` does not pass for one of them.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, Self

from pierhead.errors import DigestInvalid, RepositoryNameInvalid, TagInvalid

HEX_LENGTHS = {"sha256": 64, "sha512": 128}
NAME_MAX = 255

# distribution-spec 1.1.1, "Pulling manifests": grammar of <name> and of a tag.
_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
# image-spec 1.1, descriptor.md "Digests": the two registered algorithms, lower-case hex.
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


class RepositoryName(str):
    """A repository's whole name, such as `team/app`; at most 255 characters."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        if len(text) > NAME_MAX or not _NAME.fullmatch(text):
            raise RepositoryNameInvalid(text)
        return cls(text)

    @property
    def project(self) -> str:
        """The first segment; `app` alone is the root repository of project `app`."""
        return self.partition("/")[0]


class TagName(str):
    """A tag, at most 128 characters."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        if not _TAG.fullmatch(text):
            raise TagInvalid(text)
        return cls(text)


class Digest(str):
    """`<algorithm>:<hex>` of a registered algorithm (sha256, sha512)."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        if not _DIGEST.fullmatch(text):
            raise DigestInvalid(text)
        return cls(text)

    @property
    def algorithm(self) -> str:
        return self[:6]

    @property
    def hex(self) -> str:
        return self[7:]


def parse_reference(text: str) -> Digest | TagName:
    """A manifest's reference: a digest where it holds a colon, else a tag."""
    return Digest.parse(text) if ":" in text else TagName.parse(text)


def moment(microseconds: int) -> str:
    """A time of a row for people: RFC 3339, UTC, whole seconds."""
    return datetime.fromtimestamp(microseconds // 1_000_000, UTC).isoformat().replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, as events keep it."""

    name: str  # "anonymous" where nobody signed in
    credential: str = "none"  # the kind of proof: none, password, token …
    address: str = ""
    agent: str = ""
    request_id: str = ""
    id: int | None = None  # of its row, where it has one
    credential_id: int | None = None  # which of its tokens it signed in with
    founds: bool = False  # may push only because the project is not there yet, and is going to be his


@dataclass(frozen=True, slots=True)
class Place:
    """What a name leads to, as far as decisions need it."""

    name: RepositoryName  # as it is called now: it may have been asked for by a name that it had
    project_id: int | None = None
    repository_id: int | None = None
    public: bool = False  # everybody may pull
    since: int = 0  # when the project was made, microseconds since 1970

    @property
    def rest(self) -> str:
        """The name without its project; empty for the root repository."""
        return self.name.partition("/")[2]


@dataclass(frozen=True, slots=True)
class Visible:
    """Which repositories somebody sees: all, or what is public and what is his."""

    everything: bool = False
    projects: frozenset[int] = frozenset()  # whole ones
    patterns: tuple[tuple[int, str], ...] = ()  # ids of projects, with a pattern below each
    public: bool = True
    within: tuple[tuple[int, str], ...] | None = None  # and of all that, what is in here as well


EVERYTHING = Visible(everything=True)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """One entry of a manifest that points to other content (image-spec, descriptor.md)."""

    digest: Digest
    size: int  # bytes
    media_type: str
    kind: Literal["config", "layer", "blob", "manifest"]
    # Non-distributable layers may be absent from the registry.
    required: bool = True


@dataclass(frozen=True, slots=True)
class Manifest:
    """What listings and pulls need of a manifest; its bytes are apart."""

    digest: Digest
    media_type: str
    size: int  # bytes


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob that a repository holds."""

    digest: Digest
    size: int  # bytes
    key: str  # where its bytes are in the store, or `in_row` of its digest
    damage: str | None = None  # what was found wrong with them; such a blob is not served, and is pushed anew

    @property
    def inline(self) -> bool:
        """Whether its bytes are beside its row, as those of small blobs are."""
        return self.key == in_row(self.digest)


def in_row(digest: Digest) -> str:
    """The key of a blob whose bytes are beside its row."""
    return f"row:{digest}"


@dataclass(frozen=True, slots=True)
class Mark:
    """What a store knows by itself of a finished blob."""

    digest: Digest
    key: str


@dataclass(frozen=True, slots=True)
class Doomed:
    """Bytes that no row names any more, and that no row ever will."""

    key: str
    digest: Digest | None  # that they were of, where that is known


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an unfinished upload that an object store took."""

    number: int  # from 1; has one writer for ever
    size: int  # bytes
    tag: str  # what the store called it: completion names it, so that no other part can take its place


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload session as its row has it."""

    id: str  # in the shape of a UUID
    repository: RepositoryName
    algorithm: str
    offset: int  # bytes accepted
    epoch: int  # grows with every takeover; names the staged file
    state: bytes | None = field(default=None, repr=False)  # hash state at `offset`; None asks for a re-hash
    boot: str = ""  # boot id under which the staged bytes were written
    touched_at: int = 0  # microseconds since 1970, UTC, by the database's clock
    idle: int = field(default=0, compare=False)  # microseconds since then, when it was read
    digest: Digest | None = None  # set once finished
    saved: bool = True  # whether it has a row: a session gets one with its first bytes
    writer: str | None = None  # the request that writes now, where the store has no lock of its own
    notes: str | None = field(default=None, repr=False)  # what the store keeps of it, in its own words

    @property
    def cancelled(self) -> bool:
        return self.epoch < 0
