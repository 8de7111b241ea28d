"""GET /v2/ and GET /v2/_catalog."""

from pierhead.distribution.call import Call, link
from pierhead.distribution.paging import page_size
from pierhead.errors import Unauthenticated


async def ping(call: Call) -> None:
    await call.respond_json(200, {})


async def list_repositories(call: Call) -> None:
    size = page_size(call.query("n"), call.face.page_size)
    visible = call.admitted.visible
    if visible.within == ():
        raise Unauthenticated("this credential does not open the catalog")
    page = await call.face.registry.repositories.page(after=call.query("last") or "", size=size, visible=visible)
    headers = []
    if page.more and page.names:
        headers.append(link("/v2/_catalog", {"n": str(size), "last": page.names[-1]}))
    await call.respond_json(200, {"repositories": page.names}, headers)
