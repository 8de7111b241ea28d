"""Whether the events are those that were sealed: nothing altered, removed, put in between or cut off at the end.

Whoever can write to the database can make a chain anew, and has the key that signs its heads. So what a file of heads
says, kept where they cannot write, is what counts; without one this finds what was changed by who left it there.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from pierhead.metadata import seals
from pierhead.metadata.database import Copyable
from pierhead.metadata.seals import Chain, Head, Sealed
from pierhead.registry.audit.chain import Statement, seal_of

_AT_ONCE = 1000
_SHOWN = 100
_UNSEALED_COUNTED = 1_000_000


@dataclass(frozen=True, slots=True)
class Fault:
    sequence: int | None  # of the event; None: of the chain as a whole
    text: str


@dataclass(slots=True)
class Verified:
    events: int = 0  # looked at
    kept: int = 0  # of these, older than what was let go of
    last: int = 0  # number of the event sealed last
    unsealed: int = 0
    pruned: int = 0
    heads: int = 0  # that were compared
    keys: set[str] = field(default_factory=set)  # public, that heads were signed with
    faults: list[Fault] = field(default_factory=list)  # the first hundred
    faulty: int = 0  # all of them

    def fault(self, sequence: int | None, text: str) -> None:
        self.faulty += 1
        if len(self.faults) < _SHOWN:
            self.faults.append(Fault(sequence, text))


class Verifying:
    """Takes the events in their order, and compares them with the heads on the way."""

    def __init__(self, chain: Chain, heads: Iterable[Head], outside: Iterable[Statement] | None) -> None:
        self.found = Verified(last=chain.sequence, pruned=chain.pruned)
        self._chain = chain
        self._outside = list(outside or ())
        self._compares = outside is not None
        self._heads: dict[int, list[tuple[Statement, str]]] = {}
        self._inside = [one for head in heads if (one := self._read(head)) is not None]
        for one in self._inside:
            self._expect(one, "a head in the database")
        for one in self._outside:
            self._expect(one, "a head in the file")
        self._previous = chain.pruned_seal
        self._expected = chain.pruned + 1
        self._kept = replace(Chain(), pruned=chain.pruned)

    def _read(self, head: Head) -> Statement | None:
        try:
            return Statement.read(head.said, head.signature)
        except ValueError:
            self.found.fault(head.sequence, "a head in the database cannot be read")
            return None

    def _expect(self, one: Statement, name: str) -> None:
        if not one.genuine:
            self.found.fault(one.chain.sequence, f"{name} has a signature that is not its key's")
            return
        self.found.keys.add(one.key)
        self.found.heads += 1
        self._heads.setdefault(one.chain.sequence, []).append((one, name))

    def take(self, one: Sealed) -> None:
        self.found.events += 1
        if one.sequence <= self._chain.pruned:
            self.found.kept += 1
            seal = seal_of(self._kept.kept_seal, one.columns)
            self._kept = replace(self._kept, kept=self._kept.kept + 1, kept_seal=seal)
            return
        if one.sequence != self._expected:
            self._misplaced(one)
        elif seal_of(self._previous, one.columns) != one.seal:
            self.found.fault(one.sequence, "is not as it was sealed")
        self._compare(one.sequence, one.seal)
        self._previous, self._expected = one.seal, one.sequence + 1

    def _misplaced(self, one: Sealed) -> None:
        if one.sequence < self._expected:
            self.found.fault(one.sequence, "is there twice")
        elif one.sequence == self._expected + 1:
            self.found.fault(self._expected, "is missing")
        else:
            self.found.fault(self._expected, f"is missing, with all up to {one.sequence - 1}")

    def _compare(self, sequence: int, seal: bytes) -> None:
        for head, name in self._heads.pop(sequence, ()):
            if head.chain.seal != seal:
                self.found.fault(sequence, f"has another seal than {name} says")

    def end(self) -> Verified:
        chain, found = self._chain, self.found
        if self._expected != chain.sequence + 1:
            found.fault(self._expected, f"the chain ends before it, and should go up to {chain.sequence}")
        elif self._previous != chain.seal:
            found.fault(chain.sequence, "has another seal than the chain ends with")
        if (self._kept.kept, self._kept.kept_seal) != (chain.kept, chain.kept_seal):
            found.fault(None, f"of the events up to {chain.pruned}, {chain.kept} stayed: they are not what they were")
        self._compare(chain.pruned, chain.pruned_seal)
        for sequence, heads in sorted(self._heads.items()):
            if sequence > chain.pruned:
                found.fault(sequence, f"is not there, and {heads[0][1]} says that it was")
        self._compare_pruning("the last head in the database", self._inside)
        if self._compares:
            self._compare_pruning("the file of heads", self._outside)
        return found

    def _compare_pruning(self, name: str, heads: list[Statement]) -> None:
        """What was let go of is what a signed head says."""
        chain = self._chain
        told = [one.chain for one in heads if one.genuine]
        if not told:
            if chain.pruned:
                self.found.fault(None, f"events up to {chain.pruned} went, and {name} does not say so")
            return
        stands = (chain.pruned, chain.pruned_seal, chain.kept, chain.kept_seal)
        if stands not in {(one.pruned, one.pruned_seal, one.kept, one.kept_seal) for one in told}:
            self.found.fault(None, f"events up to {chain.pruned} went, and {name} does not say so")


async def verify(
    database: Copyable, outside: Iterable[Statement] | None, progress: Callable[[int], None] = lambda _: None
) -> Verified:
    """Reads all sealed events, of one state, whoever writes meanwhile."""
    async with database.snapshot() as tx:
        chain = await seals.chain(tx)
        verifying = Verifying(chain, await seals.heads(tx, limit=_AT_ONCE * 10), outside)
        verifying.found.unsealed = await seals.count_unsealed(tx, limit=_UNSEALED_COUNTED)
        after, after_id = 0, 0
        while page := await seals.walk(tx, after=after, after_id=after_id, limit=_AT_ONCE):
            for one in page:
                verifying.take(one)
            after, after_id = page[-1].sequence, page[-1].columns["id"]
            progress(len(page))
        return verifying.end()
