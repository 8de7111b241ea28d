"""GET, HEAD and DELETE /v2/<name>/blobs/<digest>."""

from pierhead.asgi.types import Headers
from pierhead.distribution.call import Call
from pierhead.distribution.conditions import etag, matches, selected
from pierhead.models import Blob, Digest
from pierhead.verbs import Verb


async def get_blob(call: Call) -> None:
    blob = await call.face.registry.blobs.find(call.repository, Digest.parse(call.match.target))
    headers = _headers(blob)
    if call.scope["method"] == "HEAD" and Verb.PUSH in call.held:
        # Who hears that it is there does not push it.
        await call.face.registry.blobs.require_bytes(call.repository, blob)
        await call.face.registry.blobs.lease(call.repository, blob.digest)
    if matches(call.header(b"if-none-match"), blob.digest):
        await call.respond_empty(304, headers)
    elif call.scope["method"] == "HEAD":
        headers += [(b"content-type", b"application/octet-stream"), (b"content-length", b"%d" % blob.size)]
        await call.respond_empty(200, headers)
    else:
        if call.face.registry.audit.wants_pull(blob=True):
            call.face.registry.audit.pulled(call.match.repository, blob.digest, call.actor, blob=True)
        if not await _redirected(call, blob):
            headers.append((b"content-type", b"application/octet-stream"))
            await _send(call, blob, headers)


def _headers(blob: Blob) -> Headers:
    digest = blob.digest.encode()
    return [
        (b"docker-content-digest", digest),
        (b"etag", etag(digest)),
        (b"accept-ranges", b"bytes"),
        # What a digest names never changes; but it may be private.
        (b"cache-control", b"private, max-age=31536000, immutable"),
        (b"x-content-type-options", b"nosniff"),
    ]


async def _redirected(call: Call, blob: Blob) -> bool:
    """Sends the client to the store, where both can do that."""
    redirects = call.face.redirects
    if not redirects.suit(call.address, call.header(b"user-agent") or b""):
        return False
    address = await call.face.registry.blobs.address(blob, seconds=redirects.seconds)
    if address is None:
        return False
    # Whoever kept this answer would follow it when the address is good no more.
    await call.respond(307, [(b"location", address.encode("ascii")), (b"cache-control", b"private, no-store")])
    return True


async def _send(call: Call, blob: Blob, headers: Headers) -> None:
    part = selected(call.header(b"range"), call.header(b"if-range"), blob.digest, blob.size)
    start, length = part or (0, blob.size)
    status = 206 if part else 200
    if part:
        headers.append((b"content-range", b"bytes %d-%d/%d" % (start, start + length - 1, blob.size)))
    content = await call.face.registry.blobs.content(call.repository, blob)
    if content is not None:
        await call.respond(status, headers, content[start : start + length])
        return
    reader = await call.face.registry.blobs.open(call.repository, blob)
    try:
        await call.stream(status, headers, reader, start, length)
    finally:
        reader.close()


async def delete_blob(call: Call) -> None:
    digest = Digest.parse(call.match.target)
    await call.face.registry.blobs.delete(call.repository, digest, actor=call.actor)
    await call.respond(202, [])
