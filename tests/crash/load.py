"""A client that pushes, tags, mounts, deletes and leaves things half-way, and writes down what it was told."""

import random
import threading
from collections.abc import Callable

from tests.crash.journal import OCI_IMAGE, OCI_INDEX, Content, Journal, Key, Session, Step, Value, image, index
from tests.crash.verify import Verifier
from tests.crash.wire import Answer, NoAnswer, Wire

MIB = 1024 * 1024
SHARED = 24  # contents that all clients push, so that blobs have several holders
TAGS = 12  # in each repository, so that they move often
OPEN_SESSIONS = 6
PAUSE = 0.01  # seconds between two tries while the server is down


class Client:
    """`run` works in a thread of its own until `stop` is set; the rest is for the time when it does not."""

    def __init__(self, number: int, host: str, seed: int) -> None:
        self.journal = Journal()
        self.failure: BaseException | None = None
        self._random = random.Random(seed)
        self._seed = seed
        self._wire = Wire(host)
        self._repositories = [f"client{number}/a", f"client{number}/b"]
        self._others = [f"client{other}/a" for other in range(16) if other != number]
        self._notes = 0
        self._doings: list[tuple[Callable[[], None], int]] = [
            (self._push_blob, 10),
            (self._push_at_once, 4),
            (self._mount, 4),
            (self._push_manifest, 12),
            (self._push_index, 2),
            (self._retag, 6),
            (self._delete_tag, 3),
            (self._delete_manifest, 3),
            (self._delete_blob, 3),
            (self._start_session, 3),
            (self._continue_session, 8),
            (self._cancel_session, 1),
        ]

    def run(self, stop: threading.Event) -> None:
        doings, weights = zip(*self._doings, strict=True)
        try:
            while not stop.is_set():
                try:
                    if self.journal.doubt is not None:
                        Verifier(self._wire, self.journal).settle()
                    # With something undone, a write that touches nothing else comes first.
                    (self._push_anew if self.journal.undone else self._random.choices(doings, weights)[0])()
                except NoAnswer:
                    stop.wait(PAUSE)
        except BaseException as error:  # noqa: BLE001  told by the test, which waits for this thread
            self.failure = error
        finally:
            self._wire.close()

    # One request

    def _do(self, step: Step) -> Answer | None:
        """Sends a step and applies it; None where it was refused as foreseen. Raises NoAnswer: it is in doubt."""
        self.journal.doubt = step
        answer = step.send()
        self.journal.doubt = None
        if answer.status in step.done:
            self.journal.apply(step.changes)
            if step.changes:
                self.journal.undone.clear()
            self.journal.acknowledged += 1
            return answer
        assert answer.status in step.refused, f"{step.name}: {answer.status} {answer.body!r}"
        return None

    def _step(self, method: str, path: str, done: int, changes: dict[Key, Value], **given: object) -> Step:
        body, headers = given.get("body", b""), given.get("headers", {})
        assert isinstance(body, bytes)
        assert isinstance(headers, dict)
        return Step(f"{method} {path}", lambda: self._wire.ask(method, path, body, headers), frozenset({done}), changes)

    # Blobs

    def _content(self) -> str:
        chance = self._random.random()
        if chance < 0.35:
            seed = self._random.randrange(SHARED)
            size = 100 + 5000 * seed if seed % 4 else MIB + 150_000 * seed
        elif chance < 0.40:
            seed, size = self._random.getrandbits(48), self._random.randrange(MIB, 3 * MIB)
        else:
            seed, size = self._random.getrandbits(48), self._random.choice((1, 33, 700, 4096, 70_000))
        return self.journal.add(Content(size, seed))

    def _push_blob(self) -> None:
        repository, digest = self._random.choice(self._repositories), self._content()
        content = self.journal.contents[digest].bytes
        answer = self._do(self._step("POST", f"/v2/{repository}/blobs/uploads/", 202, {}))
        assert answer is not None
        location = answer.headers["location"]
        changes: dict[Key, Value] = {("blob", repository, digest): True}
        self._do(self._step("PUT", f"{location}?digest={digest}", 201, changes, body=content))

    def _push_at_once(self) -> None:
        repository, digest = self._random.choice(self._repositories), self._content()
        content = self.journal.contents[digest].bytes
        path = f"/v2/{repository}/blobs/uploads/?digest={digest}"
        self._do(self._step("POST", path, 201, {("blob", repository, digest): True}, body=content))

    def _push_anew(self) -> None:
        """A blob that nobody has."""
        digest = self.journal.add(Content(64, self._random.getrandbits(48)))
        repository = self._repositories[0]
        path = f"/v2/{repository}/blobs/uploads/?digest={digest}"
        changes: dict[Key, Value] = {("blob", repository, digest): True}
        self._do(self._step("POST", path, 201, changes, body=self.journal.contents[digest].bytes))

    def _mount(self) -> None:
        repository = self._random.choice(self._repositories)
        pool = self.journal.add(Content(100 + 5000 * 7, 7))
        blobs = self.journal.names("blob", self._repositories[0]) or [pool]
        digest = pool if self._random.random() < 0.3 else self._random.choice(blobs)
        digest = digest or self._random.choice(blobs)
        source = f"&from={self._random.choice(self._others)}" if self._random.random() < 0.3 else ""
        step = self._step(
            "POST",
            f"/v2/{repository}/blobs/uploads/?mount={digest}{source}",
            201,
            {("blob", repository, digest): True},
        )
        # 202: nobody has it, and an upload begins, which is left as it is.
        step.refused = frozenset({202})
        self._do(step)

    def _delete_blob(self) -> None:
        repository = self._random.choice(self._repositories)
        blobs = self.journal.names("blob", repository)
        if not blobs:
            return
        digest = self._random.choice(blobs)
        key = ("blob", repository, digest)
        path = f"/v2/{repository}/blobs/{digest}"
        if self.journal.needed(key):
            self._do(self._step("DELETE", path, 409, {}))
        else:
            self._do(self._step("DELETE", path, 202, {key: None}))

    # Manifests and tags

    def _push_manifest(self) -> None:
        repository = self._random.choice(self._repositories)
        blobs = self.journal.names("blob", repository)
        if not blobs:
            return
        chosen = self._random.choices(blobs, k=self._random.randrange(1, 5))
        needs: list[Key] = [("blob", repository, digest) for digest in chosen]
        self._put(repository, image(self.journal, chosen, self._note()), OCI_IMAGE, needs)

    def _push_index(self) -> None:
        repository = self._random.choice(self._repositories)
        manifests = self.journal.names("manifest", repository)
        if not manifests:
            return
        chosen = self._random.choices(manifests, k=2)
        needs: list[Key] = [("manifest", repository, digest) for digest in chosen]
        self._put(repository, index(self.journal, chosen, self._note()), OCI_INDEX, needs)

    def _put(self, repository: str, text: bytes, media_type: str, needs: list[Key]) -> None:
        digest = self.journal.add(Content(len(text), 0, text))
        key = ("manifest", repository, digest)
        self.journal.needs[key] = needs
        tags = self._random.sample(range(TAGS), self._random.randrange(3))
        query = "&".join(f"tag=t{tag}" for tag in tags[1:]) if tags else ""
        reference = f"t{tags[0]}" if tags else digest
        changes: dict[Key, Value] = {key: True, **{("tag", repository, f"t{tag}"): digest for tag in tags}}
        path = f"/v2/{repository}/manifests/{reference}?{query}".rstrip("?")
        self._do(self._step("PUT", path, 201, changes, body=text, headers={"content-type": media_type}))

    def _retag(self) -> None:
        repository = self._random.choice(self._repositories)
        manifests = self.journal.names("manifest", repository)
        if not manifests:
            return
        digest = self._random.choice(manifests)
        text = self.journal.contents[digest].bytes
        media_type = OCI_INDEX if OCI_INDEX.encode() in text else OCI_IMAGE
        tag = f"t{self._random.randrange(TAGS)}"
        path = f"/v2/{repository}/manifests/{tag}"
        changes: dict[Key, Value] = {("tag", repository, tag): digest}
        self._do(self._step("PUT", path, 201, changes, body=text, headers={"content-type": media_type}))

    def _delete_tag(self) -> None:
        repository = self._random.choice(self._repositories)
        tags = self.journal.names("tag", repository)
        if tags:
            tag = self._random.choice(tags)
            path = f"/v2/{repository}/manifests/{tag}"
            self._do(self._step("DELETE", path, 202, {("tag", repository, tag): None}))

    def _delete_manifest(self) -> None:
        repository = self._random.choice(self._repositories)
        manifests = self.journal.names("manifest", repository)
        if not manifests:
            return
        digest = self._random.choice(manifests)
        key = ("manifest", repository, digest)
        path = f"/v2/{repository}/manifests/{digest}"
        if self.journal.needed(key):
            self._do(self._step("DELETE", path, 409, {}))
            return
        changes: dict[Key, Value] = dict.fromkeys(self.journal.going(key))
        changes.update(dict.fromkeys(self.journal.tags_of(repository, digest)))
        self._do(self._step("DELETE", path, 202, changes))

    def _note(self) -> str:
        self._notes += 1
        # Some manifests are the same in both repositories of a client, and so share their bytes.
        return f"{self._seed} {self._notes // 2}"

    # Sessions

    def _start_session(self) -> None:
        if len(self.journal.sessions) >= OPEN_SESSIONS:
            return
        repository, digest = self._random.choice(self._repositories), self._content()
        answer = self._do(self._step("POST", f"/v2/{repository}/blobs/uploads/", 202, {}))
        assert answer is not None
        made = answer.headers["location"].rpartition("/")[2]
        self.journal.sessions[made] = Session(repository, made, digest, self.journal.contents[digest].size)
        self.journal.apply({("upload", repository, made): 0})

    def _continue_session(self) -> None:
        session = self._session()
        if session is None:
            return
        key = ("upload", session.repository, session.id)
        path = f"/v2/{session.repository}/blobs/uploads/{session.id}"
        offset: int = self.journal.held[key]
        content = self.journal.contents[session.digest].bytes
        # Never one byte at first: `Range: 0-0` stands for no byte and for one, so a doubt could not be settled.
        end = min(session.size, offset + max(2, self._random.randrange(session.size + session.size // 2)))
        if end == session.size and (end == 1 or self._random.random() < 0.7):
            changes: dict[Key, Value] = {key: None, ("blob", session.repository, session.digest): True}
            self._do(self._step("PUT", f"{path}?digest={session.digest}", 201, changes, body=content[offset:]))
            return
        headers = {"content-range": f"{offset}-{end - 1}"} if end > offset and self._random.random() < 0.5 else {}
        answer = self._do(self._step("PATCH", path, 202, {key: end}, body=content[offset:end], headers=headers))
        assert answer is not None
        assert answer.offset == end

    def _cancel_session(self) -> None:
        session = self._session()
        if session is not None:
            key = ("upload", session.repository, session.id)
            path = f"/v2/{session.repository}/blobs/uploads/{session.id}"
            self._do(self._step("DELETE", path, 204, {key: None}))

    def _session(self) -> Session | None:
        """One that is still open."""
        for session in list(self.journal.sessions.values()):
            if ("upload", session.repository, session.id) not in self.journal.held:
                del self.journal.sessions[session.id]
        return self._random.choice(list(self.journal.sessions.values())) if self.journal.sessions else None
