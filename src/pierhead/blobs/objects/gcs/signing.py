"""URLs from which anybody can get an object for a while: version 4 of the signing of Google Cloud Storage."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from pierhead.blobs.objects.gcs.account import Account

_OVERRIDES = {"content-type": "response-content-type", "cache-control": "response-cache-control"}
_ALGORITHM = "GOOG4-RSA-SHA256"


def overrides(headers: Mapping[str, str]) -> dict[str, str]:
    """The query that asks for these headers in the answer."""
    return {_OVERRIDES[name]: value for name, value in headers.items()}


async def signed_url(
    account: Account, resource: str, *, seconds: int, query: Mapping[str, str], now: datetime | None = None
) -> str:
    """`resource` is the object's URL, its name percent-encoded."""
    moment = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{moment[:8]}/auto/storage/goog4_request"
    email = await account.email()
    whole = {
        "X-Goog-Algorithm": _ALGORITHM,
        "X-Goog-Credential": f"{email}/{scope}",
        "X-Goog-Date": moment,
        "X-Goog-Expires": str(seconds),
        "X-Goog-SignedHeaders": "host",
        **query,
    }
    canonical_query = "&".join(f"{_encode(name)}={_encode(whole[name])}" for name in sorted(whole))
    split = urlsplit(resource)
    canonical = f"GET\n{split.path}\n{canonical_query}\nhost:{split.netloc}\n\nhost\nUNSIGNED-PAYLOAD"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    signature = await account.sign(email, f"{_ALGORITHM}\n{moment}\n{scope}\n{digest}".encode())
    return f"{resource}?{canonical_query}&X-Goog-Signature={signature.hex()}"


def _encode(text: str) -> str:
    return quote(text, safe="~")
