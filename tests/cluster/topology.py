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
        to_database = [_link(stack, shared, database) for _ in range(count)]
        to_store = [_link(stack, shared, bucket.endpoint) for _ in range(count)]
        environments = [
            {**environment(_over(way, database), bucket, _over(other, bucket.endpoint)), **(settings or {})}
            for way, other in zip(to_database, to_store, strict=True)
        ]
        started = stack.enter_context(nodes(folder, environments))
        balancer = stack.enter_context(front.balancer([node.port for node in started], again=again))
        yield Cluster(urlsplit(balancer).netloc, started, to_database, to_store, database, bucket)


def _link(stack: ExitStack, shared: Shared, url: str) -> Link:
    split = urlsplit(url)
    return stack.enter_context(shared.toxiproxy.link(f"{split.hostname}:{split.port}"))


def _over(link: Link, url: str) -> str:
    """The same, by way of the link."""
    split = urlsplit(url)
    user = f"{split.username}@" if split.username else ""
    return split._replace(netloc=f"{user}{link.host}").geturl()


def environment(database: str, bucket: s3.Bucket, endpoint: str) -> dict[str, str]:
    """Of one node. Secrets never stand on a command line."""
    return {
        "PIERHEAD_DATABASE_URL": database,
        "PIERHEAD_STORAGE_URL": f"s3://{bucket.name}/{PREFIX}?endpoint={endpoint}&region={bucket.region}",
        "AWS_ACCESS_KEY_ID": bucket.keys.access,
        "AWS_SECRET_ACCESS_KEY": bucket.keys.secret,
        # Behind a proxy nobody is a direct local client.
        "PIERHEAD_ACCESS_ALLOW_ANONYMOUS": "true",
    }
