"""Each test of a bucket is run on every service."""

from collections.abc import AsyncIterator

import pytest

from pierhead.blobs.objects.bucket import Service
from tests.blobs.objects.buckets import SERVICES, Opener


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=SERVICES)
def opener(request: pytest.FixtureRequest) -> Opener:
    return SERVICES[request.param](request)


@pytest.fixture
async def bucket(opener: Opener) -> AsyncIterator[Service]:
    async with opener.open() as bucket:
        yield bucket
