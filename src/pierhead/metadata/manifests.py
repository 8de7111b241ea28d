"""Rows of manifests, their bytes, and what they refer to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pierhead.metadata.database import Transaction
from pierhead.metadata.portions import absent
from pierhead.models import Descriptor, Digest, Manifest, RepositoryName, TagName


@dataclass(frozen=True, slots=True)
class NewManifest:
    """A manifest to add to a repository."""

    repository_id: int
    manifest: Manifest
    subject: Digest | None
    artifact_type: str | None
    annotations: str | None  # JSON, kept where there is a subject


@dataclass(frozen=True, slots=True)
class Held:
    """A manifest's row in its repository."""

    id: int
    digest: Digest
    media_type: str
    trash_id: int | None  # None where it is not in the trash

    @property
    def live(self) -> bool:
        return self.trash_id is None


async def by_tag(tx: Transaction, repository: RepositoryName, tag: TagName) -> Manifest | None:
    row = await tx.fetch_one(
        """
        SELECT manifests.digest, manifests.media_type, manifests.size
          FROM repositories
          JOIN tags ON tags.repository_id = repositories.id
          JOIN manifests ON manifests.id = tags.manifest_id
         WHERE repositories.name = :repository AND tags.name = :tag
        """,
        repository=repository,
        tag=tag,
    )
    return Manifest(Digest(row[0]), row[1], row[2]) if row else None


async def by_digest(tx: Transaction, repository: RepositoryName, digest: Digest) -> Manifest | None:
    row = await tx.fetch_one(
        """
        SELECT manifests.media_type, manifests.size
          FROM repositories
          JOIN manifests ON manifests.repository_id = repositories.id
         WHERE repositories.name = :repository AND manifests.digest = :digest AND manifests.trash_id IS NULL
        """,
        repository=repository,
        digest=digest,
    )
    return Manifest(digest, *row) if row else None


async def find(tx: Transaction, repository_id: int, digest: Digest) -> Held | None:
    """A manifest in a repository, one in the trash too."""
    row = await tx.fetch_one(
        "SELECT id, media_type, trash_id FROM manifests WHERE repository_id = :repository_id AND digest = :digest",
        repository_id=repository_id,
        digest=digest,
    )
    return Held(row[0], digest, row[1], row[2]) if row else None


async def content(tx: Transaction, digest: Digest) -> bytes | None:
    row = await tx.fetch_one("SELECT content FROM manifest_contents WHERE digest = :digest", digest=digest)
    return row[0] if row else None


async def keep_content(tx: Transaction, digest: Digest, body: bytes) -> None:
    """Also in place of other bytes, which a disk made of them."""
    await tx.execute(
        """
        INSERT INTO manifest_contents (digest, content) VALUES (:digest, :body)
            ON CONFLICT (digest) DO UPDATE SET content = excluded.content
             WHERE manifest_contents.content <> excluded.content
        """,
        digest=digest,
        body=body,
    )


async def add(tx: Transaction, new: NewManifest, references: Iterable[Descriptor], *, tagged: bool = False) -> int:
    """Adds a manifest with what it refers to, and returns its id; `tagged` where a tag is pointed to it next."""
    row = await tx.fetch_one(
        """
        INSERT INTO manifests (repository_id, digest, media_type, size, subject, artifact_type, annotations,
                               pushed_at, untagged_at)
        VALUES (:repository_id, :digest, :media_type, :size, :subject, :artifact_type, :annotations,
                clock_us(), CASE WHEN :tagged = 0 THEN clock_us() END)
        RETURNING id
        """,
        repository_id=new.repository_id,
        digest=new.manifest.digest,
        media_type=new.manifest.media_type,
        size=new.manifest.size,
        subject=new.subject,
        artifact_type=new.artifact_type,
        annotations=new.annotations,
        tagged=int(tagged),
    )
    assert row is not None  # noqa: S101  an INSERT that returns has a row
    made: int = row[0]
    await _refer(tx, made, references)
    return made


async def retype(tx: Transaction, manifest_id: int, new: NewManifest, references: Iterable[Descriptor]) -> None:
    """Reads known bytes as another media type: what they refer to changes with it."""
    await tx.execute(
        """
        UPDATE manifests
           SET media_type = :media_type, subject = :subject, artifact_type = :artifact_type, annotations = :annotations
         WHERE id = :id
        """,
        media_type=new.manifest.media_type,
        subject=new.subject,
        artifact_type=new.artifact_type,
        annotations=new.annotations,
        id=manifest_id,
    )
    await tx.execute("DELETE FROM manifest_references WHERE manifest_id = :id", id=manifest_id)
    await _refer(tx, manifest_id, references)


async def _refer(tx: Transaction, manifest_id: int, references: Iterable[Descriptor]) -> None:
    # A digest may stand several times in one manifest.
    kinds = {reference.digest: reference.kind for reference in references}
    await tx.execute_many(
        "INSERT INTO manifest_references (manifest_id, digest, kind) VALUES (:manifest_id, :digest, :kind)",
        [{"manifest_id": manifest_id, "digest": digest, "kind": kind} for digest, kind in kinds.items()],
    )


async def throw_away(tx: Transaction, manifest_id: int, trash_id: int) -> None:
    """Puts a manifest into the trash: it keeps its row, and what it refers to."""
    await tx.execute("UPDATE manifests SET trash_id = :trash_id WHERE id = :id", id=manifest_id, trash_id=trash_id)


async def renew(tx: Transaction, manifest_id: int, *, age: int) -> None:
    """Lets the time of a manifest without a tag begin anew, where it began longer ago than so many microseconds."""
    await tx.execute(
        """
        UPDATE manifests SET untagged_at = clock_us()
         WHERE id = :id AND untagged_at < clock_us() - CAST(:age AS BIGINT)
        """,
        id=manifest_id,
        age=age,
    )


async def take_back(tx: Transaction, manifest_id: int) -> None:
    """Takes a manifest out of the trash; that no tag points to it is so from now on."""
    await tx.execute("UPDATE manifests SET trash_id = NULL, untagged_at = clock_us() WHERE id = :id", id=manifest_id)


async def remove(tx: Transaction, going: Mapping[int, Digest]) -> None:
    """Removes manifests from their repositories, and the bytes of those that no other repository has."""
    await tx.execute_many("DELETE FROM manifests WHERE id = :id", [{"id": manifest_id} for manifest_id in going])
    await tx.execute_many(
        """
        DELETE FROM manifest_contents
         WHERE digest = :digest AND NOT EXISTS (SELECT 1 FROM manifests WHERE digest = :digest)
        """,
        [{"digest": digest} for digest in going.values()],
    )


async def needing(tx: Transaction, repository_id: int, digest: Digest) -> Digest | None:
    """A manifest of the repository, not one in the trash, that refers to this digest."""
    row = await tx.fetch_one(
        """
        SELECT manifests.digest
          FROM manifest_references JOIN manifests ON manifests.id = manifest_references.manifest_id
         WHERE manifest_references.digest = :digest AND manifests.repository_id = :repository_id
           AND manifests.trash_id IS NULL
         LIMIT 1
        """,
        digest=digest,
        repository_id=repository_id,
    )
    return Digest(row[0]) if row else None


async def parents(tx: Transaction, repository_id: int, digest: Digest) -> list[Held]:
    """The manifests of a repository that refer to a digest, those in the trash too."""
    rows = await tx.fetch_all(
        """
        SELECT manifests.id, manifests.digest, manifests.media_type, manifests.trash_id
          FROM manifest_references JOIN manifests ON manifests.id = manifest_references.manifest_id
         WHERE manifest_references.digest = :digest AND manifests.repository_id = :repository_id
        """,
        digest=digest,
        repository_id=repository_id,
    )
    return [Held(row[0], Digest(row[1]), row[2], row[3]) for row in rows]


async def missing(tx: Transaction, repository_id: int, digests: Iterable[Digest]) -> list[Digest]:
    """Which of these manifests the repository does not hold."""
    sql = "SELECT digest FROM manifests WHERE repository_id = :repository_id AND trash_id IS NULL AND digest IN ?"
    return await absent(tx, sql, digests, repository_id=repository_id)
