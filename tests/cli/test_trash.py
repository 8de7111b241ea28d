"""`pierhead delete`, `restore`, `rollback` and `trash`, beside a server."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.cli.test_main import pierhead
from tests.nodes.cluster import digest_of, manifest, push, push_blob
from tests.running import Running, serving


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("trash") / "data", "--workers", "1") as running:
        yield running


@pytest.fixture
def app(running: Running, request: pytest.FixtureRequest) -> "App":
    return App(running, f"{request.node.name.replace('_', '-')[:60].strip('-')}/app")


class App:
    """A repository of its own for each test."""

    def __init__(self, running: Running, name: str) -> None:
        self.name, self.project = name, name.partition("/")[0]
        self._data = running.data
        self._url = running.url

    async def _push(self, tag: str, text: str) -> str:
        async with httpx.AsyncClient(base_url=self._url, timeout=30) as client:
            assert (await push_blob(client, self.name)).status_code == 201
            content = manifest(text)
            assert (await push(client, self.name, tag, content)).status_code == 201
            return digest_of(content)

    def push(self, tag: str, text: str = "a") -> str:
        import asyncio  # noqa: PLC0415

        return asyncio.run(self._push(tag, text))

    def pull(self, reference: str, name: str = "") -> httpx.Response:
        return httpx.get(f"{self._url}/v2/{name or self.name}/manifests/{reference}", timeout=30)

    def run(self, *arguments: str) -> str:
        ran = pierhead(*arguments, "--data", str(self._data))
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def refused(self, *arguments: str, code: int = 1) -> str:
        ran = pierhead(*arguments, "--data", str(self._data))
        assert ran.returncode == code, ran.stdout
        assert not ran.stdout
        return ran.stderr

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json"))


def test_a_tag_is_deleted_and_restored_beside_the_server(app: App) -> None:
    digest = app.push("v1")
    said = app.run("delete", f"{app.name}:v1")
    gone = app.pull("v1")
    listed = app.json("trash", "list", app.name)
    restored = app.run("restore", f"{app.name}:v1", "--reason", "by mistake")

    assert said.splitlines()[0] == f"{app.name}:v1 deleted"
    assert said.splitlines()[1].endswith(f"Z: pierhead restore {app.name}:v1")
    assert gone.status_code == 404
    assert [(one["kind"], one["tag"], one["digest"]) for one in listed] == [("tag", "v1", digest)]
    assert restored == f"{app.name}:v1 restored: 0 manifests and 1 tag\n  {app.name}:v1\n"
    assert app.pull("v1").headers["docker-content-digest"] == digest


def test_a_manifest_is_deleted_with_its_tags_and_restored(app: App) -> None:
    digest = app.push("v1")
    app.push("v2")
    said = app.run("delete", f"{app.name}@{digest}", "--reason", "leaked a key")
    app.push("v2", "b")
    told = app.json("restore", f"{app.name}@{digest}")

    assert said.splitlines()[0] == f"{app.name}@{digest} deleted, with 1 manifest and 2 tags"
    assert told == {
        "kind": "manifest",
        "name": app.name,
        "repositories": 0,
        "manifests": [digest],
        "tags": ["v1"],
        "not_moved": ["v2"],
    }


def test_a_404_names_the_way_back(app: App) -> None:
    digest = app.push("v1")
    before = app.pull("v1x").json()
    app.run("delete", f"{app.name}@{digest}")
    by_tag, by_digest = (app.pull(reference).json()["errors"][0] for reference in ("v1", digest))
    app.run("delete", app.name)
    whole = app.pull("v1")

    assert before["errors"][0]["message"] == "the repository holds no such manifest"
    assert by_tag["code"] == by_digest["code"] == "MANIFEST_UNKNOWN"
    assert by_tag["message"].endswith(f"Z: pierhead restore {app.name}:v1")
    assert by_digest["message"].endswith(f"Z: pierhead restore {app.name}@{digest}")
    assert whole.status_code == 404
    assert whole.json()["errors"][0]["code"] == "NAME_UNKNOWN"
    assert whole.json()["errors"][0]["message"].endswith(f"Z: pierhead restore {app.name}")
    # What it says works.
    app.run("restore", app.name)
    app.run(*by_tag["message"].partition(": pierhead ")[2].split())
    assert app.pull("v1").status_code == 200


def test_a_repository_comes_back_under_another_name(app: App) -> None:
    digest = app.push("v1")
    app.run("delete", app.name)
    app.push("v1", "b")
    refused = app.refused("restore", app.name)
    said = app.run("restore", app.name, "--as", f"{app.project}/rescued")

    assert refused.startswith(f"pierhead: this name is in use again: {app.name}; ")
    assert said == f"{app.name} restored as {app.project}/rescued\n"
    assert app.pull("v1", f"{app.project}/rescued").headers["docker-content-digest"] == digest


def test_a_project_is_deleted_and_restored(app: App) -> None:
    app.push("v1")
    said = app.run("delete", app.project, "--project")
    gone = app.pull("v1")
    restored = app.run("restore", app.project, "--project")

    assert said.startswith(f"{app.project} deleted, with 1 manifest and 1 tag\n")
    assert said.endswith(f"Z: pierhead restore {app.project} --project\n")
    assert gone.status_code == 404
    assert restored == f"{app.project} restored: 1 repository\n"
    assert app.pull("v1").status_code == 200


def test_a_tag_is_rolled_back(app: App) -> None:
    first, second = app.push("v1"), app.push("v1", "b")
    said = app.run("rollback", f"{app.name}:v1", "--reason", "broken")
    told = app.json("rollback", f"{app.name}:v1", "--to", second, "--reason", "it was not")

    assert said == f"{app.name}:v1 is {first} again; it was {second}\n"
    assert told == {"reference": f"{app.name}:v1", "before": first, "after": second, "restored": []}
    assert app.pull("v1").headers["docker-content-digest"] == second
    assert "never pointed there" in app.refused(
        "rollback", f"{app.name}:v1", "--to", digest_of(b"no"), "--reason", "why"
    )
    assert "a tag is rolled back" in app.refused("rollback", app.name, "--reason", "why", code=2)
    assert "DIGEST" in app.refused("rollback", f"{app.name}:v1", "--to", "abc", "--reason", "why", code=2).upper()


def test_an_entry_is_purged(app: App) -> None:
    digest = app.push("v1", "only here")
    app.run("delete", f"{app.name}@{digest}")
    [listed] = app.json("trash", "list", app.name)
    entry = str(listed["id"])
    dry = app.run("trash", "purge", entry, "--dry-run")
    still = app.json("trash", "list", app.name)
    purged = app.run("trash", "purge", entry)

    size = len(manifest("only here"))
    assert listed["bytes"] == size
    assert dry == f"{app.name}@{digest} would be purged, with 1 manifest and 1 tag: would free {size} bytes\n"
    assert still == [listed]
    assert purged == f"{app.name}@{digest} purged, with 1 manifest and 1 tag: frees {size} bytes\n"
    assert "nothing of this name is in the trash" in app.refused("trash", "purge", entry)
    assert "nothing of this name is in the trash" in app.refused("trash", "purge", f"{app.name}:v1")
    assert "its time in the trash is over" in app.refused("restore", f"{app.name}:v1")


def test_what_is_purged_is_called_by_its_id_or_by_its_name(app: App) -> None:
    for tag in ("v1", "v2", "v3"):
        app.push(tag, tag)
        app.run("delete", f"{app.name}:{tag}")
    [one] = app.json("trash", "purge", f"{app.name}:v2")
    others = app.json("trash", "purge", app.name)
    app.push("v1")
    app.run("delete", app.project, "--project")
    app.run("trash", "purge", app.project, "--project")

    assert (one["tag"], one["purged"]) == ("v2", True)
    assert [other["tag"] for other in others] == ["v1", "v3"]
    assert app.json("trash", "list", app.name) == []
    assert "its time in the trash is over" in app.refused("restore", app.project, "--project")


def test_a_project_has_its_window(app: App) -> None:
    app.push("v1")

    assert app.run("trash", "window", app.project) == f"{app.project}: 336 hours (the setting trash.keep_hours)\n"
    assert app.run("trash", "window", app.project, "0") == f"{app.project}: 0 hours (its own window)\n"
    assert app.run("delete", f"{app.name}:v1") == f"{app.name}:v1 deleted; its trash keeps nothing\n"
    assert app.json("trash", "window", app.project, "default") == {
        "project": app.project,
        "hours": 336,
        "own": False,
    }
    assert "no project has this name" in app.refused("trash", "window", "none-such")
    assert "a number from 0" in app.refused("trash", "window", app.project, "long", code=2)


def test_a_table_shows_what_can_be_restored(app: App) -> None:
    app.push("v1")
    app.run("delete", f"{app.name}:v1")
    headings, line = app.run("trash", "list", app.name).splitlines()

    assert headings.split() == ["ID", "WHAT", "DELETED", "BY", "GOES", "MANIFESTS", "TAGS", "BYTES"]
    assert line.split()[1] == f"{app.name}:v1"
    assert line.split()[-4:] == ["0", "1", "0", "bytes"]


def test_what_makes_no_sense_is_refused(app: App) -> None:
    app.push("v1")

    assert "no repository has this name" in app.refused("delete", "none/such:v1")
    assert "the repository holds no such manifest" in app.refused("delete", f"{app.name}:v2")
    assert "a project is called" in app.refused("delete", app.name, "--project", code=2)
    assert "--as NAME is for a whole repository" in app.refused("restore", f"{app.name}:v1", "--as", "x", code=2)
    assert "invalid" in app.refused("delete", "UPPER:v1", code=2)
