"""A disk or a bucket loses, cuts or alters layers of an image. Who pushes it again heals it, with any client."""

import random
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import apsw
import httpx
import pytest

from tests.clients import docker_clients, exactness
from tests.clients.dockerd import Dockerd
from tests.clients.image import Image
from tests.clients.programs import program
from tests.moving.command import pierhead
from tests.running import Running, serving
from tests.servers.s3 import Bucket, Server

Push = Callable[[str], object]  # to the repository of a name, under the tag 1

SETTINGS = {"PIERHEAD_STORAGE_INLINE_BYTES": "0"}


def key_of(data: Path, digest: str) -> str:
    """Where its bytes are now."""
    with closing(apsw.Connection(str(data / "pierhead.db"), flags=apsw.SQLITE_OPEN_READWRITE)) as connection:
        key: str = connection.execute("SELECT key FROM blobs WHERE digest = ?", (digest,)).get
    return key


class Disk:
    """The files of a server."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self.place = ("--data", data)

    def harm(self, digest: str, how: str) -> None:
        file = self._data / "blobs" / key_of(self._data, digest)
        if how == "delete":
            file.unlink()
        else:
            file.write_bytes(harmed(file.read_bytes(), how))


class Objects:
    """The bucket of a server."""

    def __init__(self, data: Path, bucket: Bucket) -> None:
        self._data = data
        self._bucket = bucket
        self.place = ("--data", data, "--storage", bucket.url())

    def harm(self, digest: str, how: str) -> None:
        with self._bucket.client() as client:
            path = f"team/{key_of(self._data, digest)}"
            content = client.get(path).raise_for_status().content
            if how == "delete":
                client.delete(path).raise_for_status()
            else:
                client.put(path, content=harmed(content, how)).raise_for_status()


def harmed(content: bytes, how: str) -> bytes:
    if how == "truncate":
        return content[: len(content) // 2]
    assert how == "alter"
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.fixture(params=["files", "s3"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Running, Disk | Objects]]:
    data = tmp_path / "data"
    if request.param == "files":
        with serving(data, "--workers", "2", environment=SETTINGS) as server:
            yield server, Disk(data)
        return
    s3: Server = request.getfixturevalue("s3")
    bucket = s3.bucket()
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)
    with serving(data, "--workers", "2", "--storage", bucket.url(), environment=SETTINGS) as server:
        yield server, Objects(data, bucket)


@pytest.fixture(params=["docker", "skopeo", "crane"])
def push(request: pytest.FixtureRequest, image: Image, tmp_path: Path, fresh_home: Path) -> Push:
    client: str = request.param
    if client == "docker":
        dockerd: Dockerd = request.getfixturevalue("dockerd")
        docker = docker_clients.docker(docker_clients.paths()[0], fresh_home, dockerd)
        docker("load", "--input", image.archive)

        def by_docker(host: str) -> None:
            docker("tag", image.name, f"{host}/team/app:1")
            docker("push", f"{host}/team/app:1")
            docker("rmi", f"{host}/team/app:1")

        return by_docker
    if client == "skopeo":
        skopeo = program("skopeo", tmp_path)
        layout = f"oci:{image.layout}:latest"
        return lambda host: skopeo("copy", "--dest-tls-verify=false", layout, f"docker://{host}/team/app:1")
    crane = program("crane", tmp_path)
    # It looks at no layer where the tag leads to the manifest already.
    tags = count(1)
    return lambda host: crane("push", "--insecure", str(image.layout), f"{host}/team/app:{next(tags)}")


@pytest.mark.timeout(180)
def test_a_second_push_heals_what_the_store_lost(place: tuple[Running, Disk | Objects], push: Push) -> None:
    server, store = place
    with httpx.Client(base_url=server.url, timeout=30) as client:
        push(server.host)
        held = exactness.read(client, "team/app", "1")
        for how in ("delete", "truncate", "alter"):
            for digest in random.Random(how).sample(held.layers, 2):
                store.harm(digest, how)
            if how == "alter":  # what has its length is found by whoever reads it all
                ran = pierhead("check", *store.place, "--deep", "--repair")
                assert ran.returncode == 1, ran.stdout + ran.stderr
                assert ran.stdout.count("set aside") == 2, ran.stdout
            push(server.host)

            assert exactness.read(client, "team/app", "1") == held, how
        ran = pierhead("check", *store.place, "--deep")
        assert ran.returncode == 0, ran.stdout
