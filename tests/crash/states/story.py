"""What clients were told while they were recorded, and so what has to be there after a cut at a given moment."""

from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.journal import Key, Session, Step, Value
from tests.crash.load import Client
from tests.crash.states.recording import Recording
from tests.crash.wire import Answer

UNKNOWN = "unknown"  # may be there or not
LATEST = 12  # keys that the latest steps changed, which are always looked at


@dataclass(slots=True)
class Told:
    """A step, and when its answer began to leave."""

    name: str
    changes: dict[Key, Value]
    port: int = 0
    answer: int = 0  # of those by this port
    mark: str = ""  # instead, where it was a command
    at: int = 0


class Teller(Client):
    """A client that notes where in the recording each of its answers is found."""

    def __init__(self, number: int, host: str, seed: int) -> None:
        super().__init__(number, host, seed)
        self.told: list[Told] = []
        self.every_session: dict[str, Session] = {}
        self.before: dict[Key, Value] = {}  # the latest delete

    def work(self, steps: int) -> None:
        """So many requests more, in a thread of its own."""
        doings, weights = zip(*self._doings, strict=True)
        until = len(self.told) + steps
        try:
            while len(self.told) < until:
                self._random.choices(doings, weights)[0]()
        except BaseException as error:  # noqa: BLE001  told by who waits for this thread
            self.failure = error

    def _do(self, step: Step) -> Answer | None:
        before = len(self.told)
        self.told.append(Told(step.name, {}))
        answer = super()._do(step)
        self.told[before].port, self.told[before].answer = self._wire.port, self._wire.answers - 1
        if answer is not None:
            self.told[before].changes = step.changes
        return answer

    def close(self) -> None:
        self._wire.close()

    def delete_a_tag(self) -> str | None:
        """What there was to delete, as commands name it; `before` is what there was."""
        tags = sorted(key for key in self.journal.held if key[0] == "tag")
        return self._delete(self._random.choice(tags), ":") if tags else None

    def delete_a_manifest(self) -> str | None:
        manifests = sorted(key for key in self.journal.held if key[0] == "manifest" and not self.journal.needed(key))
        return self._delete(self._random.choice(manifests), "@") if manifests else None

    def _delete(self, key: Key, mark: str) -> str:
        kind, repository, name = key
        changes: dict[Key, Value] = {key: None}
        if kind == "manifest":
            going = self.journal.going(key)
            tags = [self.journal.tags_of(repository, digest) for _, _, digest in going]
            changes = dict.fromkeys([*going, *(tag for some in tags for tag in some)])
        self.before = {one: self.journal.held[one] for one in changes}
        self._do(self._step("DELETE", f"/v2/{repository}/manifests/{name}", 202, changes))
        return f"{repository}{mark}{name}"

    def noted(self, changes: dict[Key, Value], mark: str) -> None:
        """What a command changed."""
        self.journal.apply(changes)
        self.told.append(Told(mark, changes, mark=mark))

    def forget_unneeded(self, mark: str) -> None:
        """From here on blobs that no manifest needs may be there or not, and nobody counts on them."""
        unneeded = [key for key in self.journal.held if key[0] == "blob" and not self.journal.needed(key)]
        for key in unneeded:
            del self.journal.held[key]
        self.told.append(Told(mark, dict.fromkeys(unneeded, UNKNOWN), mark=mark))

    def _start_session(self) -> None:
        known = set(self.journal.sessions)
        super()._start_session()
        for made in self.journal.sessions.keys() - known:
            self.told[-1].changes = {("upload", self.journal.sessions[made].repository, made): 0}
            self.every_session[made] = self.journal.sessions[made]


@dataclass(slots=True)
class Expected:
    """Of one client. Of a session any offset that was ever accepted may be found, or none: see `tells`."""

    client: Teller
    held: dict[Key, Value] = field(default_factory=dict)
    ended: set[Key] = field(default_factory=set)
    offsets: dict[Key, set[int]] = field(default_factory=dict)
    unknown: set[Key] = field(default_factory=set)
    latest: "deque[Key]" = field(default_factory=lambda: deque(maxlen=LATEST))
    doubt: Told | None = None  # sent, and not answered by then
    _done: int = 0

    def forward(self, moment: int) -> None:
        """To what had been answered by then."""
        told = self.client.told
        while self._done < len(told) and told[self._done].at <= moment:
            self._apply(told[self._done])
            self._done += 1
        self.doubt = told[self._done] if self._done < len(told) else None

    def _apply(self, told: Told) -> None:
        for key, value in told.changes.items():
            if value == UNKNOWN:
                self.held.pop(key, None)
                self.ended.discard(key)
                self.unknown.add(key)
                continue
            self.unknown.discard(key)
            if value is None:
                self.held.pop(key, None)
                self.ended.add(key)
            else:
                self.held[key] = value
                self.ended.discard(key)
            if key[0] == "upload" and value is not None:
                self.offsets.setdefault(key, set()).add(value)
            self.latest.append(key)

    @property
    def doubtful(self) -> dict[Key, Value]:
        changes = self.doubt.changes if self.doubt else {}
        return {} if UNKNOWN in changes.values() else changes

    def tells(self, key: Key, found: Value) -> bool:
        """Whether this may be found of a key that is in no doubt."""
        if key in self.unknown:
            return True
        if key[0] == "upload" and key in self.held:
            # Its rows and bytes may go with the power: then it is older, or gone. An id without bytes needs neither.
            return found in self.offsets[key] or (found is None and self.offsets[key] != {0})
        return bool(found == self.held.get(key))

    def tells_doubtful(self, found: dict[Key, Value]) -> bool:
        """Whether the step in doubt was done wholly or not at all."""
        sure = {key: value for key, value in found.items() if key[0] != "upload" and key not in self.unknown}
        before = {key: self.held.get(key) for key in sure}
        after = {key: self.doubtful[key] for key in sure}
        sessions = [key for key in found if key[0] == "upload"]
        return sure in (before, after) and all(self._may_be(key, found[key]) for key in sessions)

    def _may_be(self, key: Key, found: Value) -> bool:
        return found is None or found == self.doubtful[key] or found in self.offsets.get(key, ())


@dataclass(frozen=True, slots=True)
class Story:
    recording: Recording
    clients: list[Teller]
    trace: Path

    @classmethod
    def of(cls, recording: Recording, clients: list[Teller], trace: Path) -> "Story":
        counts = Counter(told.port for client in clients for told in client.told if told.port)
        # A port that two connections had after one another would mix their answers up.
        assert counts == {port: len(answers) for port, answers in recording.answers.items()}
        for client in clients:
            for told in client.told:
                told.at = recording.said[told.mark] if told.mark else recording.answers[told.port][told.answer]
        return cls(recording, clients, trace)

    def begin(self) -> list[Expected]:
        return [Expected(client) for client in self.clients]
