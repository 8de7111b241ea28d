"""What S3's failures are to the store, told apart once."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as ConnectionFailed

from pierhead.blobs.objects.patience import PASSING, Fault
from pierhead.errors import BlobMissing, StorageFailed, StorageFull, UploadUnknown

# Answered with a status that does not say so.
_PASSING_CODES = frozenset(
    {
        "BadDigest", "InternalError", "OperationAborted", "RequestTimeout", "ServiceUnavailable", "SlowDown",
        "Throttling", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch",
    }
)  # fmt: skip
_MISSING = frozenset({"404", "NoSuchKey"})
_FULL = frozenset({"QuotaExceeded", "XMinioStorageFull", "InsufficientCapacity"})


@contextmanager
def s3_errors(operation: str) -> Iterator[None]:
    """Names the service's code, never its text: that may hold what was signed."""
    try:
        yield
    except ClientError as error:
        raise _refusal(operation, error) from error
    except (ConnectionFailed, HTTPClientError, aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Fault(f"{operation}: {type(error).__name__}") from error
    except BotoCoreError as error:
        raise StorageFailed(f"{operation}: {type(error).__name__}") from error


def _refusal(operation: str, error: ClientError) -> Exception:
    answer: Any = error.response
    code = str(answer.get("Error", {}).get("Code", ""))
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if code == "NoSuchUpload":
        return UploadUnknown(operation)
    if code in _MISSING:
        return BlobMissing(operation)
    if code in _FULL:
        return StorageFull(f"{operation}: {code}")
    if code in _PASSING_CODES or status in PASSING:
        return Fault(f"{operation}: {code or status}")
    return StorageFailed(f"{operation}: {code or status}")
