"""Each server starts and answers a request that only a real one answers rightly."""

import re

from tests.servers import postgresql as postgresql_server
from tests.servers.postgresql import Cluster
from tests.servers.s3 import Server

PART = bytes(5 << 20)  # the least size of every part but the last


def test_postgresql_has_a_database_for_the_length_of_a_block(postgresql: Cluster) -> None:
    with postgresql.database("test-servers") as url:
        assert postgresql_server.sql(url, "SELECT current_database(), current_setting('fsync')") == "test-servers|on"

    assert "test-servers" not in postgresql_server.sql(postgresql.url(), "SELECT datname FROM pg_database").splitlines()


def test_s3_keeps_what_was_uploaded_in_parts(s3: Server) -> None:
    with s3.bucket().client() as client:
        upload = _between(client.post("layer?uploads=").text, "UploadId")
        etags = [
            client.put("layer", params={"uploadId": upload, "partNumber": number}, content=content).headers["etag"]
            for number, content in enumerate((PART, b"the end"), 1)
        ]
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number, etag in enumerate(etags, 1)
        )
        completed = client.post(
            "layer",
            params={"uploadId": upload},
            content=f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode(),
        )
        ending = client.get("layer", headers={"range": f"bytes={len(PART)}-"})

    assert completed.status_code == 200, completed.text
    assert (ending.status_code, ending.content) == (206, b"the end")


def _between(xml: str, tag: str) -> str:
    found = re.search(f"<{tag}>(.*?)</{tag}>", xml)
    assert found, xml
    return found[1]
