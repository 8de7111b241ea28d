"""MinIO, as the S3 that blobs are kept in: one drive, synced writes, a fresh bucket for whoever asks."""

import hashlib
import hmac
import secrets
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, urlencode

import httpx

from tests import components
from tests.leaks import passwords
from tests.running import free_port
from tests.servers import process

REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class Keys:
    access: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Bucket:
    endpoint: str
    name: str
    keys: Keys
    region: str = REGION

    def url(self, *, through: str = "", **options: str) -> str:
        """As `--storage` takes it, in a folder of the bucket; with `through`, by way of that host."""
        endpoint = f"http://{through}" if through else self.endpoint
        return f"s3://{self.name}/team?{urlencode({'endpoint': endpoint, **options}, safe=':/')}"

    @property
    def environment(self) -> dict[str, str]:
        """Where a server finds its credentials."""
        return {"AWS_ACCESS_KEY_ID": self.keys.access, "AWS_SECRET_ACCESS_KEY": self.keys.secret}

    def client(self) -> httpx.Client:
        """Its requests are signed; their paths begin with the object's key."""
        return httpx.Client(
            base_url=f"{self.endpoint}/{self.name}/", auth=Signature(self.keys, self.region), timeout=30
        )


@dataclass(frozen=True, slots=True)
class Server:
    endpoint: str
    keys: Keys

    def bucket(self) -> Bucket:
        bucket = Bucket(self.endpoint, f"pierhead-{secrets.token_hex(8)}", self.keys)
        with bucket.client() as client:
            client.put("").raise_for_status()
        return bucket


@contextmanager
def s3(drive: Path | None = None) -> Iterator[Server]:
    """On a drive of its own, or on the given one."""
    program = components.require("minio")
    keys = Keys("pierhead", passwords.drawn(secrets.token_hex(16)))
    with process.scratch("minio") as folder:
        port = free_port()
        server = Server(f"http://127.0.0.1:{port}", keys)
        environment = {
            "MINIO_ROOT_USER": keys.access,
            "MINIO_ROOT_PASSWORD": keys.secret,
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
        }
        command: list[str | Path] = [program, "server", "--quiet", "--address", f"127.0.0.1:{port}"]
        command.append(drive or folder / "drive")
        with process.running(command, folder, lambda: _ready(server), environment=environment):
            yield server


def _ready(server: Server) -> bool:
    try:
        return httpx.get(f"{server.endpoint}/minio/health/ready", timeout=2).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


class Signature(httpx.Auth):
    """AWS Signature Version 4 in the Authorization header, over all of the body."""

    requires_request_body = True

    def __init__(self, keys: Keys, region: str) -> None:
        self._keys = keys
        self._region = region

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        scope = f"{moment[:8]}/{self._region}/s3/aws4_request"
        signed = {
            "host": request.headers["host"],
            "x-amz-content-sha256": hashlib.sha256(request.content).hexdigest(),
            "x-amz-date": moment,
        }
        request.headers.update(signed)
        names = ";".join(signed)
        text = "\n".join(["AWS4-HMAC-SHA256", moment, scope, _sha256(_canonical(request, signed))])
        key = f"AWS4{self._keys.secret}".encode()
        for part in (*scope.split("/"), text):
            key = hmac.digest(key, part.encode(), "sha256")
        credential = f"Credential={self._keys.access}/{scope}"
        request.headers["authorization"] = (
            f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names}, Signature={key.hex()}"
        )
        yield request


def _canonical(request: httpx.Request, signed: dict[str, str]) -> str:
    query = sorted((quote(name, safe=""), quote(value, safe="")) for name, value in request.url.params.multi_items())
    return "\n".join(
        [
            request.method,
            request.url.raw_path.partition(b"?")[0].decode(),
            "&".join(f"{name}={value}" for name, value in query),
            *(f"{name}:{value}" for name, value in signed.items()),
            "",
            ";".join(signed),
            signed["x-amz-content-sha256"],
        ]
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
