"""What survives a power cut: the order of syncs on a real server, and sessions of an earlier boot.

A disk keeps what was synced, so the order of the calls decides. All states in between are a later test's.
"""

import asyncio
import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path

import apsw
import httpx
import pytest

from tests.crash.journal import OCI_IMAGE
from tests.crash.trace import SystemCall, Trace, tracing
from tests.running import Running, serving

TINY = random.Random(2).randbytes(5000)  # kept beside its row
SMALL = random.Random(3).randbytes(50_000)
LARGE = random.Random(4).randbytes(3 * 1024 * 1024)
REPOSITORY = "/v2/team/app"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("power") / "data", "--workers", "1") as running:
        yield running


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def push(client: httpx.Client, content: bytes) -> str:
    location = client.post(f"{REPOSITORY}/blobs/uploads/").raise_for_status().headers["location"]
    client.put(location, params={"digest": digest_of(content)}, content=content).raise_for_status()
    return digest_of(content)


def push_manifest(client: httpx.Client, blob: str, note: str, tag: str) -> str:
    config = {"mediaType": "application/octet-stream", "digest": blob, "size": len(SMALL)}
    content = json.dumps({"schemaVersion": 2, "config": config, "layers": [], "annotations": {"note": note}}).encode()
    path = f"{REPOSITORY}/manifests/{tag}"
    client.put(path, content=content, headers={"content-type": OCI_IMAGE}).raise_for_status()
    return digest_of(content)


def synced_log(trace: Trace, before: SystemCall) -> SystemCall:
    """The last sync of the database's log before an answer, with the last write to it between them: none."""
    sync = trace.all(lambda call: call.syncs and "pierhead.db-wal>" in call.text and call.ended < before.began)[-1]
    assert not trace.all(lambda call: call.logs and sync.began < call.began < before.began)
    return sync


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_a_blob_is_durable_before_its_row_and_its_row_before_201(
    server: Running, client: httpx.Client, tmp_path: Path, content: bytes
) -> None:
    with tracing(server, tmp_path / "trace") as trace:
        digest = push(client, content)

    answer = trace.answer(201)
    name = trace.last(lambda call: call.names and digest[7:] in call.text)
    bytes_ = trace.last(lambda call: call.syncs and ("/uploads/" in call.text or digest[7:] in call.text))
    directory = trace.last(lambda call: call.syncs and call.text.partition(">")[0].endswith(f"/sha256/{digest[7:9]}"))
    log = synced_log(trace, answer)
    row = trace.all(lambda call: call.logs and call.began < log.began)[-1]
    written = trace.all(lambda call: call.name == "pwrite64" and "/uploads/" in call.text)
    assert max(call.ended for call in written) < bytes_.began
    assert name.ended < directory.began
    assert max(bytes_.ended, directory.ended) < row.began < log.began
    assert log.ended < answer.began


def test_a_blob_beside_its_row_is_durable_before_201_with_one_sync(
    server: Running, client: httpx.Client, tmp_path: Path
) -> None:
    with tracing(server, tmp_path / "trace") as trace:
        push(client, TINY)

    answer = trace.answer(201)
    log = synced_log(trace, answer)
    assert log.ended < answer.began
    # Not those of the process for background work, which may be opening the database at this moment.
    assert len(trace.all(lambda call: call.syncs and call.process == answer.process)) == 1
    assert not trace.all(lambda call: call.names or (call.name == "pwrite64" and "/uploads/" in call.text))


def test_the_staged_name_goes_only_after_the_row_is_durable(
    server: Running, client: httpx.Client, tmp_path: Path
) -> None:
    with tracing(server, tmp_path / "trace") as trace:
        push(client, SMALL[:40_000])

    log = synced_log(trace, trace.answer(201))
    assert trace.last(lambda call: call.name.startswith("unlink") and "/uploads/" in call.text).began > log.ended


def test_a_manifest_and_its_tag_are_durable_before_201(server: Running, client: httpx.Client, tmp_path: Path) -> None:
    blob = push(client, SMALL)
    with tracing(server, tmp_path / "trace") as trace:
        push_manifest(client, blob, "traced", "v1")

    answer = trace.answer(201)
    assert synced_log(trace, answer).ended < answer.began


def test_each_delete_is_durable_before_202(server: Running, client: httpx.Client, tmp_path: Path) -> None:
    blob = push(client, SMALL)
    manifest = push_manifest(client, blob, "to go", "gone")
    for number, path in enumerate((f"manifests/{'gone'}", f"manifests/{manifest}", f"blobs/{push(client, b'lonely')}")):
        with tracing(server, tmp_path / f"trace{number}") as trace:
            assert client.delete(f"{REPOSITORY}/{path}").status_code == 202

        answer = trace.answer(202)
        assert synced_log(trace, answer).ended < answer.began


def test_a_session_costs_no_sync(server: Running, client: httpx.Client, tmp_path: Path) -> None:
    push(client, SMALL)
    with tracing(server, tmp_path / "trace") as trace:
        location = client.post(f"{REPOSITORY}/blobs/uploads/").headers["location"]
        assert client.patch(location, content=SMALL).status_code == 202

    assert trace.all(lambda call: call.logs)
    assert not trace.all(lambda call: call.syncs)


def test_writes_that_wait_share_a_sync(server: Running, client: httpx.Client, tmp_path: Path) -> None:
    blob = push(client, SMALL)
    count = 64

    async def all_at_once() -> None:
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as many:
            config = {"mediaType": "application/octet-stream", "digest": blob, "size": len(SMALL)}
            bodies = [
                json.dumps({"schemaVersion": 2, "config": config, "layers": [], "annotations": {"n": str(n)}})
                for n in range(count)
            ]
            headers = {"content-type": OCI_IMAGE}
            answers = await asyncio.gather(
                *(
                    many.put(f"{REPOSITORY}/manifests/n{n}", content=body, headers=headers)
                    for n, body in enumerate(bodies)
                )
            )
            assert {answer.status_code for answer in answers} == {201}

    with tracing(server, tmp_path / "trace") as trace:
        asyncio.run(all_at_once())

    assert len(trace.all(lambda call: call.syncs and "pierhead.db-wal>" in call.text)) < count / 2


# Sessions of an earlier boot


def power_cut(data: Path, upload_id: str, staged: bytes | None) -> None:
    """Leaves a session as a machine that lost power may: its row of another boot, its bytes as the disk had them."""
    connection = apsw.Connection(str(data / "pierhead.db"))
    connection.set_busy_timeout(5000)
    connection.execute("UPDATE uploads SET boot = 'an earlier one' WHERE id = :id", {"id": upload_id})
    connection.close()
    (path,) = data.glob(f"uploads/*/{upload_id}.0")
    if staged is None:
        path.unlink()
    else:
        path.write_bytes(staged)


def half_way(client: httpx.Client, content: bytes) -> tuple[str, str]:
    """Location and id of a session that holds the content."""
    location = client.post(f"{REPOSITORY}/blobs/uploads/").headers["location"]
    assert client.patch(location, content=content).status_code == 202
    return location, location.rpartition("/")[2]


@pytest.mark.parametrize("question", ["status", "go on", "finish"])
@pytest.mark.parametrize(
    "staged",
    [None, b"", LARGE[:4096], bytes(len(LARGE)), LARGE[:-4096] + bytes(4096), bytes(4096) + LARGE[4096:]],
    ids=["gone", "empty", "cut off", "zeros", "its end zeros", "its beginning zeros"],
)
def test_a_session_whose_bytes_a_power_cut_took_is_gone(
    server: Running, client: httpx.Client, staged: bytes | None, question: str
) -> None:
    location, upload_id = half_way(client, LARGE)
    power_cut(server.data, upload_id, staged)
    digest = digest_of(LARGE + b"rest")

    if question == "status":
        answer = client.get(location)
    elif question == "go on":
        answer = client.patch(location, content=b"rest")
    else:
        answer = client.put(location, params={"digest": digest}, content=b"rest")
    assert answer.status_code == 404, answer.headers
    assert client.put(location, params={"digest": digest}, content=b"rest").status_code == 404
    assert client.head(f"{REPOSITORY}/blobs/{digest}").status_code == 404


@pytest.mark.parametrize("more", [b"", b"what the disk had beyond it"])
def test_a_session_whose_bytes_outlived_a_power_cut_goes_on(server: Running, client: httpx.Client, more: bytes) -> None:
    location, upload_id = half_way(client, LARGE + more[:1])
    power_cut(server.data, upload_id, LARGE + more)

    status = client.get(location)
    assert (status.status_code, status.headers["range"]) == (204, f"0-{len(LARGE + more[:1]) - 1}")
    content = LARGE + more[:1] + b"rest"
    finished = client.put(location, params={"digest": digest_of(content)}, content=b"rest")
    assert finished.status_code == 201
    assert client.get(f"{REPOSITORY}/blobs/{digest_of(content)}").content == content


def test_a_session_of_an_earlier_boot_is_read_again_once(server: Running, client: httpx.Client) -> None:
    location, upload_id = half_way(client, LARGE)
    power_cut(server.data, upload_id, LARGE)
    client.get(location)

    connection = apsw.Connection(str(server.data / "pierhead.db"))
    boot = connection.execute("SELECT boot FROM uploads WHERE id = :id", {"id": upload_id}).get
    connection.close()
    assert boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
