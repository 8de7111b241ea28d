"""Many who count by compare-and-swap of a tag, on one server or several nodes of one registry."""

import asyncio

import httpx

from tests.distribution.wire import image, sha256


async def counting(urls: list[str], repository: str, *, writers: int = 16, rounds: int = 6) -> None:
    """Writers over connections of their own, spread over the servers."""
    limits = httpx.Limits(max_connections=1)
    clients = [
        httpx.AsyncClient(base_url=urls[number % len(urls)], timeout=60, limits=limits) for number in range(writers)
    ]
    path = f"/v2/{repository}/manifests"
    kind = {"content-type": "application/vnd.oci.image.manifest.v1+json"}
    config = b"{}"
    try:
        await clients[0].post(f"/v2/{repository}/blobs/uploads/", params={"digest": sha256(config)}, content=config)

        def counted(count: int, writer: int) -> bytes:
            return image(config, annotations={"count": str(count), "writer": str(writer)})

        answer = await clients[0].put(f"{path}/counter", content=counted(0, 0), headers=kind)
        assert answer.status_code == 201, answer.text
        current = f'"{sha256(counted(0, 0))}"'

        async def swap(writer: int, count: int, etag: str) -> int:
            headers = kind | {"if-match": etag}
            answer = await clients[writer].put(f"{path}/counter", content=counted(count, writer), headers=headers)
            return answer.status_code

        for turn in range(1, rounds + 1):
            statuses = await asyncio.gather(*(swap(writer, turn, current) for writer in range(writers)))
            assert sorted(statuses) == [201] + [412] * (writers - 1)
            current = f'"{sha256(counted(turn, statuses.index(201)))}"'
            assert {(await client.head(f"{path}/counter")).headers["etag"] for client in clients} == {current}

        async def increment(writer: int) -> None:
            while True:
                seen = await clients[writer].get(f"{path}/counter")
                count = int(seen.json()["annotations"]["count"]) + 1
                if await swap(writer, count, seen.headers["etag"]) == 201:
                    return

        await asyncio.gather(*(increment(writer) for writer in range(writers)))
        final = await clients[-1].get(f"{path}/counter")
        assert int(final.json()["annotations"]["count"]) == rounds + writers
        created = [
            clients[writer].put(f"{path}/new", content=counted(0, writer), headers=kind | {"if-none-match": "*"})
            for writer in range(writers)
        ]
        assert sorted([answer.status_code for answer in await asyncio.gather(*created)]) == [201] + [412] * (
            writers - 1
        )
    finally:
        for client in clients:
            await client.aclose()
