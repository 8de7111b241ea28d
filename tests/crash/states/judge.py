"""Whether a state that a cut left is one that clients can live with: what they were told is there, and whole."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from pierhead.blobs.files import FileStore
from pierhead.blobs.hashing import Hashes
from pierhead.errors import BlobUnknown, ManifestUnknown, RepositoryUnknown, UploadUnknown
from pierhead.metadata.sqlite.database import SqliteDatabase
from pierhead.models import Actor, Digest, RepositoryName, TagName
from pierhead.registry.registry import Registry
from pierhead.settings import Settings
from tests.crash.journal import Key, Value
from tests.crash.states.disk import Content, Tree
from tests.crash.states.story import Expected
from tests.crash.verify import check_rows

HASHES = Hashes.load()
SAMPLE = 6  # of the keys that no recent step changed
_PAGE = 1000
Find = Callable[[Key], Awaitable[Value]]


@asynccontextmanager
async def opened(data: Path) -> AsyncIterator[Registry]:
    """The registry of a state, as a server opens it."""
    settings = Settings()
    async with (
        SqliteDatabase(data / "pierhead.db") as database,
        FileStore(data, settings.storage, hashes=HASHES) as store,
    ):
        yield Registry(database, store, settings)


async def found(registry: Registry, key: Key) -> Value:
    """What `Verifier` finds over the wire: what a key leads to, whose bytes are what it says."""
    kind, where, name = key
    repository = RepositoryName(where)
    try:
        if kind == "upload":
            upload = await registry.uploads.find(repository, name)
            return None if upload.digest else upload.offset
        if kind == "blob":
            return _same(Digest(name), await _blob(registry, repository, Digest(name)))
        manifest = await registry.manifests.find(repository, TagName(name) if kind == "tag" else Digest(name))
        _same(manifest.digest, await registry.manifests.content(manifest))
        return str(manifest.digest) if kind == "tag" else True
    except (RepositoryUnknown, ManifestUnknown, BlobUnknown, UploadUnknown):
        return None


async def _blob(registry: Registry, repository: RepositoryName, digest: Digest) -> bytes:
    blob = await registry.blobs.find(repository, digest)
    content = await registry.blobs.content(repository, blob)
    if content is None:
        reader = await registry.blobs.open(repository, blob)
        try:
            content = b"".join([bytes(chunk) async for chunk in reader.chunks(0, blob.size)])
        finally:
            reader.close()
    return content


def _same(digest: Digest, content: bytes) -> bool:
    actual = f"{digest.algorithm}:{hashlib.new(digest.algorithm, content).hexdigest()}"
    assert actual == digest, f"{digest} was promised, the bytes have {actual}"
    return True


async def compare(find: Find, expected: Expected, chance: Random, data: Path) -> None:
    """Some of what a client was told with what is there; all that its latest steps changed."""
    keys = _asked(expected, chance)
    sessions = {key for key in expected.held if key[0] == "upload"}
    doubtful = {key: await find(key) for key in expected.doubtful}
    step = expected.doubt.name if expected.doubt else ""
    assert expected.tells_doubtful(doubtful), f"half of {step}: found {doubtful}"
    for key in sorted((keys | sessions) - expected.doubtful.keys()):
        there = await find(key)
        told = expected.held.get(key)
        assert expected.tells(key, there), f"{key}: {told} was acknowledged, {there} is there"
        if key[0] == "upload" and there:
            _require_staged(data, expected, key[2], there)


def _asked(expected: Expected, chance: Random) -> set[Key]:
    """What the latest steps changed, some of the rest, and the parts of the manifests among these."""
    rest = [*expected.held, *expected.ended]
    keys = {*expected.latest, *chance.sample(rest, min(SAMPLE, len(rest)))}
    needs = expected.client.journal.needs
    return keys | {part for key in keys if key in expected.held for part in needs.get(key, ())}


def _require_staged(data: Path, expected: Expected, session: str, offset: int) -> None:
    """That the bytes which a session tells of are the client's."""
    content = expected.client.journal.contents[expected.client.every_session[session].digest].bytes
    staged = [path.read_bytes()[:offset] for path in data.glob(f"uploads/{session[:2]}/{session}.*")]
    assert content[:offset] in staged, f"session {session} tells {offset}, its bytes are others"


async def compare_lists(registry: Registry, expected: Expected) -> None:
    """That the lists of tags hold what was told and nothing else."""
    for repository in {where for _, where, _ in (*expected.held, *expected.ended)}:
        doubtful = {name for kind, where, name in expected.doubtful if (kind, where) == ("tag", repository)}
        tags = {name for kind, where, name in expected.held if (kind, where) == ("tag", repository)}
        try:
            listed = set((await registry.tags.page(RepositoryName(repository), after="", size=_PAGE)).names)
        except RepositoryUnknown:
            listed = set()
        assert listed - doubtful == tags - doubtful, f"tags of {repository}: {tags} were told, {listed} are there"


async def finish_session(registry: Registry, expected: Expected, chance: Random) -> bool:
    """Sends the rest of one session that is still there; whether there was one."""
    sessions = sorted(key for key in expected.held if key[0] == "upload" and key not in expected.doubtful)
    for _, where, name in chance.sample(sessions, len(sessions)):
        repository = RepositoryName(where)
        session = expected.client.every_session[name]
        content = expected.client.journal.contents[session.digest].bytes
        try:
            async with registry.uploads.receive(repository, name) as receiving:
                await receiving.write(content[receiving.offset :])
                await receiving.finish(Digest(session.digest), actor=Actor("after the cut"))
        except UploadUnknown:
            continue
        assert await found(registry, ("blob", where, session.digest)) is True
        return True
    return False


class Auditor:
    """Rows against each other and against the bytes of a state; remembers which bytes it has seen."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], str] = {}

    def audit(self, data: Path, tree: Tree) -> None:
        rows, folder = check_rows(data), "data/blobs/"
        files = {path.removeprefix(folder): content for path, content in tree.files.items() if path.startswith(folder)}
        rows.require({key: len(content.data) for key, content in files.items()})
        for key, (digest, _) in rows.blobs.items():
            assert key in rows.beside or self._digest(files[key]) == digest, f"the bytes of {digest} are others"

    def _digest(self, content: Content) -> str:
        found = self._known.get(content.version) if content.version else None
        if found is None:
            found = f"sha256:{hashlib.sha256(content.data).hexdigest()}"
            if content.version:
                self._known[content.version] = found
        return found
