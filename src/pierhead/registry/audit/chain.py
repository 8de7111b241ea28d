"""What a seal is, and what a signed head says. No I/O.

A seal is SHA-256 over the seal before it and the event as JSON: each key in the order of letters, nothing between them,
other characters than ASCII as `\\uXXXX`. A head is JSON of that form too, signed with Ed25519 as it stands.
"""

# ruff: noqa: PLC0415

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pierhead.errors import TrailBroken
from pierhead.metadata.seals import Chain, Sealed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_BINARY = ("seal", "pruned_seal", "kept_seal")


def canonical(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def seal_of(previous: bytes, columns: Mapping[str, Any]) -> bytes:
    return hashlib.sha256(previous + canonical(columns).encode("ascii")).digest()


def sealed(chain: Chain, waiting: Iterable[Sealed]) -> tuple[Chain, list[Sealed]]:
    """The events with their numbers and seals, and where the chain stands then."""
    sequence, seal, made = chain.sequence, chain.seal, []
    for one in waiting:
        sequence += 1
        columns = {**one.columns, "sequence": sequence}
        seal = seal_of(seal, columns)
        made.append(Sealed(columns, seal))
    return replace(chain, sequence=sequence, seal=seal), made


def unbroken(chain: Chain, old: Iterable[Sealed]) -> list[Sealed]:
    """Those that follow what went last, as they were sealed. Raises TrailBroken where the first of them does not."""
    found: list[Sealed] = []
    sequence, seal = chain.pruned, chain.pruned_seal
    for one in old:
        if one.sequence != sequence + 1 or seal_of(seal, one.columns) != one.seal:
            if not found:
                raise TrailBroken(f"event {sequence + 1}; pierhead audit verify tells more")
            break
        found.append(one)
        sequence, seal = one.sequence, one.seal
    return found


def pruned(chain: Chain, going: Iterable[Sealed], lasting: set[int]) -> Chain:
    """Where it stands once these went, but for those that last."""
    for one in going:
        chain = replace(chain, pruned=one.sequence, pruned_seal=one.seal)
        if one.columns["id"] in lasting:
            chain = replace(chain, kept=chain.kept + 1, kept_seal=seal_of(chain.kept_seal, one.columns))
    return chain


@dataclass(frozen=True, slots=True)
class Statement:
    """A head as it is read: where the chain stood, when, and by whose key."""

    chain: Chain
    at: int  # microseconds since 1970
    key: str  # public, hexadecimal
    said: str
    signature: bytes

    @property
    def genuine(self) -> bool:
        """Whether the key that it names signed it."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.key)).verify(self.signature, self.said.encode())
        except (InvalidSignature, ValueError):
            return False
        return True

    @classmethod
    def read(cls, said: str, signature: bytes) -> "Statement":
        """Raises ValueError for what this program did not write."""
        try:
            told = json.loads(said)
            at, key = told.pop("at"), told.pop("key")
            for name in _BINARY:
                told[name] = bytes.fromhex(told[name])
            chain = Chain(**told)
            numbers = (at, chain.sequence, chain.pruned, chain.kept)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("this is no head") from error
        if not all(isinstance(number, int) for number in numbers) or not isinstance(key, str):
            raise ValueError("this is no head")
        return cls(chain, at, key, said, signature)

    @classmethod
    def read_line(cls, line: str) -> "Statement":
        """As it stands in a file of heads. Raises ValueError."""
        try:
            told = json.loads(line)
            said, signature = canonical(told["head"]), bytes.fromhex(told["signature"])
        except (KeyError, TypeError) as error:
            raise ValueError("this is no head") from error
        return cls.read(said, signature)

    def line(self) -> str:
        return canonical({"head": json.loads(self.said), "signature": self.signature.hex()})


def state(chain: Chain, at: int, key: "Ed25519PrivateKey") -> Statement:
    """Says and signs where the chain stands."""
    public = key.public_key().public_bytes_raw().hex()
    told: dict[str, Any] = {
        "at": at,
        "key": public,
        "sequence": chain.sequence,
        "seal": chain.seal.hex(),
        "pruned": chain.pruned,
        "pruned_seal": chain.pruned_seal.hex(),
        "kept": chain.kept,
        "kept_seal": chain.kept_seal.hex(),
    }
    said = canonical(told)
    return Statement(chain, at, public, said, key.sign(said.encode()))
