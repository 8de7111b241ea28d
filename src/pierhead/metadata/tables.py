"""The rows that make up a registry, table by table, for whoever copies them into another one.

What is not copied belongs to one installation: sessions and what they staged, keys that its own store
is to remove, the secret that seals the ids of sessions, its jobs.
"""

from dataclasses import dataclass

from pierhead.metadata.database import Row

Key = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Table:
    name: str
    key: tuple[str, ...]
    rest: tuple[str, ...]
    identity: tuple[str, ...] = ()  # of the rest: what a row is, should its id be given again
    own: tuple[str, ...] = ()  # of the rest: each registry has its own, so they are neither compared nor replaced
    name_column: str | None = None  # of the rest: what one row may have and another one had before

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.key, *self.rest)

    @property
    def compared(self) -> tuple[str, ...]:
        return tuple(column for column in self.columns if column not in self.own)

    def key_of(self, row: Row) -> Key:
        return tuple(row[: len(self.key)])


# A row refers to rows of tables before its own.
TABLES = (
    Table(
        "principals",
        ("id",),
        (
            "kind",
            "name",
            "source",
            "subject",
            "project_id",
            "display",
            "email",
            "groups",
            "made_at",
            "seen_at",
            "disabled_at",
            "gone_at",
        ),
        name_column="name",
    ),
    Table(
        "projects",
        ("id",),
        ("name", "created_at", "trash_id", "trash_seconds", "visibility", "owner_id"),
        name_column="name",
    ),
    Table("repositories", ("id",), ("project_id", "name", "created_at", "trash_id", "visibility"), name_column="name"),
    Table("project_aliases", ("name",), ("project_id", "made_at")),
    Table("repository_aliases", ("name",), ("repository_id", "made_at")),
    Table("passwords", ("principal_id",), ("hashed", "version", "changed_at")),
    Table("second_factors", ("principal_id",), ("secret", "proven_at", "used_step")),
    Table("recovery_codes", ("principal_id", "hashed"), ("made_at",)),
    Table("memberships", ("team_id", "member_id"), ("made_at",)),
    Table("roles", ("name",), ("verbs",)),
    Table("grants", ("id",), ("principal_id", "role", "project_id", "pattern", "made_at", "actor")),
    Table(
        "tokens",
        ("id",),
        (
            "kind",
            "principal_id",
            "name",
            "hashed",
            "verbs",
            "places",
            "proof",
            "made_at",
            "expires_at",
            "revoked_at",
            "used_at",
            "used_from",
        ),
    ),
    Table("signing_keys", ("kid",), ("algorithm", "private", "made_at", "signs_from", "ends_at")),
    Table(
        "trash",
        ("id",),
        ("kind", "project_id", "repository_id", "name", "tag", "digest", "deleted_at", "goes_at", "actor"),
    ),
    Table("blobs", ("digest",), ("size", "key", "created_at", "damage"), own=("key", "damage")),
    Table("blob_contents", ("digest",), ("content",)),
    Table("repository_blobs", ("repository_id", "digest"), ("created_at",)),
    Table("unreferenced_blobs", ("repository_id", "digest"), ("since", "leased_until")),
    Table("manifest_contents", ("digest",), ("content",)),
    Table(
        "manifests",
        ("id",),
        (
            "repository_id",
            "digest",
            "media_type",
            "size",
            "subject",
            "artifact_type",
            "annotations",
            "pushed_at",
            "trash_id",
            "untagged_at",
        ),
        identity=("repository_id", "digest"),
    ),
    Table("manifest_references", ("manifest_id", "digest"), ("kind",)),
    Table("tags", ("repository_id", "name"), ("manifest_id", "moved_at")),
    Table("trash_tags", ("trash_id", "name"), ("repository_id", "manifest_id")),
    Table(
        "pins",
        ("id",),
        ("repository_id", "tag", "digest", "reason", "actor", "made_at", "until"),
    ),
    Table(
        "events",
        ("id",),
        (
            "at",
            "action",
            "repository_id",
            "tag",
            "before",
            "after",
            "actor",
            "credential",
            "address",
            "agent",
            "request_id",
            "reason",
            "project_id",
            "subject",
            "outcome",
            "credential_id",
            "details",
            "sequence",
            "seal",
        ),
    ),
    Table("audit_chain", ("one",), ("sequence", "seal", "pruned", "pruned_seal", "kept", "kept_seal")),
    Table("audit_heads", ("number",), ("sequence", "said", "signature")),
    Table("audit_forwards", ("name",), ("reached",)),
    Table("access_epoch", ("one",), ("number", "closed"), own=("number",)),
    Table("tag_history", ("id",), ("repository_id", "name", "action", "before", "after", "event_id")),
)
BLOBS = next(table for table in TABLES if table.name == "blobs")
CONTENTS = frozenset(("blob_contents", "manifest_contents"))
NOT_COPIED = frozenset(
    (
        "uploads",
        "upload_parts",
        "doomed_keys",
        "removed_keys",
        "owed_marks",
        "secrets",
        "jobs",
        "owed_copies",
        "moves",
        "holds",
        "scrubs",
        "sessions",
    )
)
