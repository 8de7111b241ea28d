"""What a pull asks of the database that nodes share."""

import json
from pathlib import Path

import pytest
from pydantic import SecretStr

from pierhead.blobs.files import FileStore
from pierhead.metadata.postgresql.database import PostgresqlDatabase
from pierhead.metadata.unreferenced import Lease
from pierhead.models import Actor, RepositoryName, TagName
from pierhead.registry.contents import Contents
from pierhead.registry.damage import Damage
from pierhead.registry.deleting import Deleting
from pierhead.registry.documents import OCI_INDEX
from pierhead.registry.manifests import Manifests
from pierhead.settings import DatabaseSettings, ManifestSettings, StorageSettings

pytestmark = pytest.mark.anyio

APP, LATEST = RepositoryName("team/app"), TagName("latest")
INDEX = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_pull_by_tag_is_one_question_in_one_round_trip(at_postgresql: str, tmp_path: Path) -> None:
    asked: list[str] = []
    async with PostgresqlDatabase(DatabaseSettings(url=SecretStr(at_postgresql), pool_size=1)) as database:
        manifests = Manifests(
            database,
            Contents(1 << 20, item_max=1 << 20),
            ManifestSettings(),
            deleting=Deleting(1),
            lease=Lease(60),
            damage=Damage(database, FileStore(tmp_path, StorageSettings())),
        )
        await manifests.push(APP, LATEST, INDEX, content_type=OCI_INDEX, actor=Actor("alice"))
        assert await manifests.content(await manifests.find(APP, LATEST)) == INDEX
        async with database.pool.lend() as connection:
            connection.add_query_logger(lambda record: asked.append(record.query))
        assert await manifests.content(await manifests.find(APP, LATEST)) == INDEX
        said = list(asked)
        async with database.pool.lend() as connection, connection.transaction():
            await connection.execute("SET LOCAL enable_seqscan = off")
            plan = await connection.fetch(f"EXPLAIN {said[0]}", APP, LATEST)

    assert len(said) == 1
    assert sum("Scan using" in line for (line,) in plan) == 3, plan
    assert not any("Seq Scan" in line for (line,) in plan)
