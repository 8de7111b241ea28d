"""GET /v2/<name>/tags/list."""

from pierhead.distribution.call import Call, link
from pierhead.distribution.paging import page_size


async def list_tags(call: Call) -> None:
    repository = call.match.repository
    size = page_size(call.query("n"), call.face.page_size)
    page = await call.face.registry.tags.page(repository, after=call.query("last") or "", size=size)
    headers = []
    if page.more and page.names:
        headers.append(link(f"/v2/{repository}/tags/list", {"n": str(size), "last": page.names[-1]}))
    await call.respond_json(200, {"name": repository, "tags": page.names}, headers)
