"""A cluster as it is in production, small: nodes behind nginx, over one PostgreSQL and one S3 store.

Each node has links of its own to both, which can be slow, silent or cut.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.cluster.nodes import Node, nodes
from tests.servers import balancer as front
from tests.servers import postgresql, s3, toxiproxy
from tests.servers.toxiproxy import Link

PREFIX = "registry"


@dataclass(frozen=True, slots=True)
class Shared:
    """What the nodes share."""

    database: postgresql.Cluster
    store: s3.Server
    toxiproxy: toxiproxy.Server


@dataclass(frozen=True, slots=True)
class Cluster:
    balancer: str  # host and port
    nodes: list[Node]
    to_database: list[Link]  # of each node
    to_store: list[Link]
    database: str  # the URL, past all links
    bucket: s3.Bucket

    @property
    def hosts(self) -> list[str]:
        return [node.host for node in self.nodes]


@contextmanager
def cluster(
    folder: Path,
    shared: Shared,
    *,
    count: int = 3,
    again: str = front.AGAIN,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Cluster]:
    bucket = shared.store.bucket()
    with ExitStack() as stack:
        database = stack.enter_context(shared.database.database(f"cluster-{bucket.name}"))
        ways = [(_link(stack, shared, database), _link(stack, shared, bucket.endpoint)) for _ in range(count)]
        started = stack.enter_context(
            nodes(folder, [_environment(database, bucket, *links, settings or {}) for links in ways])
        )
        balancer = stack.enter_context(front.balancer([node.port for node in started], again=again))
        to_database, to_store = zip(*ways, strict=True)
        yield Cluster(urlsplit(balancer).netloc, started, list(to_database), list(to_store), database, bucket)


def _link(stack: ExitStack, shared: Shared, url: str) -> Link:
    split = urlsplit(url)
    return stack.enter_context(shared.toxiproxy.link(f"{split.hostname}:{split.port}"))


def _environment(
    database: str, bucket: s3.Bucket, to_database: Link, to_store: Link, settings: Mapping[str, str]
) -> dict[str, str]:
    """Of one node: it reaches both by its links. Secrets never stand on a command line."""
    there = urlsplit(database)
    return {
        "PIERHEAD_DATABASE_URL": there._replace(netloc=f"{there.username}@{to_database.host}").geturl(),
        "PIERHEAD_STORAGE_URL": f"s3://{bucket.name}/{PREFIX}?endpoint=http://{to_store.host}&region={bucket.region}",
        "AWS_ACCESS_KEY_ID": bucket.keys.access,
        "AWS_SECRET_ACCESS_KEY": bucket.keys.secret,
        **settings,
    }
