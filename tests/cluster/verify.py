"""What has to be true once all is quiet: through each node, among the rows, and between rows and bytes."""

import json
import random
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from tests.cluster import register
from tests.cluster.doors import Doors
from tests.cluster.history import History, Key
from tests.cluster.load import read
from tests.cluster.nodes import Node
from tests.cluster.topology import PREFIX, Cluster
from tests.servers.postgresql import sql
from tests.servers.s3 import Bucket


def read_all(cluster: Cluster, history: History) -> None:
    """Every key that anybody wrote, whole, through each node and at once through all."""
    with ThreadPoolExecutor(len(cluster.nodes)) as threads:
        list(threads.map(lambda node: _read_through(node, history), cluster.nodes))


def _read_through(node: Node, history: History) -> None:
    keys = history.keys("tag", "manifest", "blob")
    random.Random(node.number).shuffle(keys)
    with Doors(node.host, [node.host], random.Random(0)) as doors:
        for key in keys:
            answer = read(doors, node.host, history, key, note="in the end")
            assert answer is not None, f"{node} does not answer for {key}"


def wrong_rows(database: str, history: History) -> Iterator[str]:
    """What the tables say that cannot be, or that nobody was told."""
    for name, statement in CONTRADICTIONS.items():
        for row in sql(database, statement).splitlines():
            yield f"{name}: {row}"
    yield from _wrong_moves(database, history)


def _wrong_moves(database: str, history: History) -> Iterator[str]:
    """Each acknowledged move of a tag stands in its history once, in an order that time allows."""
    numbers: defaultdict[tuple[Key, str | None], list[int]] = defaultdict(list)
    for number, row in enumerate(sql(database, MOVES).splitlines()):
        repository, tag, after = json.loads(row)
        numbers[("tag", repository, tag), after].append(number)
    for key in history.keys("tag"):
        moves = [(numbers[key, write.value], write) for write in history.writes[key] if write.value]
        for found, write in moves:
            if len(found) > 1 or (write.certain and not found):
                yield f"{key}: {len(found)} moves are remembered of {write}"
        yield from register.disordered([(found[0], write) for found, write in moves if found])


def wrong_bytes(database: str, bucket: Bucket) -> Iterator[str]:
    """Rows of blobs whose object is not there, or is not as long."""
    objects = dict(_objects(bucket))
    for row in sql(database, OBJECTS).splitlines():
        key, size = json.loads(row)
        if objects.get(f"{PREFIX}/{key}") != size:
            yield f"{key}: {size} bytes by its row, {objects.get(f'{PREFIX}/{key}')} in the store"


def _objects(bucket: Bucket) -> Iterator[tuple[str, int]]:
    with bucket.client() as client:
        after = ""
        while True:
            answer = client.get("", params={"list-type": "2", "prefix": f"{PREFIX}/", "start-after": after})
            found = ET.fromstring(answer.raise_for_status().content)  # noqa: S314  from a server of the test's own
            entries = [(_text(entry, "Key"), int(_text(entry, "Size"))) for entry in found.iterfind("{*}Contents")]
            yield from entries
            if not entries:
                return
            after = entries[-1][0]


def _text(entry: ET.Element, name: str) -> str:
    return entry.findtext(f"{{*}}{name}") or ""


CONTRADICTIONS = {
    "a part of a manifest that its repository does not hold": """
        SELECT manifests.digest, manifest_references.digest
          FROM manifest_references JOIN manifests ON manifests.id = manifest_references.manifest_id
         WHERE manifests.trash_id IS NULL
           AND NOT EXISTS (SELECT 1 FROM repository_blobs AS held
                            WHERE held.repository_id = manifests.repository_id
                              AND held.digest = manifest_references.digest)
           AND NOT EXISTS (SELECT 1 FROM manifests AS part
                            WHERE part.repository_id = manifests.repository_id
                              AND part.digest = manifest_references.digest)
        """,
    "a move that does not begin where the one before it ended": """
        SELECT repository_id, name, id, before, previous
          FROM (SELECT *, lag(after) OVER (PARTITION BY repository_id, name ORDER BY id) AS previous
                  FROM tag_history WHERE action <> 'expired') AS moves
         WHERE before IS DISTINCT FROM previous
        """,
    "a tag that is not where its latest move led": """
        SELECT tags.name, manifests.digest
          FROM tags JOIN manifests ON manifests.id = tags.manifest_id
         WHERE manifests.digest IS DISTINCT FROM
               (SELECT after FROM tag_history
                 WHERE tag_history.repository_id = tags.repository_id AND tag_history.name = tags.name
                 ORDER BY id DESC LIMIT 1)
        """,
    "a row whose bytes should stand beside it and do not": """
        SELECT key FROM blobs
         WHERE key LIKE 'row:%' AND NOT EXISTS (SELECT 1 FROM blob_contents WHERE blob_contents.digest = blobs.digest)
        """,
}

MOVES = """
    SELECT json_build_array(repositories.name, tag_history.name, tag_history.after)
      FROM tag_history JOIN repositories ON repositories.id = tag_history.repository_id
     WHERE tag_history.after IS NOT NULL
     ORDER BY tag_history.id
"""

OBJECTS = "SELECT json_build_array(key, size) FROM blobs WHERE key NOT LIKE 'row:%'"
