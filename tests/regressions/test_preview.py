"""The dry run: it changes nothing, and what follows is what it said."""

import os
import time
from pathlib import Path

import httpx
import pytest

from tests.distribution.wire import Ledger, image, push_blob, push_image, push_manifest, sha256
from tests.regressions.acting import LEASES_OVER_SECONDS, eager, pierhead, told
from tests.running import Running

LARGE = 64 * 1024


def leave(client: httpx.Client) -> dict[str, int]:
    """Blobs that nothing needs, with their sizes, beside ones that something needs."""
    push_image(client, "seen", "1", "kept")
    contents = [os.urandom(LARGE + number) for number in range(5)] + [os.urandom(100)]
    for content in contents:
        push_blob(client, "seen", content)
    layer = contents.pop()
    push_blob(client, "seen", b"{}")
    assert push_manifest(client, "seen", "2", image(b"{}", [layer])).status_code == 201
    client.delete(f"/v2/seen/manifests/{sha256(image(b'{}', [layer]))}").raise_for_status()
    return {sha256(content): len(content) for content in contents}


def everything(server: Running) -> tuple[Ledger, bytes]:
    dumped = pierhead(server.data, "trash", "list", "--json").encode()
    return Ledger.of(server), dumped


@pytest.mark.parametrize("times", [1, 3])
def test_a_dry_run_removes_nothing_and_the_run_just_what_it_said(tmp_path: Path, times: int) -> None:
    """harbor#19308: 87,000 blobs were gone after a dry run. zot's retention removed orphans in one, too."""
    with eager(tmp_path / "data") as server, httpx.Client(base_url=server.url, timeout=30) as client:
        unneeded = leave(client)
        time.sleep(LEASES_OVER_SECONDS)
        before = everything(server)

        seen = [told(server.data, "gc", "--dry-run") for _ in range(times)]

        assert everything(server) == before
        assert seen == [seen[0]] * times
        done = told(server.data, "gc")
        assert done["blobs"] == seen[0]["blobs"] == len(unneeded)
        assert done["bytes"] == seen[0]["bytes"] == sum(unneeded.values())
        after = Ledger.of(server)
        assert before[0].rows["blobs"] - after.rows["blobs"] == len(unneeded)
        assert len(before[0].blobs) - len(after.blobs) == len(unneeded)
        assert client.head("/v2/seen/manifests/1").status_code == 200
