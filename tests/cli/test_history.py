"""`pierhead history`, `pierhead pin` and `pierhead promote`, beside a server that serves."""

import getpass
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from pierhead.cli.moments import parse
from tests.cli.test_main import pierhead
from tests.distribution.wire import push_image, refused
from tests.running import Running

ABSENT = "sha256:" + "0" * 64


def told(server: Running, *arguments: str) -> str:
    ran = pierhead(*arguments, "--data", str(server.data))
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def told_json(server: Running, *arguments: str) -> Any:
    return json.loads(told(server, *arguments, "--json"))


def said(server: Running, *arguments: str) -> str:
    """What a command said that was refused."""
    ran = pierhead(*arguments, "--data", str(server.data))
    assert ran.returncode in {1, 2}, ran.stdout
    return ran.stderr


def test_moves_are_listed_in_a_table_that_a_person_reads(server: Running, client: httpx.Client) -> None:
    client.headers["user-agent"] = "docker/29.1 go/1.25"
    one, two = push_image(client, "table/app", "v1", "one"), push_image(client, "table/app", "v1", "two")
    client.delete("/v2/table/app/manifests/v1")

    lines = told(server, "history", "table/app:v1").splitlines()
    assert lines[0].split() == ["ID", "TIME", "TAG", "WHAT", "FROM", "TO", "BY", "CLIENT", "REASON"]
    assert [line.split()[2:] for line in lines[1:]] == [
        ["v1", "deleted", two[:19], "-", "anonymous", "docker/29.1", "-"],
        ["v1", "moved", one[:19], two[:19], "anonymous", "docker/29.1", "-"],
        ["v1", "created", "-", one[:19], "anonymous", "docker/29.1", "-"],
    ]
    client.delete(f"/v2/table/app/manifests/{two}")
    assert f"{two[:19]} (trash)" in told(server, "history", "table/app:v1")


def test_moves_are_told_whole_as_json_and_page_by_page(server: Running, client: httpx.Client) -> None:
    one, two = push_image(client, "pages/app", "v1", "one"), push_image(client, "pages/app", "v1", "two")
    push_image(client, "pages/app", "v2", "one")

    first = told_json(server, "history", "pages/app", "--limit", "2")
    rest = told_json(server, "history", "pages/app", "--limit", "2", "--before", str(first["next_before"]))
    entries = first["entries"] + rest["entries"]
    assert [(entry["tag"], entry["action"]) for entry in entries] == [
        ("v2", "created"),
        ("v1", "moved"),
        ("v1", "created"),
    ]
    assert (entries[1]["before"], entries[1]["after"]) == (
        {"digest": one, "bytes": "kept", "until": None},
        {"digest": two, "bytes": "kept", "until": None},
    )
    assert {"at", "actor", "credential", "address", "agent", "request_id", "reason", "id"} < set(entries[0])
    assert rest["next_before"] is None
    assert (first["others"], first["incarnation"]["deleted"]) == ([], False)
    ran = pierhead("history", "pages/app", "--limit", "2", "--data", str(server.data))
    assert ran.stderr == f"older ones: --before {first['next_before']}\n"


def test_the_tags_of_a_moment_are_told(server: Running, client: httpx.Client) -> None:
    one = push_image(client, "then/app", "v1", "one")
    push_image(client, "then/app", "v2", "one")

    assert told(server, "history", "then/app", "--at", "0s").splitlines()[1:] == [
        f"v1   {one}  kept",
        f"v2   {one}  kept",
    ]
    page = told_json(server, "history", "then/app", "--at", "0s", "--limit", "1")
    assert ([tag["tag"] for tag in page["tags"]], page["next_after"]) == (["v1"], "v1")
    page = told_json(server, "history", "then/app", "--at", "0s", "--after", "v1")
    assert ([tag["tag"] for tag in page["tags"]], page["next_after"]) == (["v2"], None)
    assert told(server, "history", "then/app:v3", "--at", "0s").splitlines()[1].split() == ["v3", "-", "-"]
    assert "at that moment" in said(server, "history", "then/app", "--at", "2020-01-01")


def test_what_has_no_history_is_refused(server: Running, client: httpx.Client) -> None:
    assert "no repository has this name: never/there" in said(server, "history", "never/there")
    assert "tags" in said(server, "history", f"never/there@{ABSENT}")
    assert "--at" in said(server, "history", "never/there", "--after", "v1")
    assert "--before" in said(server, "history", "never/there", "--at", "1d", "--before", "3")
    assert "2026-01-31" in said(server, "history", "never/there", "--at", "yesterday")


def test_a_pin_holds_a_tag_of_a_server_that_serves(server: Running, client: httpx.Client) -> None:
    push_image(client, "pinned/app", "v1", "one")
    made = told(server, "pin", "add", "pinned/app:v1", "--reason", "in production", "--until", "2100-01-01")
    assert made == "pinned/app:v1 is pinned until 2100-01-01T00:00:00Z\n"

    answer = client.delete("/v2/pinned/app/manifests/v1")
    error = refused(answer, 409, "DENIED", f"v1, by {getpass.getuser()} until 2100-01-01T00:00:00Z: in production")
    assert "in production" in error["message"]  # docker shows nothing else
    lines = told(server, "pin", "list", "pinned/app").splitlines()
    assert lines[0].split() == ["ID", "WHAT", "UNTIL", "BY", "SINCE", "REASON"]
    assert lines[1].split()[1:4] == ["pinned/app:v1", "2100-01-01T00:00:00Z", getpass.getuser()]
    assert told(server, "pin", "remove", "pinned/app:v1") == "pinned/app:v1 is pinned no more\n"
    assert client.delete("/v2/pinned/app/manifests/v1").status_code == 202
    assert "is not pinned" in said(server, "pin", "remove", "pinned/app:v1")
    assert "in the trash; restore it first" in said(server, "pin", "add", "pinned/app:v1", "--reason", "x")


def test_pins_are_told_whole_as_json(server: Running, client: httpx.Client) -> None:
    one = push_image(client, "told/app", "v1", "one")
    made = told_json(server, "pin", "add", f"told/app@{one}", "--reason", "x")
    over = told_json(server, "pin", "add", "told/app:v1", "--reason", "y", "--until", "2020-01-01")

    page = told_json(server, "pin", "list", "told/app", "--limit", "1")
    assert page == {"pins": [made], "next_after": made["id"]}
    assert told_json(server, "pin", "list", "told/app", "--after", str(made["id"]))["pins"] == [over]
    assert (made["digest"], made["tag"], made["until"], made["over"]) == (one, None, None, False)
    assert (over["tag"], over["over"]) == ("v1", True)
    assert "(over)" in told(server, "pin", "list")
    assert told_json(server, "pin", "remove", f"told/app@{one}") == {"removed": True}
    for what in ("told/app", "told/app:v1:v2"):
        assert "Usage" in said(server, "pin", "add", what, "--reason", "x")
    assert "give a repository" in said(server, "pin", "list", "told/app:v1")


def test_a_promotion_moves_what_its_file_lists(server: Running, client: httpx.Client, tmp_path: Path) -> None:
    one, two = (push_image(client, "promoted/app", tag, tag) for tag in ("one", "two"))
    push_image(client, "promoted/web", "one", "one")
    file = tmp_path / "release.json"
    steps = [
        {"tag": "promoted/app:stable", "digest": two, "expected": "absent"},
        {"tag": "promoted/web:stable", "digest": one},
    ]
    file.write_text(json.dumps(steps))

    lines = told(server, "promote", str(file), "--reason", "release 2").splitlines()
    assert [line.split() for line in lines] == [
        ["TAG", "FROM", "TO"],
        ["promoted/app:stable", "-", two],
        ["promoted/web:stable", "-", one],
    ]
    assert client.head("/v2/promoted/app/manifests/stable").headers["docker-content-digest"] == two
    assert told_json(server, "history", "promoted/web:stable")["entries"][0]["reason"] == "release 2"
    assert "as it was" in told(server, "promote", str(file))
    file.write_text(json.dumps([{**steps[1], "expected": two, "digest": ABSENT}]))
    assert ABSENT in said(server, "promote", str(file))
    file.write_text(json.dumps([{"tag": "promoted/app:stable", "digest": one, "expected": one}]))
    assert f"promoted/app:stable is {two}" in said(server, "promote", str(file))


@pytest.mark.parametrize(
    "content",
    ["", "{", "{}x", "7", "[7]", '["a"]', '[{"tag": "a:b"}]', '[{"tag": "a", "digest": "sha256:00"}]']
    + [json.dumps([{"tag": tag, "digest": digest}]) for tag, digest in (("a", ABSENT), ("A:b", ABSENT), ("a:b", 7))],
)
def test_a_file_that_is_no_promotion_is_refused(server: Running, tmp_path: Path, content: str) -> None:
    file = tmp_path / "release.json"
    file.write_text(content)
    refusal = said(server, "promote", str(file))

    assert "release.json" in refusal
    assert "Traceback" not in refusal


def test_moments_are_read_as_people_write_them() -> None:
    day = 86_400_000_000
    written = {"1970-01-02": day, "1970-01-02T00:00Z": day, "1970-01-02T02:00+02:00": day, "1970-01-02 00:00:00": day}

    assert {text: parse(text, span="ago") for text in written} == written
    assert parse("2h", span="ahead") - parse("2h", span="ago") == pytest.approx(4 * 3_600_000_000, abs=1_000_000)
    for text in ("", "tomorrow", "3y", "-3d", "1970-13-01", "d", "1.5h"):
        with pytest.raises(ValueError, match=r"isoformat|month"):
            parse(text, span="ago")
