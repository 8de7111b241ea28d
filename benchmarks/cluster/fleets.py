"""What is measured: our nodes, one or several, and other registries, each over S3 as its documentation says."""

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import components
from tests.cluster.nodes import nodes
from tests.cluster.topology import environment
from tests.running import free_port
from tests.servers import balancer
from tests.servers.postgresql import Cluster
from tests.servers.s3 import Bucket, Server

OURS = "pierhead, one node"
ONE, TWO, THREE = "one node of one worker", "two nodes", "three nodes"
BALANCED = "three nodes behind nginx"
DISTRIBUTION = "Distribution 3"
ZOT = "zot"
START_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Fleet:
    """`urls` are comma-separated, as the load program takes them; `url` is one of them."""

    name: str
    urls: str
    pids: tuple[int, ...]
    helpers: tuple[int, ...]  # what the registry needs besides the store that all have

    @property
    def url(self) -> str:
        return self.urls.partition(",")[0]


@dataclass(frozen=True, slots=True)
class Backing:
    database: Cluster
    store: Server


Start = Callable[[Backing, Path, ExitStack], Fleet]


def _ours(name: str, count: int, *, workers: int = 1, balanced: bool = False) -> Start:
    def start(backing: Backing, folder: Path, stack: ExitStack) -> Fleet:
        bucket = backing.store.bucket()
        database = stack.enter_context(backing.database.database(bucket.name))
        each = {**environment(database, bucket, bucket.endpoint), "PIERHEAD_STORAGE_REDIRECT": "off"}
        started = stack.enter_context(nodes(folder, [each] * count, workers=workers))
        urls = ",".join(f"http://{node.host}" for node in started)
        if balanced:
            urls = stack.enter_context(balancer.balancer([node.port for node in started]))
        postmaster = int((backing.database.folder / "data/postmaster.pid").read_text().split()[0])
        return Fleet(name, urls, tuple(node.pid for node in started), (postmaster,))

    return start


def _distribution(backing: Backing, folder: Path, stack: ExitStack) -> Fleet:
    bucket, port = backing.store.bucket(), free_port()
    settings = folder / "config.yml"
    settings.touch(0o600)
    settings.write_text(
        "version: 0.1\n"
        "log: {level: error, accesslog: {disabled: true}}\n"
        "storage:\n"
        f"  s3: {{{_driver(bucket)}, forcepathstyle: true}}\n"
        "  delete: {enabled: true}\n"
        "  redirect: {disable: true}\n"
        "  cache: {blobdescriptor: inmemory}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
    )
    return _started(DISTRIBUTION, [components.require("registry"), "serve", settings], port, folder, stack)


def _driver(bucket: Bucket) -> str:
    return (
        f"accesskey: {bucket.keys.access}, secretkey: {bucket.keys.secret}, region: {bucket.region}, "
        f"regionendpoint: '{bucket.endpoint}', bucket: {bucket.name}, rootdirectory: /registry, secure: false"
    )


def _zot(backing: Backing, folder: Path, stack: ExitStack) -> Fleet:
    bucket, port = backing.store.bucket(), free_port()
    driver = {
        "name": "s3",
        "rootdirectory": "/registry",
        "region": bucket.region,
        "regionendpoint": bucket.endpoint,
        "bucket": bucket.name,
        "secure": False,
        "skipverify": True,
        "forcepathstyle": True,
        "accesskey": bucket.keys.access,
        "secretkey": bucket.keys.secret,
    }
    document = {
        "storage": {"rootDirectory": str(folder / "store"), "dedupe": False, "storageDriver": driver},
        "log": {"level": "error"},
        "http": {"address": "127.0.0.1", "port": str(port), "compat": ["docker2s2"]},
    }
    settings = folder / "config.json"
    settings.touch(0o600)
    settings.write_text(json.dumps(document))
    return _started(ZOT, [components.require("zot"), "serve", settings], port, folder, stack)


def _started(name: str, command: list[str | Path], port: int, folder: Path, stack: ExitStack) -> Fleet:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "REGISTRY_"))}
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=inherited | {"OTEL_TRACES_EXPORTER": "none"}, cwd=folder
        )
    stack.callback(_end, process)
    _wait(port, process)
    return Fleet(name, f"http://127.0.0.1:{port}", (process.pid,), ())


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    ending = time.monotonic() + START_SECONDS
    while time.monotonic() < ending and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=2).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise SystemExit(f"{process.args!r} does not answer")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


STARTS: dict[str, Start] = {
    OURS: _ours(OURS, 1, workers=0),
    ONE: _ours(ONE, 1),
    TWO: _ours(TWO, 2),
    THREE: _ours(THREE, 3),
    BALANCED: _ours(BALANCED, 3, balanced=True),
    DISTRIBUTION: _distribution,
    ZOT: _zot,
}


def available() -> list[str]:
    return [name for name in STARTS if name != ZOT or components.find("zot")]


@contextmanager
def fleet(name: str, backing: Backing, folder: Path) -> Iterator[Fleet]:
    """Over an empty bucket and an empty database."""
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        yield STARTS[name](backing, folder, stack)
