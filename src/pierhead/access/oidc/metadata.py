"""What an issuer says about itself: its discovery document (OpenID Connect Discovery 1.0, RFC 8414)."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pierhead.addresses import is_usable

WELL_KNOWN = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class Metadata:
    issuer: str
    jwks: str
    authorization: str = ""
    token: str = ""
    userinfo: str = ""
    end_session: str = ""
    names_itself: bool = False  # in its answers to the browser (RFC 9207)
    takes_basic: bool = True  # the client's secret in a header; else in the form


def parse(document: bytes, issuer: str) -> Metadata:
    """Raises ValueError, also where the document is of another issuer: that would be a way to take this one's place."""
    try:
        told = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise ValueError("the discovery document is not JSON") from error
    if not isinstance(told, dict) or told.get("issuer") != issuer:
        raise ValueError("the discovery document is of another issuer than the one it was asked for")
    # Where the list is missing, it holds this one method (RFC 8414, 2).
    methods = told.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    return Metadata(
        issuer=issuer,
        jwks=_address(told, "jwks_uri", issuer),
        authorization=_address(told, "authorization_endpoint", issuer),
        token=_address(told, "token_endpoint", issuer),
        userinfo=_address(told, "userinfo_endpoint", issuer),
        end_session=_address(told, "end_session_endpoint", issuer),
        names_itself=told.get("authorization_response_iss_parameter_supported") is True,
        takes_basic=isinstance(methods, list) and "client_secret_basic" in methods,
    )


def _address(told: dict[str, Any], name: str, issuer: str) -> str:
    """Empty where there is none. An issuer that is asked over https does not lead to plain http."""
    url = told.get(name, "")
    if not url:
        return ""
    if not isinstance(url, str) or not is_usable(url):
        raise ValueError(f"{name} of the discovery document is no https:// address")
    if urlsplit(issuer).scheme == "https" != urlsplit(url).scheme:
        raise ValueError(f"{name} of the discovery document is not https://, as its issuer is")
    return url
