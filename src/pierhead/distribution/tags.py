"""GET /v2/<name>/tags/list."""

from pierhead.distribution import deleted
from pierhead.distribution.call import Call, link
from pierhead.distribution.paging import page_size
from pierhead.errors import RepositoryUnknown


async def list_tags(call: Call) -> None:
    repository = call.match.repository
    size = page_size(call.query("n"), call.face.page_size)
    try:
        page = await call.face.registry.tags.page(call.repository, after=call.query("last") or "", size=size)
    except RepositoryUnknown as error:
        raise await deleted.told(call, error) from error
    headers = []
    if page.more and page.names:
        headers.append(link(f"/v2/{repository}/tags/list", {"n": str(size), "last": page.names[-1]}))
    await call.respond_json(200, {"name": repository, "tags": page.names}, headers)
