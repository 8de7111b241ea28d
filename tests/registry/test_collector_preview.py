"""What a preview names is what a run right after frees, whatever the rows are."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pierhead.blobs.files import FileStore
from pierhead.metadata.database import Database, Transaction
from pierhead.models import Digest
from pierhead.registry.collector import Collector, Freed
from pierhead.settings import CollectionSettings, StorageSettings
from tests.contracts.database import Place
from tests.invariants import violations

REPOSITORIES, BLOBS = 3, 4
FAR = 9_000_000_000_000_000  # microseconds since 1970
_DIGESTS = [Digest(f"sha256:{hashlib.sha256(b'%d' % number).hexdigest()}") for number in range(BLOBS)]
_NOTE = st.none() | st.tuples(st.sampled_from([1, 2, 3, FAR]), st.sampled_from([0, FAR]))  # since, leased_until
_CELL = st.tuples(st.booleans(), st.booleans(), st.booleans(), _NOTE)  # held, needed, by the trash, noted
_STATE = st.lists(_CELL, min_size=REPOSITORIES * BLOBS, max_size=REPOSITORIES * BLOBS)

_EMPTY = (
    "UPDATE manifests SET trash_id = NULL",
    "DELETE FROM trash",
    "DELETE FROM manifests",
    "DELETE FROM manifest_contents",
    "DELETE FROM unreferenced_blobs",
    "DELETE FROM repository_blobs",
    "DELETE FROM blobs",
    "DELETE FROM doomed_keys",
    "DELETE FROM repositories",
    "DELETE FROM projects",
    "INSERT INTO projects (name, created_at) VALUES ('team', 0)",
)


async def _make(tx: Transaction, cells: list[Any]) -> None:
    for statement in _EMPTY:
        await tx.execute(statement)
    for digest in _DIGESTS:
        await tx.execute(
            "INSERT INTO blobs (digest, size, key, created_at) VALUES (:digest, 7, :key, 0)",
            digest=digest,
            key=f"sha256/{digest.hex[:2]}/{digest.hex}.{'0' * 32}-0",
        )
    for number in range(REPOSITORIES):
        await tx.execute(
            "INSERT INTO repositories (project_id, name, created_at) SELECT id, :name, 0 FROM projects",
            name=f"team/r{number}",
        )
        for blob, digest in enumerate(_DIGESTS):
            await _relate(tx, f"team/r{number}", digest, cells[number * BLOBS + blob])


async def _relate(tx: Transaction, name: str, digest: Digest, cell: Any) -> None:
    held, needed, trashed, noted = cell
    if held:
        await _insert(tx, "repository_blobs (repository_id, digest, created_at)", ":digest, 0", name, digest=digest)
    if needed:
        manifest = f"manifest of {name} {digest}"
        await tx.execute("INSERT INTO manifest_contents (digest, content) VALUES (:digest, '')", digest=manifest)
        await _insert(
            tx,
            "manifests (repository_id, digest, media_type, size, pushed_at)",
            ":digest, 'm', 1, 0",
            name,
            digest=manifest,
        )
        await tx.execute(
            "INSERT INTO manifest_references (manifest_id, digest, kind)"
            " SELECT id, :digest, 'layer' FROM manifests WHERE digest = :manifest",
            digest=digest,
            manifest=manifest,
        )
    if needed and trashed:
        await tx.execute(
            "INSERT INTO trash (kind, project_id, name, deleted_at, goes_at, actor) "
            "SELECT 'manifest', id, :name, 0, :far, 'alice' FROM projects",
            name=name,
            far=FAR,
        )
        await tx.execute(
            "UPDATE manifests SET trash_id = (SELECT max(id) FROM trash) WHERE digest = :digest", digest=manifest
        )
    # What is always so: what is held and not needed is noted.
    if noted is None and held and not needed:
        noted = (1, 0)
    if noted is not None:
        await _insert(
            tx,
            "unreferenced_blobs (repository_id, digest, since, leased_until)",
            "CAST(:digest AS TEXT), CAST(:since AS BIGINT), CAST(:until AS BIGINT)",
            name,
            digest=digest,
            since=noted[0],
            until=noted[1],
        )


async def _insert(tx: Transaction, table: str, values: str, name: str, **given: str | int) -> None:
    values = values.replace(":digest,", "CAST(:digest AS TEXT),")
    await tx.execute(
        f"INSERT INTO {table} SELECT id, {values} FROM repositories WHERE name = :name", name=name, **given
    )


async def _previewed_and_freed(place: Place, folder: Path, cells: list[Any]) -> tuple[list[Freed], list[Freed]]:
    async with place.open() as database, FileStore(folder, StorageSettings(min_free_bytes=0)) as store:
        await database.write(lambda tx: _make(tx, cells))
        collector = Collector(database, store, CollectionSettings(), copied=False)
        previewed = [freed async for freed in collector.preview()]
        freed = [one async for step in collector.run(rests=False) for one in step.freed]
        await _judge(database, freed, cells)
        return previewed, freed


async def _judge(database: Database, freed: list[Freed], cells: list[Any]) -> None:
    """What is needed anywhere stays, and what is held stays where it is needed."""
    for number, digest in enumerate(_DIGESTS):
        if any(cells[place * BLOBS + number][1] for place in range(REPOSITORIES)):
            assert digest not in {one.digest for one in freed}
    left = [one for one in await violations(database) if "nobody holds it" not in one]
    assert left == []


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cells=_STATE)
def test_a_preview_is_the_deed(place: Place, files: Path, cells: list[Any]) -> None:
    previewed, freed = asyncio.run(_previewed_and_freed(place, files, cells))

    assert sorted((one.digest, one.size) for one in previewed) == sorted((one.digest, one.size) for one in freed)
    assert len({one.digest for one in previewed}) == len(previewed)
