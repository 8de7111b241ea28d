"""Each server starts and answers a request that only a real one answers rightly."""

import base64
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from tests import components
from tests.servers import azurite as azurite_server
from tests.servers import gcs as gcs_server
from tests.servers import s3 as s3_server
from tests.servers import slapd as slapd_server
from tests.servers import toxiproxy as toxiproxy_server
from tests.servers.balancer import balancer
from tests.servers.pgbouncer import pgbouncer
from tests.servers.postgresql import Cluster, sql

PART = bytes(5 << 20)  # S3's least size of every part but the last


def test_postgresql_has_a_database_for_the_length_of_a_block(postgresql: Cluster) -> None:
    with postgresql.database("test-servers") as url:
        assert sql(url, "SELECT current_database(), current_setting('fsync')") == "test-servers|on"

    assert "test-servers" not in sql(postgresql.url(), "SELECT datname FROM pg_database").splitlines()


def test_pgbouncer_leads_to_the_same_database(postgresql: Cluster) -> None:
    with postgresql.database("pooled") as url, pgbouncer(url) as pooled:
        sql(pooled, "CREATE TABLE pier (head int)")

        assert sql(url, "SELECT count(*) FROM pier") == "0"
        assert "transaction" in sql(pooled.replace("/pooled", "/pgbouncer"), "SHOW POOLS")


def test_s3_keeps_what_was_uploaded_in_parts(s3: s3_server.Server) -> None:
    with s3.bucket().client() as client:
        upload = between(client.post("layer?uploads=").text, "UploadId")
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


def test_azurite_keeps_what_was_uploaded_in_blocks(azurite: azurite_server.Server) -> None:
    blocks = {base64.b64encode(b"%03d" % number).decode(): content for number, content in enumerate((b"the ", b"end"))}
    with azurite.container().client() as client:
        for name, content in blocks.items():
            put = client.put("layer", params={"comp": "block", "blockid": name}, content=content)
            assert put.status_code == 201, put.text
        listed = "".join(f"<Latest>{name}</Latest>" for name in blocks)
        client.put("layer", params={"comp": "blocklist"}, content=f"<BlockList>{listed}</BlockList>".encode())
        ending = client.get("layer", headers={"range": "bytes=4-"})

    assert (ending.status_code, ending.content) == (206, b"end")


def test_gcs_keeps_what_was_uploaded_in_chunks(gcs: gcs_server.Server) -> None:
    bucket, chunk = gcs.bucket(), bytes(256 << 10)
    started = httpx.post(bucket.uploads, params={"uploadType": "resumable", "name": "layer"}, json={})
    upload, size = started.headers["location"], len(chunk) + 3
    going = httpx.put(upload, content=chunk, headers={"content-range": f"bytes 0-{len(chunk) - 1}/*"})
    httpx.put(upload, content=b"end", headers={"content-range": f"bytes {len(chunk)}-{size - 1}/{size}"})
    ending = httpx.get(f"{bucket.objects}/layer?alt=media", headers={"range": f"bytes={len(chunk)}-"})

    assert (going.status_code, ending.status_code, ending.content) == (308, 206, b"end")


def test_slapd_knows_who_signs_in(slapd: slapd_server.Server) -> None:
    command = [str(components.require("ldapwhoami")), "-x", "-H", slapd.plain, "-D", slapd_server.READER, "-w"]
    right, wrong = (
        subprocess.run([*command, password], capture_output=True, text=True, check=False)
        for password in (slapd_server.READER_PASSWORD, "wrong")
    )

    assert (right.returncode, right.stdout.strip()) == (0, f"dn:{slapd_server.READER}")
    assert wrong.returncode == 49  # invalidCredentials


def test_toxiproxy_slows_a_link_down_and_cuts_it(toxiproxy: toxiproxy_server.Server) -> None:
    with node("one") as port, toxiproxy.link(f"127.0.0.1:{port}") as link:
        url = f"http://{link.host}"
        link.latency(300)
        began = time.monotonic()
        slow = httpx.get(url).text
        took = time.monotonic() - began
        link.cut()
        with pytest.raises(httpx.TransportError):
            httpx.get(url)
        link.heal()

        assert (slow, took >= 0.3, httpx.get(url).text) == ("one", True, "one")


def test_the_balancer_sends_requests_to_every_node() -> None:
    with ExitStack() as stack:
        ports = [stack.enter_context(node(name)) for name in ("one", "two", "three")]
        url = stack.enter_context(balancer(ports))
        with httpx.Client(base_url=url) as client:
            answers = {client.get("/").text for _ in range(60)}

    assert answers == {"one", "two", "three"}


def between(xml: str, tag: str) -> str:
    found = re.search(f"<{tag}>(.*?)</{tag}>", xml)
    assert found, xml
    return found[1]


@contextmanager
def node(name: str) -> Iterator[int]:
    """The port of a server that answers with its name."""

    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(name)))
            self.end_headers()
            self.wfile.write(name.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
