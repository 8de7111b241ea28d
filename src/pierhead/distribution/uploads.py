"""POST /v2/<name>/blobs/uploads/, and GET, PATCH, PUT and DELETE of the session that it starts."""

import re

from pierhead.asgi.types import Headers
from pierhead.distribution.call import Call
from pierhead.errors import (
    BodyTooShort,
    BodyTooSlow,
    DigestInvalid,
    HeaderInvalid,
    RepositoryNameInvalid,
    SizeInvalid,
    UploadUnknown,
)
from pierhead.models import HEX_LENGTHS, Digest, RepositoryName, Upload
from pierhead.registry.receiving import Receiving

# distribution-spec 1.1.1, "Pushing a blob in chunks"; some clients send the unit too.
_CONTENT_RANGE = re.compile(rb"(?:bytes[ =])?(\d{1,18})-(\d{1,18})(?:/(?:\d{1,18}|\*))?")


async def start_upload(call: Call) -> None:
    mount, whole = call.query("mount"), call.query("digest")
    if mount is not None and await _mount(call, Digest.parse(mount)):
        return
    if whole is not None:
        await _upload_at_once(call, Digest.parse(whole))
        return
    algorithm = call.query("digest-algorithm") or "sha256"
    if algorithm not in HEX_LENGTHS:
        raise DigestInvalid(f"digest-algorithm: one of {', '.join(HEX_LENGTHS)} is expected")
    upload = await call.face.registry.uploads.start(call.repository, algorithm=algorithm)
    headers = session(call, upload.id, 0)
    if call.face.chunk_min_length:
        headers.append((b"oci-chunk-min-length", b"%d" % call.face.chunk_min_length))
    await call.respond(202, headers)


async def _mount(call: Call, digest: Digest) -> bool:
    """Answers where the blob could be mounted. One that could not is uploaded, as the specification asks."""
    try:
        source = RepositoryName.parse(stated) if (stated := call.query("from")) else None
    except RepositoryNameInvalid:
        return False
    mounted = await call.face.registry.blobs.mount(
        call.repository, digest, source=source, may_pull=call.admitted.may_pull, actor=call.actor
    )
    if mounted:
        await _created(call, digest)
    return mounted


async def _upload_at_once(call: Call, digest: Digest) -> None:
    repository, uploads = call.repository, call.face.registry.uploads
    upload = await uploads.start(repository, algorithm=digest.algorithm)
    if uploads.takes_whole(call.content_length):
        content = await _whole(call)
        await uploads.push(upload, digest, content, actor=call.actor, told=False)
        await _created(call, digest)
        return
    async with call.face.upload_slots, uploads.receive(repository, upload.id, told=False) as receiving:
        try:
            await _receive(call, receiving)
        except BaseException:
            await receiving.drop()
            raise
        await receiving.finish(digest, actor=call.actor)
    await _created(call, digest)


async def upload_status(call: Call) -> None:
    upload = await _unfinished(call)
    await call.respond_empty(204, session(call, upload.id, upload.offset))


async def append_to_upload(call: Call) -> None:
    chunk = _chunk(call)
    async with (
        call.face.upload_slots,
        call.face.registry.uploads.receive(
            call.repository, call.match.target, start=chunk[0] if chunk else None
        ) as receiving,
    ):
        try:
            await _receive(call, receiving)
        except (BodyTooShort, BodyTooSlow):
            # A stream can go on from here; a chunk is sent again, whole.
            if chunk is None:
                await receiving.accept()
            raise
        _require_length(call, chunk)
        upload = await receiving.accept()
    await call.respond(202, session(call, upload.id, upload.offset))


async def finish_upload(call: Call) -> None:
    stated = call.query("digest")
    if stated is None:
        raise DigestInvalid("the query parameter digest is missing")
    digest = Digest.parse(stated)
    repository, uploads = call.repository, call.face.registry.uploads
    upload = await uploads.find(repository, call.match.target)
    if upload.digest == digest:  # a client that did not hear the first answer
        await _created(call, digest)
        await call.drain()
        return
    chunk = _chunk(call)
    if not upload.saved and chunk is None and uploads.takes_whole(call.content_length):
        content = await _whole(call)
        await uploads.push(upload, digest, content, actor=call.actor)
        await _created(call, digest)
        return
    async with (
        call.face.upload_slots,
        uploads.receive(repository, upload.id, start=chunk[0] if chunk else None) as receiving,
    ):
        await _receive(call, receiving)
        _require_length(call, chunk)
        await receiving.finish(digest, actor=call.actor)
    await _created(call, digest)


async def cancel_upload(call: Call) -> None:
    await call.face.registry.uploads.cancel(call.repository, call.match.target)
    await call.respond_empty(204, [])


async def _whole(call: Call) -> bytes:
    """A body as long as was said. Raises SizeInvalid."""
    length = call.content_length or 0
    content = await call.body(length)
    if content is None or len(content) != length:
        raise SizeInvalid(f"Content-Length says {length} bytes, {call.record.bytes_in} came")
    await call.admit_again()
    return content


async def _receive(call: Call, receiving: Receiving) -> None:
    await call.feed(receiving.write)
    await call.admit_again()


def _chunk(call: Call) -> tuple[int, int] | None:
    """First and last byte of the chunk that a request says to bring. Raises HeaderInvalid, SizeInvalid."""
    stated = call.header(b"content-range")
    return None if stated is None else parse_chunk(stated, call.content_length)


def parse_chunk(stated: bytes, length: int | None) -> tuple[int, int]:
    """First and last byte of a Content-Range, with the body's length where it is told. Raises as `_chunk`."""
    matched = _CONTENT_RANGE.fullmatch(stated.strip())
    if matched is None:
        raise HeaderInvalid("Content-Range: <first byte>-<last byte> is expected")
    first, last = int(matched[1]), int(matched[2])
    if last < first:
        raise HeaderInvalid(f"Content-Range: the last byte, {last}, comes before the first, {first}")
    if length is not None and last - first + 1 != length:
        raise SizeInvalid(f"Content-Range says bytes {first} to {last}, the body has {length}")
    return first, last


def _require_length(call: Call, chunk: tuple[int, int] | None) -> None:
    if chunk is not None and call.record.bytes_in != chunk[1] - chunk[0] + 1:
        raise SizeInvalid(f"Content-Range says bytes {chunk[0]} to {chunk[1]}, {call.record.bytes_in} came")


async def _unfinished(call: Call) -> Upload:
    upload = await call.face.registry.uploads.find(call.repository, call.match.target)
    if upload.digest is not None:
        raise UploadUnknown(upload.id)
    return upload


def session(call: Call, upload_id: str, offset: int) -> Headers:
    """Where a session is and how far it came; `0-0` stands for nothing too, as clients know it."""
    return [
        call.location(f"/v2/{call.match.repository}/blobs/uploads/{upload_id}"),
        (b"range", b"0-%d" % max(0, offset - 1)),
        (b"docker-upload-uuid", upload_id.encode()),
    ]


async def _created(call: Call, digest: Digest) -> None:
    await call.respond(
        201,
        [
            call.location(f"/v2/{call.match.repository}/blobs/{digest}"),
            (b"docker-content-digest", digest.encode()),
        ],
    )
