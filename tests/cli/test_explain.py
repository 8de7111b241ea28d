"""`pierhead explain` and `pierhead usage`, beside a server that serves."""

import json

import httpx
import pytest

from tests.cli.test_history import ABSENT, said, told, told_json
from tests.distribution.wire import push_blob, push_image
from tests.nodes.cluster import digest_of
from tests.running import Running


def test_what_a_tag_is_and_what_deleting_it_frees_is_told_to_a_person(server: Running, client: httpx.Client) -> None:
    one = push_image(client, "person/app", "v1", "person")
    push_image(client, "person/app", "latest", "person")
    told(server, "pin", "add", "person/app:v1", "--reason", "production")

    lines = told(server, "explain", "person/app:v1").splitlines()
    assert lines[0] == f"person/app:v1 is {one}"
    assert "    tags: latest, v1" in lines
    assert any("pinned by" in line and "production" in line for line in lines)
    assert "Deleting the tag frees nothing: its manifest stays." in lines
    assert any(line.startswith("Deleting the manifest is refused now:") and "production" in line for line in lines)
    assert "Deleting the manifest takes 1 manifests and 2 tags along, and frees" in lines


def test_why_a_blob_is_here_is_told_as_json(server: Running, client: httpx.Client) -> None:
    manifest = push_image(client, "why/app", "v1", "why")
    push_image(client, "why/other", "v2", "why")
    client.delete(f"/v2/why/other/manifests/{manifest}")
    config = digest_of(json.dumps({"text": "why"}).encode())

    blob = told_json(server, "explain", config)["blob"]
    assert (blob["holders"], blob["manifests"], blob["goes_at"]) == (2, 2, None)
    assert [holder["repository"] for holder in blob["held_by"]] == ["why/app", "why/other"]
    live, gone = blob["needed_by"]
    assert (live["digest"], live["tags"], live["in_trash_until"]) == (manifest, ["v1"], None)
    assert gone["in_trash_until"] is not None
    assert told_json(server, "explain", config, "--limit", "1")["blob"]["needed_by"] == [live]


def test_when_a_blob_goes_that_nothing_needs_is_told(server: Running, client: httpx.Client) -> None:
    push_blob(client, "loose/app", b"nothing needs this")

    lines = told(server, "explain", digest_of(b"nothing needs this"))
    assert "needed by none of its manifests since" in lines
    assert "Nothing needs it. It goes at " in lines


def test_bytes_are_told_of_a_repository_a_project_a_tag_and_all(server: Running, client: httpx.Client) -> None:
    manifest = push_image(client, "bytes/app", "v1", "bytes")
    push_image(client, "bytes/app", "v2", "others")
    push_image(client, "bytes2/app", "v1", "bytes")
    client.delete(f"/v2/bytes/app/manifests/{push_image(client, 'bytes/app', 'v3', 'gone')}")

    space = told_json(server, "usage", "bytes/app")
    assert {name: amount["digests"] for name, amount in space.items() if name != "name"} == {
        "total": 6,
        "shared": 2,
        "exclusive": 4,
        "trash": 2,
        "unneeded": 0,
    }
    assert told_json(server, "usage", "bytes") == {**space, "name": "bytes"}
    assert told_json(server, "usage", f"bytes/app@{manifest}")["shared"] == space["shared"]
    assert told_json(server, "usage")["total"]["bytes"] > space["total"]["bytes"]
    assert [line.split()[-1] for line in told(server, "usage", "bytes/app").splitlines()[1:]] == [
        "6",
        "2",
        "4",
        "2",
        "0",
    ]


def test_a_name_of_both_is_that_of_the_project_unless_said_otherwise(server: Running, client: httpx.Client) -> None:
    push_image(client, "both", "v1", "both 1")
    push_image(client, "both/app", "v1", "both 2")

    assert told_json(server, "usage", "both")["total"]["digests"] == 4
    assert told_json(server, "usage", "both", "--repository")["total"]["digests"] == 2
    assert told(server, "explain", "both").startswith("both holds ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["explain", ABSENT], "no blob and no manifest here has this digest"),
        (["explain", "no/such:v1"], "no repository has this name"),
        (["usage", "nosuch"], "no project has this name"),
        (["usage", "no/such"], "no repository has this name"),
        (["explain", "sha256:short"], "invalid digest"),
        (["explain", "Team/App"], "invalid repository name"),
    ],
)
def test_what_is_not_there_is_said(server: Running, arguments: list[str], message: str) -> None:
    assert message in said(server, *arguments)
