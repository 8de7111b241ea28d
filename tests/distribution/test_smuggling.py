"""What only a trusted proxy may say, said by others."""

import httpx

from tests.access.test_certificates import certificate
from tests.clients import requests
from tests.distribution.guarded import ANN, EVIL, TRUSTED, Guarded, opened
from tests.distribution.wire import Socket, refused


def by(address: str) -> httpx.Client:
    return httpx.Client(transport=httpx.HTTPTransport(local_address=address))


SAID = {
    "x-forwarded-for": "203.0.113.7",
    "x-forwarded-host": EVIL,
    "x-forwarded-proto": "https",
    "forwarded": f"for=203.0.113.7;host={EVIL};proto=https",
}


def challenge(guarded: Guarded, client: httpx.Client, headers: dict[str, str]) -> str:
    answer = client.get(f"{guarded.url}/v2/", headers=headers)
    refused(answer, 401, "UNAUTHORIZED")
    found: str = answer.headers["www-authenticate"]
    return found


def test_nobody_but_the_proxy_says_where_he_comes_from_and_what_the_registry_is_called(guarded: Guarded) -> None:
    own = f'realm="{guarded.url}/token"'
    with by("127.0.0.1") as stranger, by(TRUSTED) as proxy:
        for name, value in SAID.items():
            assert own in challenge(guarded, stranger, {name: value})
            assert own in challenge(guarded, stranger, {name.upper(): value, name.replace("-", "_"): value})
        assert own in challenge(guarded, stranger, {**SAID, "x-real-ip": "203.0.113.7"})
        assert f'realm="https://{EVIL}/token"' in challenge(guarded, proxy, SAID)
        stranger.get(f"{guarded.url}/v2/open/app/tags/list", headers=SAID)
        proxy.get(f"{guarded.url}/v2/open/app/manifests/1", headers=SAID)

    assert addresses(guarded, "list_tags") == {"127.0.0.1"}
    assert addresses(guarded, "get_manifest") == {"203.0.113.7"}


def addresses(guarded: Guarded, operation: str) -> set[str]:
    """Where requests for open/app came from, as far as the registry knows."""
    made = requests.made(guarded.server.log, "open/app", until=operation)
    return {line["address"] for line in made if line["operation"] == operation}


def test_the_own_host_of_a_scope_is_not_what_a_stranger_says_it_is(guarded: Guarded) -> None:
    scope = {"scope": f"repository:{EVIL}/team/app:pull"}
    with by("127.0.0.1") as stranger, by(TRUSTED) as proxy:
        tokens = [
            client.get(f"{guarded.url}/token", params=scope, auth=ANN, headers=SAID).json()["token"]
            for client in (stranger, proxy)
        ]

    assert [opened(token) for token in tokens] == [{}, {f"repository:{EVIL}/team/app": ["pull"]}]


def test_a_certificate_is_believed_from_the_proxy_alone(guarded: Guarded) -> None:
    header, told = "x-client-certificate", certificate("carol").decode()
    path = f"{guarded.url}/v2/"
    with by("127.0.0.1") as stranger, by(TRUSTED) as proxy:
        for headers in (
            {header: told},
            {header.upper(): told},
            {header: told, "x-forwarded-for": TRUSTED},
            {header: told, "forwarded": f"for={TRUSTED}"},
            {header: told, "x-real-ip": TRUSTED, "via": f"1.1 {TRUSTED}"},
        ):
            refused(stranger.get(path, headers=headers), 401, "UNAUTHORIZED")
            answer = stranger.get(f"{guarded.url}/token", headers=headers)
            refused(answer, 401, "UNAUTHORIZED")
        assert proxy.get(path, headers={header: told}).status_code == 200
        assert proxy.get(path, headers={header: told, "x-forwarded-for": "127.0.0.1"}).status_code == 200
        # What its client wrote stands before what it wrote itself.
        smuggled = [(header, certificate("mallory").decode()), (header, "-")]
        refused(proxy.get(path, headers=smuggled), 401, "UNAUTHORIZED")


def test_lines_that_a_proxy_would_read_otherwise_are_refused(guarded: Guarded) -> None:
    for line in (
        f"X-Forwarded-For : {TRUSTED}",
        f" X-Forwarded-For: {TRUSTED}",
        f"X-Forwarded-For\0: {TRUSTED}",
        f"X-A: b\r\n X-Forwarded-For: {TRUSTED}",
        f"Host: {EVIL}",
    ):
        with Socket(guarded.server) as raw:
            raw.request("GET", "/v2/", line)
            assert raw.answer().status == 400, line
