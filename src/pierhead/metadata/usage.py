"""How many bytes there are, and who keeps them. Nothing is counted in advance: each answer reads what it is about.

A digest is asked for in one of two ways. For a few manifests: what they list, and whether anything else keeps it. For
a repository, a project or the registry: all that it has, one stretch of digests after another, each digest once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pierhead.metadata.database import Row, Transaction, Value
from pierhead.metadata.manifests import Held
from pierhead.models import Digest

State = Literal["shared", "needed", "trash", "unneeded"]

_MOST = 64
_WIDE = 100  # repositories


@dataclass(frozen=True, slots=True)
class Scope:
    """What is asked about; `id` is that of the repository or project.

    `wide` says that it is most of the registry: then it is cheaper to go through all digests in their order than from
    one repository to the next for each stretch.
    """

    kind: Literal["repository", "project", "registry"]
    id: int = 0
    wide: bool = False

    @property
    def within(self) -> str:
        """Whether a row of `repositories` is in it."""
        return {"repository": "repositories.id = :scope", "project": "repositories.project_id = :scope"}[self.kind]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Digests from `low` to before `high`."""

    low: str
    high: str


@dataclass(frozen=True, slots=True)
class Part:
    """A blob, or the bytes of a manifest, and whether something else keeps it."""

    digest: Digest
    size: int  # bytes
    kept: bool


Sums = dict[State, tuple[int, int]]  # digests and bytes

_IN_STRETCH = "digest >= :low AND digest < :high"

# Of a digest that nothing outside keeps: a manifest that is not in the trash needs it, or one that is, or none.
_LIVE = "manifests.trash_id IS NULL AND repositories.trash_id IS NULL"


async def blobs(tx: Transaction, scope: Scope, stretch: Stretch) -> Sums:
    """Of the blobs that are held; of the registry, of all, and of a wide scope also of those that are not held."""
    return _sums(await tx.fetch_all(_SUMS.format(found=_blobs(scope, _held(scope))), **_bounds(scope, stretch)))


async def blobs_not_held(tx: Transaction, scope: Scope, digests: Sequence[Digest]) -> Sums:
    """Of those of these blobs that no repository of the scope holds."""
    named = {f"d{number}": digest for number, digest in enumerate(_padded(digests))}
    own = f"""
        SELECT digest FROM blobs
         WHERE digest IN ({", ".join(f":{name}" for name in named)})
           AND NOT EXISTS (SELECT 1 FROM repository_blobs AS held
                             JOIN repositories ON repositories.id = held.repository_id
                            WHERE held.digest = blobs.digest AND {scope.within})"""
    return _sums(await tx.fetch_all(_SUMS.format(found=_blobs(scope, own)), scope=scope.id, **named))


async def manifests(tx: Transaction, scope: Scope, stretch: Stretch) -> Sums:
    """Of the bytes of manifests, which are kept once however many repositories have them."""
    return _sums(await tx.fetch_all(_SUMS.format(found=_manifests(scope)), **_bounds(scope, stretch)))


async def exclusive(tx: Transaction, scope: Scope, stretch: Stretch, *, limit: int) -> list[Part]:
    """Some of what would be free without the scope: blobs that it holds, and bytes of manifests, in their order."""
    found = f"{_blobs(scope, _held(scope))} UNION ALL {_manifests(scope)}"
    rows = await tx.fetch_all(
        f"SELECT digest, size FROM ({found}) AS found WHERE state <> 'shared' ORDER BY digest, size LIMIT :most",
        **_bounds(scope, stretch),
        most=limit,
    )
    return [Part(Digest(digest), size, kept=False) for digest, size in rows]


_SUMS = "SELECT state, count(*), CAST(sum(size) AS BIGINT) FROM ({found}) AS found GROUP BY state"


def _bounds(scope: Scope, stretch: Stretch) -> dict[str, Value]:
    own: dict[str, Value] = {} if scope.kind == "registry" else {"scope": scope.id}
    return {"low": stretch.low, "high": stretch.high, **own}


def _held(scope: Scope) -> str:
    if scope.kind == "registry":
        return f"SELECT digest FROM blobs WHERE {_IN_STRETCH}"
    if scope.wide:
        return f"""
            SELECT digest FROM blobs
             WHERE {_IN_STRETCH}
               AND (EXISTS (SELECT 1 FROM repository_blobs AS held
                              JOIN repositories ON repositories.id = held.repository_id
                             WHERE held.digest = blobs.digest AND {scope.within})
                 OR EXISTS (SELECT 1 FROM manifest_references AS listed
                              JOIN manifests ON manifests.id = listed.manifest_id
                              JOIN repositories ON repositories.id = manifests.repository_id
                             WHERE listed.digest = blobs.digest AND {scope.within}))"""
    return f"""
        SELECT DISTINCT held.digest FROM repositories CROSS JOIN repository_blobs AS held
         WHERE {scope.within} AND held.repository_id = repositories.id
           AND held.digest >= :low AND held.digest < :high"""


def _blobs(scope: Scope, own: str) -> str:
    """Digest, size and state of blobs."""
    shared = (
        ""
        if scope.kind == "registry"
        else f"""
        WHEN EXISTS (SELECT 1 FROM repository_blobs AS held
                       JOIN repositories ON repositories.id = held.repository_id
                      WHERE held.digest = blobs.digest AND NOT {scope.within})
          OR EXISTS (SELECT 1 FROM manifest_references AS listed
                       JOIN manifests ON manifests.id = listed.manifest_id
                       JOIN repositories ON repositories.id = manifests.repository_id
                      WHERE listed.digest = blobs.digest AND NOT {scope.within})
        THEN 'shared'"""
    )
    return f"""
        SELECT blobs.digest AS digest, blobs.size AS size,
               CASE {shared}
                    WHEN EXISTS (SELECT 1 FROM manifest_references AS listed
                                   JOIN manifests ON manifests.id = listed.manifest_id
                                   JOIN repositories ON repositories.id = manifests.repository_id
                                  WHERE listed.digest = blobs.digest AND {_LIVE}) THEN 'needed'
                    WHEN EXISTS (SELECT 1 FROM manifest_references AS listed
                                  WHERE listed.digest = blobs.digest) THEN 'trash'
                    ELSE 'unneeded' END AS state
          FROM ({own}) AS own CROSS JOIN blobs WHERE blobs.digest = own.digest"""


def _manifests(scope: Scope) -> str:
    """The same of the bytes of manifests."""
    source, shared = f"manifests WHERE {_IN_STRETCH}", ""
    if scope.kind != "registry":
        source = f"""
            {"manifests CROSS JOIN repositories" if scope.wide else "repositories CROSS JOIN manifests"}
             WHERE {scope.within} AND manifests.repository_id = repositories.id
               AND manifests.digest >= :low AND manifests.digest < :high"""
        shared = f"""
            WHEN EXISTS (SELECT 1 FROM manifests
                           JOIN repositories ON repositories.id = manifests.repository_id
                          WHERE manifests.digest = own.digest AND NOT {scope.within}) THEN 'shared'"""
    return f"""
        SELECT own.digest AS digest, own.size AS size,
               CASE {shared}
                    WHEN EXISTS (SELECT 1 FROM manifests
                                   JOIN repositories ON repositories.id = manifests.repository_id
                                  WHERE manifests.digest = own.digest AND {_LIVE}) THEN 'needed'
                    ELSE 'trash' END AS state
          FROM (SELECT DISTINCT manifests.digest, manifests.size FROM {source}) AS own"""


async def not_held(tx: Transaction, scope: Scope, stretch: Stretch) -> set[Digest]:
    """Blobs that are there, that manifests of this stretch need, and that their repositories do not hold."""
    rows = await tx.fetch_all(
        f"""
        SELECT DISTINCT listed.digest
          FROM repositories CROSS JOIN manifests CROSS JOIN manifest_references AS listed
         WHERE {scope.within} AND manifests.repository_id = repositories.id
           AND manifests.digest >= :low AND manifests.digest < :high
           AND listed.manifest_id = manifests.id
           AND NOT EXISTS (SELECT 1 FROM repository_blobs AS held
                            WHERE held.repository_id = manifests.repository_id AND held.digest = listed.digest)
           AND EXISTS (SELECT 1 FROM blobs WHERE blobs.digest = listed.digest)
        """,
        scope=scope.id,
        low=stretch.low,
        high=stretch.high,
    )
    return {Digest(digest) for (digest,) in rows}


async def parts(tx: Transaction, repository_id: int, manifest_ids: Sequence[int]) -> list[Part]:
    """The blobs that manifests of a repository list, and whether anything but these manifests keeps them."""
    listed: dict[str, int] = {}
    for digest, times in await _among(
        tx, "SELECT digest, count(*) FROM manifest_references WHERE manifest_id IN ? GROUP BY digest", manifest_ids
    ):
        listed[digest] = listed.get(digest, 0) + times
    # Who lists a digest once more than these do is another one: so many rows are read of each at most.
    rows = await _among(
        tx,
        """
        SELECT digest, size,
               EXISTS (SELECT 1 FROM repository_blobs AS held
                        WHERE held.digest = blobs.digest AND held.repository_id <> :repository_id),
               (SELECT count(*) FROM (SELECT 1 FROM manifest_references AS listed
                                       WHERE listed.digest = blobs.digest LIMIT :most) AS found)
          FROM blobs WHERE digest IN ?
        """,
        list(listed),
        repository_id=repository_id,
        most=max(listed.values(), default=0) + 1,
    )
    return [Part(Digest(digest), size, bool(held) or times > listed[digest]) for digest, size, held, times in rows]


async def contents(tx: Transaction, repository_id: int, manifest_ids: Sequence[int]) -> list[Part]:
    """The bytes of manifests of a repository, and whether another one has them too."""
    rows = await _among(
        tx,
        """
        SELECT digest, size, EXISTS (SELECT 1 FROM manifests AS other
                                      WHERE other.digest = manifests.digest AND other.repository_id <> :repository_id)
          FROM manifests WHERE id IN ?
        """,
        manifest_ids,
        repository_id=repository_id,
    )
    return [Part(Digest(digest), size, bool(elsewhere)) for digest, size, elsewhere in rows]


async def is_wide(tx: Transaction, project_id: int) -> bool:
    """Whether a project has many repositories."""
    row = await tx.fetch_one(f"SELECT 1 FROM repositories WHERE project_id = :id LIMIT 1 OFFSET {_WIDE}", id=project_id)
    return row is not None


async def in_entry(tx: Transaction, trash_id: int) -> list[Held]:
    """The manifests of an entry of the trash."""
    rows = await tx.fetch_all(
        "SELECT id, digest, media_type, trash_id FROM manifests WHERE trash_id = :trash_id ORDER BY id",
        trash_id=trash_id,
    )
    return [Held(row[0], Digest(row[1]), row[2], row[3]) for row in rows]


async def listed_in_trash(
    tx: Transaction, repository_id: int, manifest_ids: Sequence[int], *, other_than: int
) -> set[int]:
    """Which of these manifests another one lists that is in the trash, in any entry but this one."""
    rows = await _among(
        tx,
        """
        SELECT manifests.id FROM manifests
         WHERE EXISTS (SELECT 1 FROM manifest_references AS listed
                         JOIN manifests AS parent ON parent.id = listed.manifest_id
                        WHERE listed.digest = manifests.digest AND parent.repository_id = :repository_id
                          AND parent.trash_id <> CAST(:entry AS BIGINT))
           AND manifests.id IN ?
        """,
        manifest_ids,
        repository_id=repository_id,
        entry=other_than,
    )
    return {row[0] for row in rows}


async def listed_by(tx: Transaction, repository_id: int, manifest_ids: Sequence[int]) -> set[int]:
    """The manifests of the repository that one of these lists."""
    rows = await _among(
        tx,
        """
        SELECT child.id
          FROM manifest_references AS listed
          JOIN manifests AS child ON child.repository_id = :repository_id AND child.digest = listed.digest
         WHERE listed.manifest_id IN ?
        """,
        manifest_ids,
        repository_id=repository_id,
    )
    return {row[0] for row in rows}


def _sums(rows: list[Row]) -> Sums:
    return {state: (digests, size) for state, digests, size in rows}


async def _among(tx: Transaction, sql: str, values: Sequence[Value], **parameters: Value) -> list[Row]:
    rows: list[Row] = []
    for start in range(0, len(values), _MOST):
        named = {f"v{number}": value for number, value in enumerate(_padded(values[start : start + _MOST]))}
        text = sql.replace("IN ?", f"IN ({', '.join(f':{name}' for name in named)})")
        rows += await tx.fetch_all(text, **named, **parameters)
    return rows


def _padded(portion: Sequence[Value]) -> list[Value]:
    length = 1 << (len(portion) - 1).bit_length()
    return [*portion, *[portion[-1]] * (length - len(portion))]
