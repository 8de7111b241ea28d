import pytest

from pierhead.metadata import referrers
from pierhead.metadata.database import Transaction
from tests.metadata.rows import APP, OTHER, add_manifest, digest

pytestmark = pytest.mark.anyio

SUBJECT = digest("subject")


async def test_referrers_come_in_the_order_of_their_digests_page_by_page(tx: Transaction) -> None:
    for text in "abcde":
        await add_manifest(tx, APP, text, subject=SUBJECT)
    await add_manifest(tx, APP, "of another subject", subject=digest("other"))
    await add_manifest(tx, OTHER, "of another repository", subject=SUBJECT)
    expected = sorted(map(digest, "abcde"))

    first = await referrers.after(tx, APP, SUBJECT, "", artifact_type=None, limit=3)
    rest = await referrers.after(tx, APP, SUBJECT, expected[2], artifact_type=None, limit=3)
    assert [found.manifest.digest for found in first + rest] == expected


async def test_an_artifact_type_selects(tx: Transaction) -> None:
    await add_manifest(tx, APP, "a", subject=SUBJECT, artifact_type="application/sbom")
    await add_manifest(tx, APP, "b", subject=SUBJECT, artifact_type="application/signature")
    await add_manifest(tx, APP, "c", subject=SUBJECT)

    found = await referrers.after(tx, APP, SUBJECT, "", artifact_type="application/sbom", limit=9)
    assert [(referrer.manifest.digest, referrer.artifact_type) for referrer in found] == [
        (digest("a"), "application/sbom")
    ]


async def test_whether_a_manifest_names_a_subject(tx: Transaction) -> None:
    await add_manifest(tx, APP, "a", subject=SUBJECT)

    assert await referrers.names(tx, APP, SUBJECT, digest("a"))
    assert not await referrers.names(tx, APP, digest("other"), digest("a"))
    assert not await referrers.names(tx, OTHER, SUBJECT, digest("a"))
