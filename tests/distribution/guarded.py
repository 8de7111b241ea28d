"""A server with accounts, a trusted proxy and things to hide."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jwt

from pierhead.metadata.sqlite import engine
from pierhead.metadata.sqlite.database import SqliteDatabase
from tests.access.hashed import argon2, fast, write
from tests.access.people import People
from tests.distribution.logs import failures
from tests.distribution.wire import push_blob, push_image
from tests.running import Running, serving

Account = tuple[str, str]

ADMIN, ANN, EVE = ("admin", "correct horse"), ("ann", "battery staple"), ("eve", "staple battery")
TRUSTED = "127.0.0.2"  # where the proxy is
EVIL = "evil.example.org"

_SETTINGS = f"""
[server]
trusted_proxies = ["{TRUSTED}/32"]
[projects]
create = "granted"
[htpasswd]
admins = ["admin"]
[certificates]
header = "X-Client-Certificate"
"""


@dataclass(frozen=True, slots=True)
class Guarded:
    """`team`, `lone` are private and `open` is public. ann reads team and writes to own; eve has nothing."""

    server: Running
    layer: str  # of team/app, which nothing else has
    tokens: dict[str, str]

    @property
    def url(self) -> str:
        return self.server.url

    def ask(
        self, method: str, path: str, *, auth: Account | None = None, bearer: str = "", **more: Any
    ) -> httpx.Response:
        headers = {"authorization": f"Bearer {bearer}"} if bearer else {}
        return httpx.request(method, f"{self.url}{path}", auth=auth, headers=headers | more.pop("headers", {}), **more)

    def answer(self, *wanted: str, auth: Account | None = None) -> httpx.Response:
        return self.ask("GET", "/token", auth=auth, params=[("scope", scope) for scope in wanted])

    def token(self, *wanted: str, auth: Account | None = None) -> str:
        answer = self.answer(*wanted, auth=auth)
        assert answer.status_code == 200, answer.text
        found: str = answer.json()["token"]
        return found

    def change(self, sql: str) -> None:
        connection = engine.connect(self.server.data / "pierhead.db")
        connection.execute(sql)
        connection.close()


@contextmanager
def guarded(folder: Path) -> Iterator[Guarded]:
    (folder / "pierhead.toml").write_text(_SETTINGS)
    accounts = write(folder / "auth", fast(*ADMIN))
    arguments = ("--config", str(folder / "pierhead.toml"), "--htpasswd", str(accounts), "--access-log", "all")
    with serving(folder / "data", *arguments, "--workers", "2") as server:
        with httpx.Client(base_url=server.url, auth=ADMIN) as client:
            for name in ("team/app", "team/other", "lone/app", "open/app", "own/app"):
                push_image(client, name, "1")
            layer = push_blob(client, "team/app", b"what only team/app holds")
            push_blob(client, "lone/app", b"what only lone/app holds")
        yield Guarded(server, layer, asyncio.run(_people(server.data)))
        assert failures(server.log) == []


async def _people(data: Path) -> dict[str, str]:
    async with SqliteDatabase(data / "pierhead.db") as database:
        people = People(database)
        await people.run("UPDATE projects SET visibility = 'public' WHERE name = 'open'")
        ann, eve = await people.user(ANN[0]), await people.user(EVE[0])
        for made, account in ((ann, ANN), (eve, EVE)):
            await people.password(made, argon2(*account).partition(":")[2])
        for role, project in (("reader", "team"), ("writer", "own")):
            await people.grant(ann, role, await _project(database, project))
        own = await _project(database, "own")
        return {
            "whole": await people.token(ann),
            "own": await people.token(ann, places=((own, "**"),)),
            "brief": await people.token(ann, expires_at=int((time.time() + 3600) * 1e6)),
        }


def opened(bearer: str) -> dict[str, list[str]]:
    access = jwt.decode(bearer, options={"verify_signature": False})["access"]
    return {f"{entry['type']}:{entry['name']}": entry["actions"] for entry in access}


async def _project(database: SqliteDatabase, name: str) -> int:
    row = await database.read(lambda tx: tx.fetch_one("SELECT id FROM projects WHERE name = :name", name=name))
    assert row is not None
    return int(row[0])
