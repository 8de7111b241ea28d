"""Two issuers of OpenID Connect, made of npm's `oidc-provider`, and somebody who signs in there as a browser would.

The first is asked over plain HTTP and tells who somebody is at its userinfo endpoint; the second has a certificate that
only its file vouches for, puts all it knows into the ID token, and signs with another algorithm.
"""

import json
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

import httpx
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from tests import components
from tests.clients.certificates import Certificate, certificate
from tests.running import free_port
from tests.servers import process

ACCOUNTS = {
    "sub-alice": {
        "preferred_username": "alice",
        "name": "Alice Adams",
        "email": "alice@example.org",
        "email_verified": True,
        "groups": ["registry-admins", "developers"],
    },
    "sub-bob": {"preferred_username": "bob", "email": "bob@example.org", "email_verified": False, "groups": []},
    "sub-nameless": {"name": "No Name"},
}
CALLBACK = "http://127.0.0.1:5000/sign-in/oidc/{}/callback"
# A client's id becomes `sub` of the token that it gets for itself, as a workflow's is at a service for builds.
WORKFLOW = "repo:acme/app:ref:refs/heads/main"
WORKFLOW_CLAIMS = {"repository": "acme/app", "ref": "refs/heads/main", "environment": "production"}
AUDIENCE = "https://registry.example.org"
_HOPS = 20


@dataclass(frozen=True, slots=True)
class Issuer:
    name: str
    url: str
    certificate: Certificate | None
    client_id: str = "pierhead"
    client_secret: str = field(default="a secret: with % and +", repr=False)

    @property
    def redirect_uri(self) -> str:
        return CALLBACK.format(self.name)

    def browser(self) -> httpx.Client:
        """With a jar of its own."""
        verify = ssl.create_default_context(cafile=self.certificate.path) if self.certificate else True
        return httpx.Client(verify=verify, timeout=30)

    def sign_in(self, url: str, login: str, browser: httpx.Client | None = None) -> httpx.URL:
        """Follows an authorization request through the issuer's forms, to where it sends the browser back."""
        with browser or self.browser() as opened:
            answer = opened.get(url)
            for _ in range(_HOPS):
                if answer.is_redirect:
                    there = urljoin(str(answer.url), answer.headers["location"])
                    if not there.startswith(self.url):
                        return httpx.URL(there)
                    answer = opened.get(there)
                else:
                    answer = _fill_in(opened, answer, login)
        raise AssertionError("the issuer goes round in circles")

    def workflow_token(self, audience: str = AUDIENCE) -> str:
        with self.browser() as opened:
            answer = opened.post(
                f"{self.url}/token",
                data={
                    "grant_type": "client_credentials",
                    "resource": audience,
                    "client_id": WORKFLOW,
                    "client_secret": self.client_secret,
                },
            )
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["access_token"]
        return token


@dataclass(frozen=True, slots=True)
class Server:
    first: Issuer
    second: Issuer


@contextmanager
def oidc() -> Iterator[Server]:
    program = components.require("oidc-provider")
    with process.scratch("oidc") as folder:
        ports = free_port(), free_port()
        first = Issuer("first", f"http://127.0.0.1:{ports[0]}", None)
        second = Issuer("second", f"https://127.0.0.1:{ports[1]}", certificate(folder))
        configuration = folder / "issuers.json"
        configuration.write_text(
            json.dumps([_issuer(issuer, port) for issuer, port in zip((first, second), ports, strict=True)])
        )
        with process.running([program, configuration], folder, lambda: all(map(process.accepts, ports))):
            yield Server(first, second)


def _issuer(issuer: Issuer, port: int) -> dict[str, Any]:
    made = {
        "url": issuer.url,
        "port": port,
        "accounts": ACCOUNTS,
        "claimsByUserinfo": issuer.certificate is None,
        "workflows": {WORKFLOW: WORKFLOW_CLAIMS},
        "jwks": {"keys": _keys(issuer)},
        "clients": [_people(issuer), _public(issuer), _workflow(issuer)],
    }
    if issuer.certificate:
        made |= {"certificate": str(issuer.certificate.path), "key": str(issuer.certificate.key)}
    return made


def _people(issuer: Issuer) -> dict[str, Any]:
    return {
        "client_id": issuer.client_id,
        "client_secret": issuer.client_secret,
        "application_type": "native",  # whose redirects to loopback may have any port
        "redirect_uris": [issuer.redirect_uri],
        "post_logout_redirect_uris": ["http://127.0.0.1:5000/sign-in", "http://127.0.0.1/sign-in"],
        "id_token_signed_response_alg": "RS256" if issuer.certificate is None else "ES256",
        "token_endpoint_auth_method": "client_secret_basic",
    }


def _public(issuer: Issuer) -> dict[str, Any]:
    client = _people(issuer) | {"client_id": "public", "token_endpoint_auth_method": "none"}
    del client["client_secret"]
    return client


def _workflow(issuer: Issuer) -> dict[str, Any]:
    return {
        "client_id": WORKFLOW,
        "client_secret": issuer.client_secret,
        "grant_types": ["client_credentials"],
        "response_types": [],
        "redirect_uris": [],
        "token_endpoint_auth_method": "client_secret_post",
    }


def _keys(issuer: Issuer) -> list[dict[str, Any]]:
    rsa_key = json.loads(RSAAlgorithm.to_jwk(rsa.generate_private_key(public_exponent=65537, key_size=2048)))
    ec_key = json.loads(ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1())))
    return [
        {**rsa_key, "kid": f"{issuer.name}-rsa", "use": "sig", "alg": "RS256"},
        {**ec_key, "kid": f"{issuer.name}-ec", "use": "sig", "alg": "ES256"},
    ]


def _fill_in(browser: httpx.Client, page: httpx.Response, login: str) -> httpx.Response:
    """Signs in on the issuer's form, and agrees on the next one."""
    action = re.search(r'action="([^"]+)"', page.text)
    prompt = re.search(r'name="prompt" value="(\w+)"', page.text)
    assert action, f"{page.status_code} {page.url}: {page.text[:2000]}"
    assert prompt, f"no form: {page.text[:2000]}"
    return browser.post(
        urljoin(str(page.url), action[1]), data={"prompt": prompt[1], "login": login, "password": "any"}
    )
