"""What clients were told while they were recorded, and so what has to be there after a cut at a given moment."""

from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.journal import Key, Session, Step, Value
from tests.crash.load import Client
from tests.crash.states.recording import Recording
from tests.crash.wire import Answer

LATEST = 12  # keys that the latest steps changed, which are always looked at


@dataclass(slots=True)
class Told:
    """A step, and when its answer began to leave."""

    name: str
    changes: dict[Key, Value]
    port: int
    answer: int  # of those by this port
    at: int = 0


class Teller(Client):
    """A client that notes where in the recording each of its answers is found."""

    def __init__(self, number: int, host: str, seed: int) -> None:
        super().__init__(number, host, seed)
        self.told: list[Told] = []
        self.every_session: dict[str, Session] = {}

    def work(self, steps: int) -> None:
        """So many requests, in a thread of its own."""
        doings, weights = zip(*self._doings, strict=True)
        try:
            while len(self.told) < steps:
                self._random.choices(doings, weights)[0]()
        except BaseException as error:  # noqa: BLE001  told by who waits for this thread
            self.failure = error
        finally:
            self._wire.close()

    def _do(self, step: Step) -> Answer | None:
        before = len(self.told)
        self.told.append(Told(step.name, {}, 0, 0))
        answer = super()._do(step)
        self.told[before].port, self.told[before].answer = self._wire.port, self._wire.answers - 1
        if answer is not None:
            self.told[before].changes = step.changes
        return answer

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
        return self.doubt.changes if self.doubt else {}

    def tells(self, key: Key, found: Value) -> bool:
        """Whether this may be found of a key that is in no doubt."""
        if key[0] == "upload" and key in self.held:
            # Its rows and bytes may go with the power: then it is older, or gone.
            return found is None or found in self.offsets[key]
        return bool(found == self.held.get(key))

    def tells_doubtful(self, found: dict[Key, Value]) -> bool:
        """Whether the step in doubt was done wholly or not at all."""
        sure = {key: value for key, value in found.items() if key[0] != "upload"}
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
        for client in clients:
            for told in client.told:
                told.at = recording.answers[told.port][told.answer]
        return cls(recording, clients, trace)

    def begin(self) -> list[Expected]:
        return [Expected(client) for client in self.clients]
