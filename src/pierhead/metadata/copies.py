"""Rows of what the store is owed a copy of, written in the transaction that made it so."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pierhead.metadata.database import Transaction
from pierhead.models import Digest, RepositoryName, TagName

# `gone`: the copies of a digest are to be what the rows say now, which is none unless it came back.
What = Literal["pushed", "deleted", "blob", "gone"]


@dataclass(frozen=True, slots=True)
class Owed:
    """Something that happened in a repository, or the bytes of a small blob, which belong to none."""

    id: int  # of two things that happened to a tag, the later one has the greater
    at: int  # microseconds since 1970
    what: What
    repository: RepositoryName | None
    tag: TagName | None  # None where it is about the manifest alone
    digest: Digest
    media_type: str | None


async def owe(
    tx: Transaction,
    what: What,
    digest: Digest,
    *,
    repository: RepositoryName | None = None,
    tag: TagName | None = None,
    media_type: str | None = None,
) -> None:
    """After the tag's own row was written: whoever moves that tag next comes later, and so does what it owes."""
    await tx.execute(
        """
        INSERT INTO owed_copies (at, what, repository, tag, digest, media_type)
        VALUES (clock_us(), :what, :repository, :tag, :digest, :media_type)
        """,
        what=what,
        repository=repository,
        tag=tag,
        digest=digest,
        media_type=media_type,
    )


async def owe_gone(tx: Transaction, digests: Iterable[Digest]) -> None:
    """For contents of which no row is left."""
    await tx.execute_many(
        "INSERT INTO owed_copies (at, what, digest) VALUES (clock_us(), 'gone', :digest)",
        [{"digest": digest} for digest in digests],
    )


async def owe_deleted(tx: Transaction, trash_id: int, repository: RepositoryName) -> None:
    """That all manifests of an entry of the trash were deleted."""
    await tx.execute(
        """
        INSERT INTO owed_copies (at, what, repository, digest)
        SELECT clock_us(), 'deleted', CAST(:repository AS TEXT), digest FROM manifests WHERE trash_id = :trash_id
        """,
        trash_id=trash_id,
        repository=repository,
    )


async def owe_pushed(tx: Transaction, trash_id: int, repository: RepositoryName) -> None:
    """That all manifests that are still in an entry of the trash are there again."""
    await tx.execute(
        """
        INSERT INTO owed_copies (at, what, repository, digest, media_type)
        SELECT clock_us(), 'pushed', CAST(:repository AS TEXT), digest, media_type
          FROM manifests WHERE trash_id = :trash_id
        """,
        trash_id=trash_id,
        repository=repository,
    )


async def owe_tags(tx: Transaction, trash_id: int, repository: RepositoryName) -> None:
    """That the tags of an entry of the trash point again where they did."""
    await tx.execute(
        """
        INSERT INTO owed_copies (at, what, repository, tag, digest, media_type)
        SELECT clock_us(), 'pushed', CAST(:repository AS TEXT), tags.name, manifests.digest, manifests.media_type
          FROM trash_tags
          JOIN tags ON tags.repository_id = trash_tags.repository_id AND tags.name = trash_tags.name
                   AND tags.manifest_id = trash_tags.manifest_id
          JOIN manifests ON manifests.id = tags.manifest_id
         WHERE trash_tags.trash_id = :trash_id
        """,
        trash_id=trash_id,
        repository=repository,
    )


async def owe_repositories(tx: Transaction, what: Literal["pushed", "deleted"], trash_id: int) -> None:
    """That all manifests of the repositories of an entry of the trash are there again, or no more.

    The repositories have their own names still, or again.
    """
    await _owe_all(tx, what, "repositories.trash_id = :id", trash_id)


async def owe_project(tx: Transaction, what: Literal["pushed", "deleted"], project_id: int) -> None:
    """The same of the repositories of a project: when it is renamed, before and after."""
    await _owe_all(tx, what, "repositories.project_id = :id AND repositories.trash_id IS NULL", project_id)


async def owe_repository(tx: Transaction, what: Literal["pushed", "deleted"], repository_id: int) -> None:
    await _owe_all(tx, what, "repositories.id = :id", repository_id)


async def _owe_all(tx: Transaction, what: Literal["pushed", "deleted"], which: str, of: int) -> None:
    await tx.execute(
        f"""
        INSERT INTO owed_copies (at, what, repository, digest, media_type)
        SELECT clock_us(), CAST(:what AS TEXT), repositories.name, digest,
               CASE WHEN CAST(:what AS TEXT) = 'pushed' THEN media_type END
          FROM repositories JOIN manifests ON manifests.repository_id = repositories.id
         WHERE {which} AND manifests.trash_id IS NULL
        """,
        what=what,
        id=of,
    )
    if what == "deleted":
        return  # with their tags
    await tx.execute(
        f"""
        INSERT INTO owed_copies (at, what, repository, tag, digest, media_type)
        SELECT clock_us(), 'pushed', repositories.name, tags.name, digest, media_type
          FROM repositories JOIN tags ON tags.repository_id = repositories.id
          JOIN manifests ON manifests.id = tags.manifest_id
         WHERE {which}
        """,
        id=of,
    )


async def any_owed(tx: Transaction) -> bool:
    return await tx.fetch_one("SELECT 1 FROM owed_copies LIMIT 1") is not None


async def oldest(tx: Transaction, *, limit: int) -> list[Owed]:
    rows = await tx.fetch_all(
        "SELECT id, at, what, repository, tag, digest, media_type FROM owed_copies ORDER BY id LIMIT :limit",
        limit=limit,
    )
    return [
        Owed(number, at, what, repository and RepositoryName(repository), tag and TagName(tag), Digest(digest), type_)
        for number, at, what, repository, tag, digest, type_ in rows
    ]


async def settle(tx: Transaction, paid: Iterable[Owed]) -> None:
    await tx.execute_many("DELETE FROM owed_copies WHERE id = :id", [{"id": one.id} for one in paid])


async def owe_everything(tx: Transaction) -> None:
    """For a registry whose rows came from another one: all manifests, tags and small blobs that it has.

    Told as of now, not of when it happened there: it comes after whatever this store was told in a former life, such as
    that a manifest was deleted, and before what happens here next, whatever the clock was there. What is in the trash
    is told when it is restored.
    """
    await tx.execute(
        """
        INSERT INTO owed_copies (at, what, digest) SELECT created_at, 'blob', blob_contents.digest
          FROM blob_contents JOIN blobs ON blobs.digest = blob_contents.digest
        """
    )
    await tx.execute(
        """
        INSERT INTO owed_copies (at, what, repository, digest, media_type)
        SELECT clock_us(), 'pushed', repositories.name, digest, media_type
          FROM manifests JOIN repositories ON repositories.id = manifests.repository_id
         WHERE manifests.trash_id IS NULL AND repositories.trash_id IS NULL
        """
    )
    await tx.execute(
        """
        INSERT INTO owed_copies (at, what, repository, tag, digest, media_type)
        SELECT clock_us(), 'pushed', repositories.name, tags.name, digest, media_type
          FROM tags JOIN manifests ON manifests.id = tags.manifest_id
                    JOIN repositories ON repositories.id = tags.repository_id
         WHERE repositories.trash_id IS NULL
        """
    )
