"""GET, HEAD, PUT and DELETE /v2/<name>/manifests/<reference>.

`Accept` selects nothing: a manifest is served as it was pushed, byte for byte, since its
digest is what clients verify. Docker, containerd, skopeo and crane all take that.
"""

from functools import lru_cache

from pierhead.distribution import deleted
from pierhead.distribution.call import Call
from pierhead.distribution.conditions import etag, matches, precondition
from pierhead.errors import ManifestTooLarge, ManifestUnknown, RepositoryUnknown, TagInvalid, TooManyTags
from pierhead.models import Digest, TagName, parse_reference
from pierhead.registry.preconditions import Precondition

_TAGS_MAX = 100


async def get_manifest(call: Call) -> None:
    manifests = call.face.registry.manifests
    try:
        reference = parse_reference(call.match.target)
    except TagInvalid as error:  # what cannot be there is not there
        raise ManifestUnknown(call.match.target) from error
    try:
        manifest = await manifests.find(call.repository, reference)
    except (ManifestUnknown, RepositoryUnknown) as error:
        raise await deleted.told(call, error, reference) from error
    headers = [*_headers(manifest.digest, manifest.media_type)]
    if matches(call.header(b"if-none-match"), manifest.digest):
        await call.respond_empty(304, headers)
    elif call.scope["method"] == "HEAD":
        headers.append((b"content-length", b"%d" % manifest.size))
        await call.respond_empty(200, headers)
    else:
        content = await manifests.content(manifest)
        if call.face.registry.audit.wants_pull():
            tag = None if isinstance(reference, Digest) else reference
            call.face.registry.audit.pulled(call.match.repository, manifest.digest, call.actor, tag=tag)
        await call.respond(200, headers, content)


# The same few manifests are asked for again and again, and nothing in here can change.
@lru_cache(maxsize=4096)
def _headers(digest: Digest, media_type: str) -> tuple[tuple[bytes, bytes], ...]:
    named = digest.encode()
    return (b"content-type", media_type.encode()), (b"docker-content-digest", named), (b"etag", etag(named))


async def put_manifest(call: Call) -> None:
    limit = call.face.manifest_max_size
    reference = parse_reference(call.match.target)
    tags = _tags(call)
    stated = call.content_length
    content = None if stated is not None and stated > limit else await call.body(limit)
    if content is None:
        raise ManifestTooLarge(f"at most {limit} bytes are allowed")
    await call.admit_again()
    pushed = await call.face.registry.manifests.push(
        call.repository,
        reference,
        content,
        content_type=(call.header(b"content-type") or b"").decode("latin-1"),
        tags=tags,
        precondition=_precondition(call),
        held=call.held,
        actor=call.actor,
    )
    headers = [
        call.location(f"/v2/{call.match.repository}/manifests/{pushed.digest}"),
        (b"docker-content-digest", pushed.digest.encode()),
        *((b"oci-tag", tag.encode()) for tag in tags),
    ]
    if pushed.subject is not None:
        headers.append((b"oci-subject", pushed.subject.encode()))
    await call.respond(201, headers)


def _tags(call: Call) -> tuple[TagName, ...]:
    """distribution-spec (development version), "Pushing Manifests": `?tag=a&tag=b`."""
    names = call.queries("tag")
    if len(names) > _TAGS_MAX:
        raise TooManyTags(f"{len(names)} tags, at most {_TAGS_MAX} are taken")
    return tuple(TagName.parse(name) for name in dict.fromkeys(names))


async def delete_manifest(call: Call) -> None:
    repository, reference = call.repository, parse_reference(call.match.target)
    asked = _precondition(call)
    if isinstance(reference, Digest):
        await call.face.registry.manifests.delete(repository, reference, precondition=asked, actor=call.actor)
    else:
        await call.face.registry.tags.delete(repository, reference, precondition=asked, actor=call.actor)
    await call.respond(202, [])


def _precondition(call: Call) -> Precondition:
    return precondition(call.listed(b"if-match"), call.listed(b"if-none-match"))
