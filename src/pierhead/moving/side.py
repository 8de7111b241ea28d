"""One registry as a whole: its rows and its bytes."""

from dataclasses import dataclass

from pierhead.blobs.store import BlobStore
from pierhead.metadata.database import Copyable


@dataclass(frozen=True, slots=True)
class Side:
    database: Copyable
    store: BlobStore


@dataclass(frozen=True, slots=True)
class Copied:
    """What a run brought over, and what is there now."""

    rows: int  # that were written or removed
    blobs: int  # that were copied
    bytes: int
    total_rows: int
    total_blobs: int
