"""A registry that moves while it is pulled from and pushed to."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path

import apsw
import httpx
import pytest

from pierhead import errors
from pierhead.blobs.files import FileStore
from pierhead.data_directory import alone, prepare
from pierhead.metadata import manifests, moves, repositories, tags
from pierhead.metadata.database import Transaction
from pierhead.metadata.sqlite import capture
from pierhead.metadata.sqlite.database import SqliteDatabase
from pierhead.models import Digest
from pierhead.moving import content, grow, rows
from pierhead.moving.progress import Silent
from pierhead.moving.side import Side
from pierhead.registry.documents import OCI_INDEX as INDEX
from pierhead.settings import StorageSettings
from tests.crash.verify import inspect
from tests.metadata.rows import APP, add_blob, add_event, add_manifest, add_tag, digest, layer
from tests.moving.command import done, killed, pierhead
from tests.moving.contents import named, served
from tests.moving.damage import a_blob, flip
from tests.moving.grown import wait_until_all_are_gone
from tests.moving.loading import Gone, Pulling, loading
from tests.running import Running, serving

# Several servers and a load, on a machine that may have other things to do.
pytestmark = pytest.mark.timeout(300)

SEED = 12
KILLS = 5


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Running]:
    with serving(tmp_path / "old", "--workers", "2") as server:
        yield server


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Of the registry to move to."""
    path = tmp_path / "new.toml"
    path.write_text(f'[server]\ndata = "{tmp_path / "new"}"\n')
    return path


def test_nothing_that_was_acknowledged_is_lost(
    old: Running, config: Path, tmp_path: Path, announce: Callable[[str], None]
) -> None:
    push(old)
    pulling = Pulling(old.host, "/v2/team/app/manifests/v1")
    with loading(old.host, clients=4, seed=SEED) as load:
        pulling.start()
        time.sleep(2)
        told = done("grow", "--data", old.data, "--to", config)
        wait_until_all_are_gone(load)
    pulling.join(30)
    assert isinstance(pulling.failure, Gone)

    with serving(tmp_path / "new") as server:
        load.verify(server.host)
    inspect(tmp_path / "new")
    frozen = max((last - first for wire in load.wires for first, last in wire.refused), default=0.0)
    assert frozen <= grow.FREEZE_SECONDS
    seen = f"{load.acknowledged} requests acknowledged, {pulling.pulls} pulls, a client was refused for {frozen:.2f} s"
    announce(f"grow: {seen}; {told.strip()}")


def test_the_old_one_serves_nothing_from_then_on(old: Running, config: Path, tmp_path: Path) -> None:
    with loading(old.host, seed=SEED) as load:
        time.sleep(1)
    load.settle()
    everything = named(old.data)
    before = served(old.host, everything)

    done("grow", "--data", old.data, "--to", config)

    with httpx.Client(base_url=old.url) as client:
        pull = client.get(everything[0])
        assert (pull.status_code, pull.headers["retry-after"]) == (503, "60")
        assert pull.json()["errors"][0]["message"] == errors.Moved.__doc__
        assert client.get("/readyz").status_code == 503
        assert client.get("/healthz").status_code == 200
    old.stop()
    refused = pierhead("serve", "--data", old.data)
    assert refused.returncode == 2
    assert f"this registry has moved to {config}; serve that one" in refused.stderr
    assert "has moved" in pierhead("backup", "--data", old.data, "--to", tmp_path / "backup").stderr
    with serving(tmp_path / "new") as server:
        assert served(server.host, everything) == before


def test_one_that_is_killed_goes_on(
    old: Running, config: Path, tmp_path: Path, announce: Callable[[str], None]
) -> None:
    chance, kills = random.Random(SEED), 0
    with loading(old.host, clients=2, seed=SEED) as load:
        time.sleep(1)
        while kills < KILLS and killed("grow", "--data", old.data, "--to", config, chance=chance, within=1.5):
            kills += 1
        done("grow", "--data", old.data, "--to", config)
        wait_until_all_are_gone(load)

    with serving(tmp_path / "new") as server:
        load.verify(server.host)
    inspect(tmp_path / "new")
    announce(f"grow: {kills} kills, {load.acknowledged} requests acknowledged")


def test_one_that_fails_leaves_the_old_one_as_it_was(old: Running, config: Path, tmp_path: Path) -> None:
    with loading(old.host, seed=SEED) as load:
        time.sleep(1)
    load.settle()
    file, digest = a_blob(old.data)
    flip(file)

    ran = pierhead("grow", "--data", old.data, "--to", config)

    assert ran.returncode == 1
    assert f"the blob {digest} is damaged" in ran.stderr
    assert triggers(old.data) == []
    assert push(old).status_code == 201
    unfinished = pierhead("serve", "--data", tmp_path / "new")
    assert unfinished.returncode == 2
    assert f"it is being filled from {old.data}" in unfinished.stderr
    flip(file)
    assert "rows and 0 blobs" not in done("grow", "--data", old.data, "--to", config)


def test_pushes_are_refused_while_it_is_frozen_and_pulls_are_not(old: Running) -> None:
    """As a `grow` leaves it that is killed at the worst moment."""
    assert push(old).status_code == 201
    asyncio.run(freeze(old.data, 1.5))

    refused = push(old)
    pulled = httpx.get(f"{old.url}/v2/_catalog")

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
    assert refused.json()["errors"][0]["message"] == errors.Moving.__doc__
    assert pulled.status_code == 200
    time.sleep(1.6)
    assert push(old).status_code == 201
    done("grow", "--data", old.data, "--give-up")
    assert triggers(old.data) == []
    assert push(old).status_code == 201


def test_sessions_that_are_not_finished_begin_anew(old: Running, config: Path, tmp_path: Path) -> None:
    with httpx.Client(base_url=old.url) as client:
        begun = client.post("/v2/team/app/blobs/uploads/").headers["location"]
        half = client.post("/v2/team/app/blobs/uploads/").headers["location"]
        assert client.patch(half, content=b"x" * 100).status_code == 202
    done("grow", "--data", old.data, "--to", config)

    with serving(tmp_path / "new") as server, httpx.Client(base_url=server.url) as client:
        assert [client.patch(path, content=b"y").status_code for path in (begun, half)] == [404, 404]
        assert push(server).status_code == 201


def test_it_is_told_where_to(old: Running, config: Path) -> None:
    neither = pierhead("grow", "--data", old.data)
    both = pierhead("grow", "--data", old.data, "--to", config, "--give-up")

    assert (neither.returncode, both.returncode) == (2, 2)
    assert "one of --to CONFIG and --give-up is needed" in neither.stderr


def test_only_one_at_a_time_moves_a_registry(old: Running, config: Path) -> None:
    with alone(old.data, "grow.lock"):
        ran = pierhead("grow", "--data", old.data, "--to", config)

    assert ran.returncode == 2
    assert "another process holds" in ran.stderr


def test_it_moves_neither_onto_itself_nor_into_what_holds_something(old: Running, config: Path, tmp_path: Path) -> None:
    unsaid = tmp_path / "unsaid.toml"
    unsaid.write_text("")
    onto = tmp_path / "onto.toml"
    onto.write_text(f'[server]\ndata = "{old.data}"\n')
    with serving(tmp_path / "new") as other:
        assert push(other).status_code == 201

    itself = pierhead("grow", "--data", old.data, "--to", onto)
    nowhere = pierhead("grow", "--data", old.data, "--to", unsaid)
    full = pierhead("grow", "--data", old.data, "--to", config)

    assert (itself.returncode, nowhere.returncode, full.returncode) == (2, 2, 2)
    assert "keeps rows or bytes in" in itself.stderr
    assert "unsaid.toml keeps rows or bytes in pierhead-data; it needs database.url and" in nowhere.stderr
    assert "the target holds content already" in full.stderr
    assert push(old).status_code == 201


@pytest.mark.anyio
async def test_one_that_ends_just_before_its_end_is_finished_by_the_next(
    old: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At that moment neither of the two can be served."""
    push(old)
    async with side(old.data) as source, side(tmp_path / "new") as target:
        monkeypatch.setattr(grow, "arrive", lambda tx, copied: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            await grow.Growth(source, target, grow.Places("here", "there"), Silent()).run()
        for place in (source, target):
            with pytest.raises(errors.ConfigurationError):
                await moves.require_whole(place.database)
        with pytest.raises(errors.ConfigurationError, match="has moved to there already"):
            await grow.Growth(source, target, grow.Places("here", "elsewhere"), Silent()).run()
        monkeypatch.undo()

        await grow.Growth(source, target, grow.Places("here", "there"), Silent()).run()

        await moves.require_whole(target.database)
        with pytest.raises(errors.ConfigurationError, match="has moved to there"):
            await moves.require_whole(source.database)


@pytest.mark.anyio
async def test_one_that_is_told_to_end_leaves_nothing_behind(
    old: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = asyncio.Event()

    async def carry(*_: object) -> tuple[int, int]:
        copies.set()
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(content, "carry", carry)
    push(old)
    async with side(old.data) as source, side(tmp_path / "new") as target:
        growing = asyncio.create_task(grow.Growth(source, target, grow.Places("here", "there"), Silent()).run())
        await copies.wait()
        assert triggers(old.data)

        growing.cancel()

        with pytest.raises(asyncio.CancelledError):
            await growing
        assert triggers(old.data) == []
    assert push(old).status_code == 201


@pytest.mark.anyio
async def test_too_much_to_copy_in_a_freeze_gives_up(
    old: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grow, "_WORK_SECONDS", 0.0)
    monkeypatch.setattr(grow, "_PAUSE_SECONDS", 0.0)
    push(old)

    async with side(old.data) as source, side(tmp_path / "new") as target:
        with pytest.raises(errors.MoveFailed, match="5 freezes of 5 seconds were not enough"):
            await grow.Growth(source, target, grow.Places("here", "there"), Silent()).run()

    assert push(old).status_code == 201
    assert triggers(old.data) == []


class Changing:
    """A registry of rows that change as SQLite lets them: it gives ids of what was removed again."""

    def __init__(self, database: SqliteDatabase, seed: int) -> None:
        self._database = database
        self._random = random.Random(seed)

    async def change(self) -> None:
        await self._database.write(self._random.choice((self._push, self._push, self._move, self._delete)))

    async def _push(self, tx: Transaction) -> None:
        text = f"text {self._random.randrange(12)}"
        repository_id = await repositories.ensure(tx, APP)
        if await manifests.find(tx, repository_id, digest(text)) is None:
            blobs = [await add_blob(tx, APP, f"blob {self._random.randrange(9)}") for _ in range(2)]
            parts = [layer(text) for text in blobs]
            await add_manifest(tx, APP, text, references=parts)

    async def _move(self, tx: Transaction) -> None:
        found = await tx.fetch_all("SELECT id FROM manifests ORDER BY id")
        if found:
            await add_tag(tx, APP, f"t{self._random.randrange(4)}", self._random.choice(found)[0])
            await add_event(tx, APP)

    async def _delete(self, tx: Transaction) -> None:
        found = await tx.fetch_all("SELECT id, digest FROM manifests ORDER BY id DESC LIMIT 3")
        if found:
            manifest_id, named = self._random.choice(found)
            for tag in await tags.of_manifest(tx, manifest_id):
                await tags.remove(tx, await repositories.ensure(tx, APP), tag)
            await manifests.remove(tx, {manifest_id: Digest(named)})


@pytest.mark.anyio
@pytest.mark.parametrize("seed", range(6))
async def test_what_changed_is_brought_over_whatever_ids_were_given_again(seed: int, tmp_path: Path) -> None:
    async with side(tmp_path / "old") as source, side(tmp_path / "new") as target:
        assert isinstance(source.database, SqliteDatabase)
        changing = Changing(source.database, seed)
        growth = grow.Growth(source, target, grow.Places("here", "there"), Silent())
        await source.database.write(capture.begin)
        for _ in range(30):
            for _ in range(random.Random(seed).randrange(1, 12)):
                await changing.change()

            async with source.database.snapshot() as theirs:
                seen = await growth._apply(theirs)
                async with target.database.snapshot() as ours:
                    assert await rows.differences(theirs, ours, Silent()) == []
            await source.database.write(partial(capture.forget, upto=seen))


def push(server: Running) -> httpx.Response:
    """A manifest that differs each time."""
    body = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [], "annotations": {"at": str(time.time_ns())}}
    headers = {"content-type": INDEX}
    return httpx.put(f"{server.url}/v2/team/app/manifests/v1", content=json.dumps(body), headers=headers)


async def freeze(data: Path, seconds: float) -> None:
    async with SqliteDatabase(data / "pierhead.db") as database:
        await database.write(capture.begin)
        await database.write(lambda tx: moves.enter(tx, "frozen", "there", seconds=seconds))


def triggers(data: Path) -> list[str]:
    with closing(apsw.Connection(str(data / "pierhead.db"))) as connection:
        return [str(name) for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE name LIKE 'grow%'")]


@asynccontextmanager
async def side(data: Path) -> AsyncIterator[Side]:
    prepare(data)
    async with (
        SqliteDatabase(data / "pierhead.db") as database,
        FileStore(data, StorageSettings(min_free_bytes=0)) as store,
    ):
        yield Side(database, store)
