"""The OCI Distribution API. Every request passes through `Distribution.__call__`, in this order:
parsed, authenticated, authorized, handled.
"""

import logging
from collections.abc import Awaitable, Callable

from pierhead import errors
from pierhead.asgi.types import Headers, Receive, Scope, Send
from pierhead.distribution import blobs, catalog, challenges, manifests, referrers, routes, tags, trail, uploads
from pierhead.distribution.call import Call
from pierhead.distribution.errors import oci_error
from pierhead.distribution.face import Face
from pierhead.observability.observability import Observability

HANDLERS: dict[str, Callable[[Call], Awaitable[None]]] = {
    "ping": catalog.ping,
    "list_repositories": catalog.list_repositories,
    "get_manifest": manifests.get_manifest,
    "put_manifest": manifests.put_manifest,
    "delete_manifest": manifests.delete_manifest,
    "get_blob": blobs.get_blob,
    "delete_blob": blobs.delete_blob,
    "start_upload": uploads.start_upload,
    "upload_status": uploads.upload_status,
    "append_to_upload": uploads.append_to_upload,
    "finish_upload": uploads.finish_upload,
    "cancel_upload": uploads.cancel_upload,
    "list_tags": tags.list_tags,
    "list_referrers": referrers.list_referrers,
}

log = logging.getLogger(__name__)

# What an operator has to look after; of a database that is away its own part tells.
_TROUBLES = (errors.StorageFailed, errors.StorageFull, errors.BlobMissing)


class Distribution:
    def __init__(self, face: Face, observability: Observability) -> None:
        self._face = face
        self._observability = observability

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        record = self._observability.started(scope)
        call = Call(self._face, scope, receive, send, record)
        try:
            matched = call.match = routes.match(scope["method"], scope["raw_path"])
            record.operation = matched.operation
            record.repository, record.reference = matched.repository, matched.target
            await self._admit(call)
            await HANDLERS[matched.operation](call)
        except errors.PierheadError as error:
            trail.refused(call, error)
            await _refuse(call, error)
        except Exception:
            log.exception("a request failed unexpectedly", extra={"request_id": record.request_id})
            await _refuse(call, errors.PierheadError(f"request {record.request_id}"))
        finally:
            self._observability.finished(record)

    async def _admit(self, call: Call) -> None:
        """Authenticates and authorizes. Raises Unauthenticated, AccessDenied, OpenModeRefused, TooManyRequests."""
        scope, face, matched = call.scope, self._face, call.match
        call.address = scope["client"][0] if scope.get("client") else ""
        by_proxy = face.trusts_proxies and face.proxies.trusts(call.address)
        if face.trusts_proxies:
            client = face.proxies.client(call.address, scope["headers"], scheme=scope["scheme"], host="")
            call.address = call.record.address = client.address
        admitted = call.admitted = await face.access.admit(
            scope["headers"], call.address, matched.repository, by_proxy=by_proxy
        )
        call.record.principal = admitted.principal.name
        trail.signed_in(call)
        if matched.needs is None:
            if admitted.unsigned:
                raise errors.Unauthenticated("sign in with an account of this registry")
        elif matched.needs not in admitted.verbs:
            if admitted.anonymous or admitted.too_narrow:
                raise errors.Unauthenticated(f"sign in to {matched.needs}")
            raise errors.AccessDenied(f"{matched.needs} on {matched.repository}")


async def _refuse(call: Call, error: errors.PierheadError) -> None:
    """Answers with the refusal, where no answer has begun."""
    code, status = oci_error(error)
    call.record.error = code
    if isinstance(error, _TROUBLES):
        fields = {"reason": f"{type(error).__name__}: {error}", "request_id": call.record.request_id}
        log.warning("a request could not be served", extra=fields)
    if call.record.status:
        # Half an answer is sent: only cutting the connection tells the client.
        raise error
    detail = {"code": code, "message": _message(error), "detail": str(error)}
    try:
        await call.respond_json(status, {"errors": [detail]}, _headers(call, error))
        await call.drain()
    except OSError:
        pass  # the client has gone


def _message(error: errors.PierheadError) -> str:
    message = str(error.__doc__ or type(error).__doc__)
    # Who pushes has to hear by whom and why, and docker shows the message alone.
    return f"{message} ({error})" if isinstance(error, errors.Pinned) else message


def _headers(call: Call, error: errors.PierheadError) -> Headers:
    headers: Headers = []
    if isinstance(error, errors.MethodNotAllowed):
        headers.append((b"allow", ", ".join(error.allowed).encode()))
    elif isinstance(error, errors.Unauthenticated):
        headers.append((b"www-authenticate", challenges.for_refused(call, error)))
    elif isinstance(error, errors.RangeNotSatisfiable):
        headers.append((b"content-range", b"bytes */%d" % error.size))
    elif isinstance(error, errors.UploadOutOfOrder):
        headers += uploads.session(call, error.upload_id, error.offset)
    if call.header(b"expect") is not None and call.scope["http_version"].startswith("1"):
        # Its body may never come, and what comes instead must not be taken for it (RFC 9110, section 10.1.1).
        headers.append((b"connection", b"close"))
    if isinstance(error, errors.Unavailable | errors.TooManyRequests | errors.UploadBusy):
        headers.append((b"retry-after", b"%d" % error.retry_after))
    return headers
