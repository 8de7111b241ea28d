"""The sums of `usage` in a few statements, each about all of a scope: for engines that run them outside this process.

Who keeps a digest outside is not looked for but counted: there are more rows of it than the scope has. So each digest
costs a look at an index, and no other rows.
"""

from pierhead.metadata.database import Transaction, Value
from pierhead.metadata.usage import Scope, Sums

_LIVE = "manifests.trash_id IS NULL AND repositories.trash_id IS NULL"
_SUMS = "SELECT state, count(*), CAST(sum(size) AS BIGINT) FROM ({found}) AS found GROUP BY state"


async def blobs(tx: Transaction, scope: Scope) -> Sums:
    """Of all blobs that the scope holds or lists; of the registry, of all."""
    return await _of_registry(tx) if scope.kind == "registry" else await _grouped(tx, scope, _blobs(scope))


async def manifests(tx: Transaction, scope: Scope) -> Sums:
    """Of the bytes of manifests, which are kept once however many repositories have them."""
    return await _grouped(tx, scope, _manifests(scope))


async def _grouped(tx: Transaction, scope: Scope, found: str) -> Sums:
    own: dict[str, Value] = {} if scope.kind == "registry" else {"scope": scope.id}
    rows = await tx.fetch_all(_SUMS.format(found=found), **own)
    return {state: (digests, size) for state, digests, size in rows}


def _blobs(scope: Scope) -> str:
    """State and size. What is probed in the order of digests finds its pages in memory: they are those before."""
    return f"""
        SELECT blobs.size AS size,
               CASE WHEN (SELECT count(*) FROM repository_blobs WHERE repository_blobs.digest = own.digest) > own.held
                      OR (SELECT count(*) FROM manifest_references AS listed
                           WHERE listed.digest = own.digest) > own.listed THEN 'shared'
                    WHEN own.live > 0 THEN 'needed'
                    WHEN own.listed > 0 THEN 'trash'
                    ELSE 'unneeded' END AS state
          FROM (SELECT digest, sum(held) AS held, sum(listed) AS listed, sum(live) AS live
                  FROM (SELECT repository_blobs.digest AS digest, 1 AS held, 0 AS listed, 0 AS live
                          FROM repositories JOIN repository_blobs ON repository_blobs.repository_id = repositories.id
                         WHERE {scope.within}
                         UNION ALL
                        SELECT listed.digest, 0, 1, CASE WHEN {_LIVE} THEN 1 ELSE 0 END
                          FROM repositories JOIN manifests ON manifests.repository_id = repositories.id
                          JOIN manifest_references AS listed ON listed.manifest_id = manifests.id
                         WHERE {scope.within}) AS every
                 GROUP BY digest ORDER BY digest) AS own
          JOIN blobs ON blobs.digest = own.digest"""


def _manifests(scope: Scope) -> str:
    within, shared = "", ""
    if scope.kind != "registry":
        within = f"WHERE {scope.within}"
        shared = "WHEN (SELECT count(*) FROM manifests WHERE manifests.digest = own.digest) > own.times THEN 'shared'"
    return f"""
        SELECT own.size AS size, CASE {shared} WHEN own.live > 0 THEN 'needed' ELSE 'trash' END AS state
          FROM (SELECT manifests.digest AS digest, manifests.size AS size, count(*) AS times,
                       sum(CASE WHEN {_LIVE} THEN 1 ELSE 0 END) AS live
                  FROM repositories JOIN manifests ON manifests.repository_id = repositories.id
                {within}
                 GROUP BY manifests.digest, manifests.size ORDER BY manifests.digest) AS own"""


async def _of_registry(tx: Transaction) -> Sums:
    """Nothing is outside; what is in the trash, or needed by nothing, is asked for, and the rest is needed."""
    every, trash, unneeded = [(await tx.fetch_all(_SUM.format(those=those)))[0] for those in ("", _TRASH, _UNNEEDED)]
    needed = (every[0] - trash[0] - unneeded[0], every[1] - trash[1] - unneeded[1])
    return {"needed": needed, "trash": (trash[0], trash[1]), "unneeded": (unneeded[0], unneeded[1])}


_SUM = "SELECT count(*), CAST(coalesce(sum(size), 0) AS BIGINT) FROM blobs {those}"
_UNNEEDED = "WHERE NOT EXISTS (SELECT 1 FROM manifest_references AS listed WHERE listed.digest = blobs.digest)"
_TRASH = f"""
 WHERE digest IN (SELECT listed.digest
                    FROM repositories JOIN manifests ON manifests.repository_id = repositories.id
                    JOIN manifest_references AS listed ON listed.manifest_id = manifests.id
                   WHERE NOT ({_LIVE}))
   AND NOT EXISTS (SELECT 1 FROM manifest_references AS listed
                     JOIN manifests ON manifests.id = listed.manifest_id
                     JOIN repositories ON repositories.id = manifests.repository_id
                    WHERE listed.digest = blobs.digest AND {_LIVE})
"""
