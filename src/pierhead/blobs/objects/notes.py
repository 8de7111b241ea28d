"""What the store keeps of an upload session in its row."""

import base64
from dataclasses import dataclass
from typing import Self

import orjson

from pierhead.errors import UploadUnknown
from pierhead.models import Part, Upload


@dataclass(frozen=True, slots=True)
class Sealed:
    """A whole upload whose parts are being made one object. It takes no more bytes."""

    size: int  # bytes
    parts: tuple[Part, ...]  # those that have no rows


@dataclass(frozen=True, slots=True)
class Notes:
    offset: int = 0  # bytes accepted
    size: int = 0  # of them, bytes in parts
    key: str = ""  # of the object that the parts become
    session: str = ""  # of the service, under which parts are taken; empty where there are none yet
    reserved: int = 0  # part numbers up to this one may have been used
    tail: str = ""  # the object of the accepted bytes beyond the parts
    little: str = ""  # those bytes themselves, in base64, where an object is not worth its while
    stale: str = ""  # the tail before that, which nobody needs
    sealed: Sealed | None = None

    @property
    def bytes_here(self) -> bytes:
        return base64.b64decode(self.little)

    @classmethod
    def of(cls, upload: Upload) -> Self:
        """Raises UploadUnknown where they do not say where the accepted bytes are."""
        notes = cls.parse(upload.notes) if upload.notes else cls()
        if notes.offset != upload.offset or (notes.offset > notes.size and not (notes.tail or notes.little)):
            raise UploadUnknown(upload.id)
        return notes

    @classmethod
    def parse(cls, text: str) -> Self:
        fields = orjson.loads(text)
        if sealed := fields.get("sealed"):
            parts = tuple(Part(**part) for part in sealed["parts"])
            fields["sealed"] = Sealed(sealed["size"], parts)
        return cls(**fields)

    def text(self) -> str:
        return orjson.dumps(self).decode()
