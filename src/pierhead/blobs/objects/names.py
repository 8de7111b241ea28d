"""The names of objects. Each is used once, and tells the upload session that it belongs to.

blobs/ab/<session>-<16 hex digits>              a blob, finished or about to be; ab ends the session's id
staged/<session>/<16 hex digits>                accepted bytes that are too few for a part
copies/…                                        copies of what is in rows: see `registry/copies.py`
digests/<algorithm>/<hex>/<session>-<digits>    empty: what the blob with this ending is, for whoever has lost the rows
"""

import re
import secrets

from pierhead.errors import UploadUnknown
from pierhead.models import Digest, Mark

BLOBS, STAGED, MARKS = "blobs/", "staged/", "digests/"

_SESSION = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_KEY = re.compile(rf"blobs/([0-9a-f]{{2}})/({_SESSION})(?<=\1)-[0-9a-f]{{16}}")
_TAIL = re.compile(rf"staged/({_SESSION})/[0-9a-f]{{16}}")
_MARK = re.compile(rf"digests/(sha256|sha512)/([0-9a-f]{{64,128}})/(({_SESSION})-[0-9a-f]{{16}})")
_ID = re.compile(_SESSION)


def require_session(upload_id: str) -> None:
    """Raises UploadUnknown for what is not a session's id."""
    if not _ID.fullmatch(upload_id):
        raise UploadUnknown(upload_id)


def new_key(upload_id: str) -> str:
    return f"{BLOBS}{upload_id[-2:]}/{upload_id}-{secrets.token_hex(8)}"


def new_tail(upload_id: str) -> str:
    return f"{tails(upload_id)}{secrets.token_hex(8)}"


def tails(upload_id: str) -> str:
    return f"{STAGED}{upload_id}/"


def is_key(name: str) -> bool:
    return _KEY.fullmatch(name) is not None


def session_of(name: str) -> str | None:
    """The session that a key or a tail belongs to; None for what is neither."""
    if matched := _KEY.fullmatch(name):
        return matched[2]
    matched = _TAIL.fullmatch(name)
    return matched[1] if matched else None


def copy(name: str) -> str:
    return f"copies/{name}"


def mark(digest: Digest, key: str) -> str:
    return f"{MARKS}{digest.algorithm}/{digest.hex}/{key.rpartition('/')[2]}"


def marked(name: str) -> Mark | None:
    """What a mark says; None for what is no mark."""
    matched = _MARK.fullmatch(name)
    if matched is None:
        return None
    algorithm, digits, ending, session = matched.groups()
    return Mark(Digest(f"{algorithm}:{digits}"), f"{BLOBS}{session[-2:]}/{ending}")
