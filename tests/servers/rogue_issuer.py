"""An issuer that says whatever a test wants, also what no honest one says, and counts who asks.

Not instead of a real one: for what a real one cannot be made to do.
"""

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from tests.clients.certificates import Certificate

DISCOVERY = "/.well-known/openid-configuration"
Answer = tuple[int, bytes, dict[str, str]]  # status, content, headers


@dataclass(slots=True)
class Rogue:
    url: str
    answers: dict[str, Callable[[dict[str, str]], Answer]] = field(default_factory=dict)  # by path, of a form's fields
    asked: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    keys: dict[str, ec.EllipticCurvePrivateKey] = field(default_factory=dict)
    extra_keys: list[dict[str, Any]] = field(default_factory=list)
    discovery: dict[str, Any] = field(default_factory=dict)  # what is different in it
    wants: str = ""  # an Authorization header, before it says anything

    def rotate(self, kid: str) -> None:
        """From now on it has this key, and no other."""
        self.keys = {kid: ec.generate_private_key(ec.SECP256R1())}

    def claims(self, **changed: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {"iss": self.url, "aud": "pierhead", "sub": "somebody", "iat": now, "exp": now + 300} | changed
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, headers: dict[str, Any] | None = None, **changed: Any) -> str:
        """Signed with its key. A claim that is None is left out."""
        kid, key = next(iter(self.keys.items()))
        return jwt.encode(self.claims(**changed), key, "ES256", {"kid": kid, **(headers or {})})

    def gives(self, path: str, content: bytes | dict[str, Any], status: int = 200, **headers: str) -> None:
        encoded = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.answers[path] = lambda _: (status, encoded, headers)

    def answer(self, path: str, form: dict[str, str]) -> Answer:
        self.asked.append(path)
        if self.wants and self.headers[-1].get("authorization") != self.wants:
            return 401, b"{}", {}
        if path in self.answers:
            return self.answers[path](form)
        if path == DISCOVERY:
            return 200, json.dumps(self._discovery()).encode(), {}
        if path == "/jwks":
            keys = [json.loads(ECAlgorithm.to_jwk(key.public_key())) | {"kid": kid} for kid, key in self.keys.items()]
            return 200, json.dumps({"keys": [*keys, *self.extra_keys]}).encode(), {}
        return 404, b"{}", {}

    def _discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/jwks",
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
        } | self.discovery


@contextmanager
def rogue_issuer(certificate: Certificate | None = None) -> Iterator[Rogue]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            form = self.rfile.read(int(self.headers["content-length"])).decode()
            self._answer({name: values[0] for name, values in parse_qs(form).items()})

        def _answer(self, form: dict[str, str]) -> None:
            rogue.headers.append({name.lower(): value for name, value in self.headers.items()})
            status, content, headers = rogue.answer(self.path, form)
            try:
                self.send_response(status)
                for name, value in {"content-length": str(len(content)), **headers}.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(content)
            except OSError:
                self.close_connection = True  # who asked has heard enough

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.path, certificate.key)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        rogue = Rogue(f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}")
        rogue.rotate("first")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield rogue
        finally:
            server.shutdown()
            thread.join()
