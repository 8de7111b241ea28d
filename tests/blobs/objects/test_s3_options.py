"""The options of `s3://`: what is taken, what is refused, and what requests then say."""

import pytest

from pierhead.blobs.objects.s3_client import Choices
from pierhead.errors import ConfigurationError
from tests.blobs.objects.buckets import SERVICES
from tests.blobs.objects.usage import KEY, pieces, put_parts, read


@pytest.mark.parametrize(
    ("query", "mistake"),
    [
        ("storage=cold", "unknown option storage"),
        ("endpoint=", "option endpoint is empty"),
        ("path_style=yes", "option path_style must be true or false"),
        ("encryption=none", "option encryption must be AES256 or aws:kms or aws:kms:dsse"),
        ("checksum=md5", "option checksum must be sha256 or crc32c"),
        ("kms_key=k", "option kms_key needs encryption=aws:kms"),
        ("encryption=AES256&kms_key=k", "option kms_key needs encryption=aws:kms"),
        ("endpoint=localhost:9000", "option endpoint must be http"),
        ("endpoint=http://user:secret@localhost:9000", "option endpoint must be http"),
        ("public_endpoint=ftp://x", "option public_endpoint must be http"),
    ],
)
def test_what_is_wrong_is_refused_and_no_value_repeated(query: str, mistake: str) -> None:
    with pytest.raises(ConfigurationError, match=mistake) as refused:
        Choices.parse(f"s3://bucket/prefix?{query}")

    assert "secret" not in str(refused.value)


def test_credentials_in_the_address_are_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigurationError, match="from the environment") as refused:
        Choices.parse("s3://AKIA:secret@bucket/prefix")

    assert "secret" not in str(refused.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as refused:
        Choices.parse("s3://bucket?path_style=yes&checksum=md5")

    assert len(refused.value.mistakes) == 2


def test_class_and_encryption_are_of_every_object() -> None:
    choices = Choices.parse("s3://bucket?storage_class=STANDARD_IA&encryption=aws:kms&kms_key=alias/registry")

    assert choices.of_object == {
        "StorageClass": "STANDARD_IA",
        "ServerSideEncryption": "aws:kms",
        "SSEKMSKeyId": "alias/registry",
    }


@pytest.mark.anyio
@pytest.mark.parametrize("checksum", ["sha256", "crc32c"])
async def test_parts_with_gaps_between_their_numbers_are_one_object(
    request: pytest.FixtureRequest, checksum: str
) -> None:
    opener = SERVICES["s3"](request)
    async with opener.through(f"{opener.host}&path_style=true&checksum={checksum}").open() as bucket:
        session = await bucket.begin(KEY)
        parts = await put_parts(bucket, session, [1, 2, 70])
        await bucket.complete(KEY, session, parts)

        assert await read(bucket, KEY) == b"".join(bytes(piece) for n in (1, 2, 70) for piece in pieces(bucket, n))
