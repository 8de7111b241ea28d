"""A client of a cluster: it pushes, moves tags, pulls and deletes what others push, move and delete as well."""

import hashlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Self

from tests.cluster.doors import Doors
from tests.cluster.history import THERE, Changes, History, Key
from tests.cluster.register import Value
from tests.cluster.uploads import Uploads
from tests.cluster.works import Image, Works
from tests.crash.journal import OCI_IMAGE
from tests.crash.wire import Answer

REPOSITORIES = ("team/a", "team/b", "other/c")
TAGS = 6  # in each repository, so that many move the same one
OFFSET = 0.004  # seconds, at most, between two requests that shall meet
PAUSE = 0.02  # seconds after something that came to nothing


class Client:
    """`run` works in a thread of its own until `stop` is set."""

    def __init__(
        self, number: int, doors: Doors, history: History, works: Works, *, twin: "Client | None" = None
    ) -> None:
        self.failure: BaseException | None = None
        self.did: Counter[str] = Counter()
        self._note = f"by client {number}"
        self._doors = doors
        self._history = history
        self._works = works
        self._twin = twin  # does something at the same moment
        self._random = random.Random(works.seed * 100 + number)
        self._uploads = Uploads(doors, history, self._random, self._note)
        self._doings: list[tuple[Callable[[], bool], int]] = [
            (self._push, 6),
            (self._move, 8),
            (self._pull, 8),
            (self._look_at_tag, 10),
            (self._list, 2),
            (self._delete_tag, 2),
            (self._delete_manifest, 2),
            (self._delete_blob, 3),
            (self._contend, 6),
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._doors.close()

    def run(self, stop: threading.Event) -> None:
        doings, weights = zip(*self._doings, strict=True)
        try:
            with self, self._twin or nullcontext(), ThreadPoolExecutor(1) as self._aside:
                while not stop.is_set():
                    doing = self._random.choices(doings, weights)[0]
                    done = doing()
                    self.did[f"{doing.__name__.strip('_')}{'' if done else ', not done'}"] += 1
                    if not done:
                        time.sleep(PAUSE)
        except BaseException as error:  # noqa: BLE001  told by the test, which waits for this thread
            self.failure = error

    # Pushing and moving

    def _push(self) -> bool:
        repository = self._random.choice(REPOSITORIES)
        blobs = [self._works.pick(self._random) for _ in range(self._random.randrange(2, 4))]
        return all(self._ensure(repository, digest) for digest in blobs) and self._tag(repository, tuple(blobs))

    def _ensure(self, repository: str, digest: str) -> bool:
        """Pushes a blob that is not there yet."""
        if self._random.random() < 0.7 and self._look(("blob", repository, digest), "HEAD") == THERE:
            return True
        return self._uploads.push(repository, digest, self._works.content(digest))

    def _move(self) -> bool:
        known = self._works.known(self._random)
        return known is not None and self._tag(known.repository, known.blobs)

    def _tag(self, repository: str, blobs: tuple[str, ...]) -> bool:
        """A new image of these blobs, under a tag or two."""
        tags = [f"t{tag}" for tag in self._random.sample(range(TAGS), self._random.choice((1, 1, 1, 2)))]
        image = self._works.image(repository, blobs, tags)
        answer = self._put(image)
        if answer is None or answer.status == 201:
            self._works.images.append(image)
        return answer is not None and answer.status == 201

    def _contend(self) -> bool:
        """Deletes a blob at the moment at which a manifest comes that needs it: one of the two is refused."""
        repository, digest = self._random.choice(REPOSITORIES), self._works.fresh(self._random)
        if self._twin is None or not self._uploads.push(repository, digest, self._works.content(digest)):
            return False
        image = self._works.image(repository, [digest], [])
        deleting = self._aside.submit(self._twin.delete_blob, repository, digest, self._random.uniform(0, OFFSET))
        time.sleep(self._random.uniform(0, OFFSET))
        answer = self._put(image)
        deleting.result()
        if answer is None or answer.status == 404:
            return answer is not None
        return self._pull_part(("manifest", repository, image.digest), digest)

    def delete_blob(self, repository: str, digest: str, after: float) -> bool:
        """`after` so many seconds."""
        time.sleep(after)
        return self._delete(("blob", repository, digest), f"/v2/{repository}/blobs/{digest}")

    def _put(self, image: Image) -> Answer | None:
        """None where it is in doubt; 404 where a part is not there."""
        repository, first = image.repository, image.tags[0] if image.tags else image.digest
        changes: dict[Key, Value] = {("manifest", repository, image.digest): THERE}
        changes.update({("tag", repository, tag): image.digest for tag in image.tags})
        path = f"/v2/{repository}/manifests/{first}{''.join(f'?tag={tag}' for tag in image.tags[1:])}"
        begin = self._history.now()
        answer = self._change("PUT", path, 201, changes, body=image.text, headers={"content-type": OCI_IMAGE})
        if answer is not None and answer.status == 404:
            self._missing(image, answer, begin)
        return answer

    def _missing(self, image: Image, answer: Answer, begin: float) -> None:
        """What a refusal says is not there, which has to be true."""
        (error,) = json.loads(answer.body)["errors"]
        assert error["code"] == "MANIFEST_BLOB_UNKNOWN", error
        missing = error["detail"].split(", ")
        assert set(missing) <= set(image.blobs), error
        for digest in missing:
            self._history.read(("blob", image.repository, digest), None, begin, f"{self._note}, refused a manifest")

    # Reading

    def _pull(self) -> bool:
        """A tag, what it points to, and every part of that."""
        known = self._works.known(self._random)
        if known is None:
            return False
        repository, tag = known.repository, self._random.choice(known.tags)
        answer = self._read(("tag", repository, tag), "GET")
        if answer is None or answer.status == 404:
            return answer is not None
        document = json.loads(answer.body)
        key = ("manifest", repository, answer.headers["docker-content-digest"])
        parts = [document["config"]["digest"], *(layer["digest"] for layer in document["layers"])]
        return all(self._pull_part(key, digest) for digest in parts)

    def _pull_part(self, manifest: Key, digest: str) -> bool:
        answer = self._read(("blob", manifest[1], digest), "GET")
        if answer is not None and answer.status == 404:
            # Deleted with its manifest, which nobody pushes again; else the manifest has a missing part.
            again = self._read(manifest, "GET")
            assert again is None or again.status == 404, f"{manifest} is there and its part {digest} is not"
        return answer is not None

    def _look_at_tag(self) -> bool:
        tag = f"t{self._random.randrange(TAGS)}"
        return (
            self._read(("tag", self._random.choice(REPOSITORIES), tag), self._random.choice(("GET", "HEAD")))
            is not None
        )

    def _list(self) -> bool:
        """A name that is not on the list is a tag that is not there."""
        repository, begin = self._random.choice(REPOSITORIES), self._history.now()
        answer = self._doors.try_to(self._doors.balancer, "GET", f"/v2/{repository}/tags/list")
        if answer is None:
            return False
        assert answer.status in {200, 404}, answer
        listed = json.loads(answer.body)["tags"] if answer.status == 200 else []
        for tag in {f"t{tag}" for tag in range(TAGS)} - set(listed):
            self._history.read(("tag", repository, tag), None, begin, f"{self._note}, not on the list")
        return True

    def _look(self, key: Key, method: str) -> Value:
        answer = self._read(key, method)
        return None if answer is None or answer.status == 404 else THERE

    def _read(self, key: Key, method: str) -> Answer | None:
        host = self._random.choice((self._doors.balancer, self._doors.next_node()))
        return read(self._doors, host, self._history, key, method=method, note=self._note)

    # Deleting

    def _delete_tag(self) -> bool:
        repository, tag = self._random.choice(REPOSITORIES), f"t{self._random.randrange(TAGS)}"
        return self._delete(("tag", repository, tag), f"/v2/{repository}/manifests/{tag}")

    def _delete_manifest(self) -> bool:
        known = self._works.known(self._random)
        if known is None:
            return False
        path = f"/v2/{known.repository}/manifests/{known.digest}"
        along: dict[Key, Value] = {("tag", known.repository, tag): None for tag in known.tags}
        return self._delete(("manifest", known.repository, known.digest), path, along)

    def _delete_blob(self) -> bool:
        known = self._works.known(self._random)
        if known is None:
            return False
        return self.delete_blob(known.repository, self._random.choice(known.blobs), 0)

    def _delete(self, key: Key, path: str, along: Changes | None = None) -> bool:
        """`along` goes too, where it still is what it was."""
        begin = self._history.now()
        answer = self._change("DELETE", path, 202, {key: None}, along=along)
        if answer is not None and answer.status == 404:
            self._history.read(key, None, begin, f"{self._note}, to be deleted")
        elif answer is not None and answer.status != 202:
            assert (answer.status, key[0]) == (409, "blob"), f"DELETE {path}: {answer}"
        return answer is not None

    def _change(
        self, method: str, path: str, done: int, changes: Changes, *, along: Changes | None = None,
        body: bytes = b"", headers: dict[str, str] | None = None,
    ) -> Answer | None:  # fmt: skip
        """None where it is in doubt; otherwise the answer, which may be a refusal."""
        begin, note = self._history.now(), f"{self._note} {method}"
        answer = self._doors.try_to(self._doors.balancer, method, path, body, headers)
        if answer is None:
            self._history.doubt({**changes, **(along or {})}, begin, note)
        elif answer.status == done:
            self._history.wrote(changes, begin, note)
            self._history.may_have_written(along or {}, begin, note)
        else:
            assert answer.status in {404, 409}, f"{method} {path}: {answer}"
        return answer


def read(doors: Doors, host: str, history: History, key: Key, *, method: str = "GET", note: str = "") -> Answer | None:
    """Reads a key through one door into the history, and checks the bytes; None where no answer came."""
    kind, repository, name = key
    begin, note = history.now(), f"{note} through {host}"
    answer = doors.try_to(host, method, f"/v2/{repository}/{'blobs' if kind == 'blob' else 'manifests'}/{name}")
    if answer is None:
        return None
    value = _value(key, method, answer)
    history.read(key, value, begin, note)
    if kind == "tag" and value:  # what a tag points to is there
        history.read(("manifest", repository, value), THERE, begin, f"{note}, by its tag")
    return answer


def _value(key: Key, method: str, answer: Answer) -> Value:
    assert answer.status in {200, 404}, f"{method} {key}: {answer.status} {answer.body!r}"
    if answer.status == 404:
        return None
    digest = answer.headers["docker-content-digest"]
    actual = f"sha256:{hashlib.sha256(answer.body).hexdigest()}"
    assert method == "HEAD" or actual == digest, f"{key}: {digest} was promised, the bytes have {actual}"
    kind, _, name = key
    assert kind == "tag" or digest == name, f"{key}: {digest} came"
    return digest if kind == "tag" else THERE
