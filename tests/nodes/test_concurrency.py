"""Many clients at many nodes: nothing is lost, nothing is stale, nothing deadlocks."""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from time import monotonic

import httpx
import pytest

from tests.nodes.cluster import digest_of, manifest, nodes, push, push_blob
from tests.running import Running
from tests.servers.postgresql import Cluster, sql

pytestmark = pytest.mark.anyio

NODES = 3
CONNECTIONS = 24
PUSHES = 20  # of each connection
ROUNDS = 150
LOAD_SECONDS = 8.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def url(postgresql: Cluster) -> Iterator[str]:
    with postgresql.database("nodes") as url:
        yield url


@pytest.fixture(scope="module")
def cluster(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Running]]:
    with nodes(tmp_path_factory.mktemp("nodes"), url, NODES) as running:
        yield running


async def clients(stack: AsyncExitStack, cluster: list[Running], count: int) -> list[httpx.AsyncClient]:
    """Connections that are spread over the nodes."""
    limits = httpx.Limits(max_connections=1)
    made = [
        httpx.AsyncClient(base_url=cluster[number % len(cluster)].url, timeout=60, limits=limits)
        for number in range(count)
    ]
    return [await stack.enter_async_context(client) for client in made]


async def test_no_push_of_one_tag_is_lost(cluster: list[Running], url: str, announce: Callable[[str], None]) -> None:
    async with AsyncExitStack() as stack:
        connections = await clients(stack, cluster, CONNECTIONS)
        assert (await push_blob(connections[0], "team/one")).status_code == 201

        async def push_all(number: int) -> list[str]:
            contents = [manifest(f"{number}-{count}") for count in range(PUSHES)]
            for content in contents:
                answer = await push(connections[number], "team/one", "latest", content)
                assert answer.status_code == 201, answer.text
            return [digest_of(content) for content in contents]

        began = monotonic()
        pushed = [digest for digests in await asyncio.gather(*map(push_all, range(CONNECTIONS))) for digest in digests]
        seconds = monotonic() - began
        now = (await connections[5].head("/v2/team/one/manifests/latest")).headers["docker-content-digest"]

    history = [
        line.split("|") for line in sql(url, "SELECT action, before, after FROM tag_history ORDER BY id").splitlines()
    ]
    announce(f"one tag, {CONNECTIONS} connections, {NODES} nodes: {len(pushed) / seconds:.0f} pushes/s")
    assert [after for _, _, after in history[:-1]] == [before for _, before, _ in history[1:]]
    assert sorted(after for _, _, after in history) == sorted(pushed)
    assert [action for action, _, _ in history] == ["created"] + ["moved"] * (len(pushed) - 1)
    assert now == history[-1][2]


async def test_what_one_node_acknowledged_every_other_sees_at_once(cluster: list[Running]) -> None:
    chance = random.Random(3)
    async with AsyncExitStack() as stack:
        connections = await clients(stack, cluster, NODES)
        assert (await push_blob(connections[0], "team/seen")).status_code == 201
        for number in range(ROUNDS):
            writer, *readers = chance.sample(connections, NODES)
            content = manifest(str(number))
            assert (await push(writer, "team/seen", "latest", content)).status_code == 201
            for reader in readers:
                by_tag = await reader.get("/v2/team/seen/manifests/latest")
                by_digest = await reader.get(f"/v2/team/seen/manifests/{digest_of(content)}")
                assert (by_tag.content, by_digest.content) == (content, content)
            assert (await writer.delete(f"/v2/team/seen/manifests/{digest_of(content)}")).status_code == 202
            for reader in readers:
                assert (await reader.get("/v2/team/seen/manifests/latest")).status_code == 404
                assert (await reader.get(f"/v2/team/seen/manifests/{digest_of(content)}")).status_code == 404


async def test_a_mixed_load_neither_deadlocks_nor_fails(
    cluster: list[Running], url: str, announce: Callable[[str], None]
) -> None:
    answers: Counter[tuple[str, int]] = Counter()
    ending = monotonic() + LOAD_SECONDS

    async def load(client: httpx.AsyncClient, seed: int) -> None:
        chance = random.Random(seed)
        while monotonic() < ending:
            repository = f"team/mixed{chance.randrange(3)}"
            config = b"%d" % chance.randrange(6)
            content = manifest("mixed", config)
            kind = chance.choice(("push", "push", "blob", "mount", "delete", "delete tag", "delete blob", "pull"))
            path = f"/v2/{repository}"
            if kind == "push":
                answer = await push(client, repository, f"v{chance.randrange(4)}?tag=v{chance.randrange(4)}", content)
            elif kind == "blob":
                answer = await push_blob(client, repository, config)
            elif kind == "mount":
                answer = await client.post(f"{path}/blobs/uploads/?mount={digest_of(config)}&from=team/mixed0")
            elif kind == "delete":
                answer = await client.delete(f"{path}/manifests/{digest_of(content)}")
            elif kind == "delete tag":
                answer = await client.delete(f"{path}/manifests/v{chance.randrange(4)}")
            elif kind == "delete blob":
                answer = await client.delete(f"{path}/blobs/{digest_of(config)}")
            else:
                answer = await client.get(f"{path}/manifests/v{chance.randrange(4)}")
            answers[kind, answer.status_code] += 1

    async with AsyncExitStack() as stack:
        connections = await clients(stack, cluster, CONNECTIONS)
        await asyncio.gather(*(load(client, number) for number, client in enumerate(connections)))

    announce(f"mixed load, {CONNECTIONS} connections: {sum(answers.values()) / LOAD_SECONDS:.0f} requests/s")
    assert {status for _, status in answers} <= {200, 201, 202, 404, 409}, answers
    for kind, status in (("push", 201), ("mount", 201), ("delete", 202), ("delete tag", 202), ("delete blob", 202)):
        assert answers[kind, status], answers
    assert sql(url, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == "0"
    assert broken(url) == ""


def broken(url: str) -> str:
    """Blobs that a live manifest needs and its repository does not hold."""
    return sql(
        url,
        "SELECT m.digest FROM manifests m JOIN manifest_references r ON r.manifest_id = m.id "
        "LEFT JOIN repository_blobs b ON b.repository_id = m.repository_id AND b.digest = r.digest "
        "WHERE m.trash_id IS NULL AND b.digest IS NULL LIMIT 1",
    )


async def test_a_crash_of_the_database_loses_nothing_that_was_acknowledged(cluster: list[Running], url: str) -> None:
    acknowledged: list[str] = []
    ending = monotonic() + 6

    async def push_on(client: httpx.AsyncClient, number: int) -> None:
        count = 0
        while monotonic() < ending:
            count += 1
            content = manifest(f"{number}-{count}")
            answer = await push(client, "team/crash", digest_of(content), content)
            if answer.status_code == 201:
                acknowledged.append(digest_of(content))
            else:
                assert (answer.status_code, answer.headers.get("retry-after")) in [(503, "5"), (503, "1")], answer.text
                await asyncio.sleep(0.1)

    async def crash() -> None:
        """Any process that is killed takes all others with it; the server then recovers from its log."""
        for _ in range(2):
            await asyncio.sleep(1)
            asked = "SELECT pid FROM pg_stat_activity WHERE application_name = 'pierhead' LIMIT 1"
            os.kill(int(await recovered(url, asked)), signal.SIGKILL)

    async with AsyncExitStack() as stack:
        connections = await clients(stack, cluster, 6)
        assert (await push_blob(connections[0], "team/crash")).status_code == 201
        await asyncio.gather(crash(), *(push_on(client, number) for number, client in enumerate(connections)))

    kept = await recovered(
        url,
        "SELECT digest FROM manifests JOIN repositories ON repositories.id = repository_id WHERE name = 'team/crash'",
    )
    assert len(acknowledged) > 20
    assert set(acknowledged) <= set(kept.splitlines())


async def recovered(url: str, question: str) -> str:
    """The answer, once the server gives one."""
    ending = monotonic() + 30
    while True:
        try:
            told = sql(url, question)
        except AssertionError:
            assert monotonic() < ending
        else:
            if told:
                return told
        await asyncio.sleep(0.1)
