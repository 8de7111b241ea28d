"""The catalog, for one who sees a part of it: what is public, and what is his.

Each project, and each range of names that a pattern leaves, is asked for a page of its own, which its index gives at
once; so a page costs what is on it, however many repositories there are that may not be seen.
"""

from collections.abc import Sequence

from pierhead.metadata import rights
from pierhead.metadata.database import Row, Transaction
from pierhead.models import RepositoryName, Visible
from pierhead.patterns import Pattern

# So many public projects are asked one by one; where there are more, names are gone through in order.
_PUBLIC_MAX = 200
_AT_ONCE = 50
# Where few names fit a pattern, each piece that is looked through is twice the one before, up to so many.
_PIECE_MAX = 1000
_HELD = """
    repositories.trash_id IS NULL
    AND EXISTS (SELECT 1 FROM manifests WHERE manifests.repository_id = repositories.id AND manifests.trash_id IS NULL)
"""


async def names_after(tx: Transaction, after: str, visible: Visible, *, limit: int) -> list[RepositoryName]:
    """Up to `limit` names past `after`, in order, of repositories that hold a manifest."""
    if visible.within is not None:
        found = await _within(tx, after, visible, visible.within, limit=limit)
    elif visible.everything:
        found = await _all(tx, after, limit=limit)
    else:
        found = await _some(tx, after, visible, limit=limit)
    return [RepositoryName(name) for name in found]


async def _within(
    tx: Transaction, after: str, visible: Visible, within: tuple[tuple[int, str], ...], *, limit: int
) -> list[str]:
    """What fits one of the patterns, and may be seen."""
    found: set[str] = set()
    for project_id, pattern in within:
        found.update(await _fitting(tx, after, project_id, Pattern.parse(pattern), limit=limit, visible=visible))
    return sorted(found)[:limit]


async def _is_visible(tx: Transaction, visible: Visible, project_id: int, name: str) -> bool:
    if visible.everything or project_id in visible.projects:
        return True
    rest = name.partition("/")[2]
    if any(project == project_id and Pattern(text).fits(rest) for project, text in visible.patterns):
        return True
    return visible.public and (await rights.place(tx, RepositoryName(name))).public


async def _all(tx: Transaction, after: str, *, limit: int) -> list[str]:
    rows = await tx.fetch_all(
        f"SELECT name FROM repositories WHERE name > :after AND {_HELD} ORDER BY name LIMIT :limit",
        after=after,
        limit=limit,
    )
    return [name for (name,) in rows]


async def _some(tx: Transaction, after: str, visible: Visible, *, limit: int) -> list[str]:
    found = await _of_projects(tx, after, sorted(visible.projects), limit=limit)
    for project_id, pattern in visible.patterns:
        found += await _fitting(tx, after, project_id, Pattern.parse(pattern), limit=limit)
    if visible.public:
        found += await _public(tx, after, limit=limit)
    return sorted(set(found))[:limit]


async def _public(tx: Transaction, after: str, *, limit: int) -> list[str]:
    rows = await tx.fetch_all(
        "SELECT id FROM projects WHERE visibility = 'public' AND trash_id IS NULL LIMIT :limit", limit=_PUBLIC_MAX + 1
    )
    if len(rows) > _PUBLIC_MAX:
        return await _public_in_order(tx, after, limit=limit)
    found = await _of_projects(tx, after, [row[0] for row in rows], limit=limit, but_private=True)
    by_themselves = await tx.fetch_all(
        f"""
        SELECT name FROM repositories WHERE visibility = 'public' AND name > :after AND {_HELD}
         ORDER BY name LIMIT :limit
        """,
        after=after,
        limit=limit,
    )
    return found + [name for (name,) in by_themselves]


async def _public_in_order(tx: Transaction, after: str, *, limit: int) -> list[str]:
    rows = await tx.fetch_all(
        f"""
        SELECT repositories.name FROM repositories JOIN projects ON projects.id = project_id
         WHERE repositories.name > :after AND coalesce(repositories.visibility, projects.visibility) = 'public'
           AND {_HELD}
         ORDER BY repositories.name LIMIT :limit
        """,
        after=after,
        limit=limit,
    )
    return [name for (name,) in rows]


async def _of_projects(
    tx: Transaction, after: str, ids: Sequence[int], *, limit: int, but_private: bool = False
) -> list[str]:
    found: list[str] = []
    but = "AND visibility IS NULL" if but_private else ""
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        each = [
            f"""
            SELECT name FROM (SELECT name FROM repositories WHERE project_id = :of{place} AND name > :after {but}
                                 AND {_HELD} ORDER BY name LIMIT :limit) AS of{place}
            """
            for place in range(len(some))
        ]
        given = {f"of{place}": project_id for place, project_id in enumerate(some)}
        rows: list[Row] = await tx.fetch_all(" UNION ALL ".join(each), after=after, limit=limit, **given)
        found += [name for (name,) in rows]
    return found


async def _fitting(
    tx: Transaction, after: str, project_id: int, pattern: Pattern, *, limit: int, visible: Visible | None = None
) -> list[str]:
    """Of one project, what fits a pattern, and may be seen: names in order, in pieces, until there are enough."""
    row = await tx.fetch_one("SELECT name FROM projects WHERE id = :id", id=project_id)
    if row is None:
        return []
    project: str = row[0]
    first = f"{project}/{pattern.start}" if pattern.start else project
    past = f"{first}~" if pattern.start else f"{project}0"
    found: list[str] = []
    piece = limit
    while len(found) < limit:
        rows = await tx.fetch_all(
            f"""
            SELECT name FROM repositories
             WHERE project_id = :project_id AND name > :after AND name >= :first AND name < :past AND {_HELD}
             ORDER BY name LIMIT :piece
            """,
            project_id=project_id,
            after=after,
            first=first.removesuffix("/"),
            past=past,
            piece=piece,
        )
        names = [name for (name,) in rows]
        fitting = [name for name in names if pattern.fits(name.partition("/")[2])]
        found += [name for name in fitting if visible is None or await _is_visible(tx, visible, project_id, name)]
        if len(names) < piece:
            break
        after, piece = names[-1], min(2 * piece, _PIECE_MAX)
    return found[:limit]
