"""GET /v2/<name>/referrers/<digest>."""

from urllib.parse import quote

import orjson

from pierhead.asgi.types import Headers
from pierhead.distribution.call import Call, link
from pierhead.distribution.paging import page_size
from pierhead.models import Digest
from pierhead.registry.documents import OCI_INDEX


async def list_referrers(call: Call) -> None:
    repository, subject = call.match.repository, Digest.parse(call.match.target)
    artifact_type = call.query("artifactType")
    size = max(1, page_size(call.query("n"), call.face.page_size))
    page = await call.face.registry.referrers.page(
        call.repository, subject, artifact_type=artifact_type, after=call.query("last") or "", size=size
    )
    headers: Headers = [(b"content-type", OCI_INDEX.encode())]
    if artifact_type is not None:
        headers.append((b"oci-filters-applied", b"artifactType"))
    if page.last is not None:
        following = {"n": str(size), "last": page.last}
        if artifact_type is not None:
            following["artifactType"] = quote(artifact_type, safe="")
        headers.append(link(f"/v2/{repository}/referrers/{subject}", following))
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": page.descriptors}
    await call.respond(200, headers, orjson.dumps(index))
