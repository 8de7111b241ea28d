"""Many tags and repositories, straight into our store: python -m benchmarks.fill STORE TAGS REPOSITORIES."""

import asyncio
import sys
from pathlib import Path

from pierhead.metadata import manifests, repositories, tags
from pierhead.metadata.database import Transaction
from pierhead.metadata.sqlite.database import SqliteDatabase
from pierhead.models import Digest, Manifest, RepositoryName, TagName

_CONTENT = b"{}"
_DIGEST = Digest("sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a")


async def fill(store: Path, tag_count: int, repository_count: int) -> None:
    async with SqliteDatabase(store / "pierhead.db") as database:

        async def insert(tx: Transaction) -> None:
            await manifests.keep_content(tx, _DIGEST, _CONTENT)
            for number in range(repository_count):
                await _manifest(tx, RepositoryName(f"big/r{number:07}"))
            repository_id, manifest_id = await _manifest(tx, RepositoryName("big/tags"))
            for number in range(tag_count):
                await tags.point(tx, repository_id, TagName(f"t{number:07}"), manifest_id)

        await database.write(insert)


async def _manifest(tx: Transaction, name: RepositoryName) -> tuple[int, int]:
    repository_id = await repositories.ensure(tx, name)
    manifest = Manifest(_DIGEST, "application/vnd.oci.image.manifest.v1+json", len(_CONTENT))
    new = manifests.NewManifest(repository_id, manifest, None, None, None)
    return repository_id, await manifests.add(tx, new, [])


if __name__ == "__main__":
    asyncio.run(fill(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
